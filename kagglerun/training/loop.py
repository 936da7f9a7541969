"""The training loop.

`fit` resumes exactly: a run killed anywhere and started again gives the same bits as one left alone, on the
same machine and with the same number of threads.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable
from contextlib import closing
from typing import cast

import torch

from kagglerun.config.schema import TrainingConfig
from kagglerun.errors import NonFiniteLoss, TrainingError
from kagglerun.training.batching import cut, split_epoch, updates_per_epoch
from kagglerun.training.checkpoint import Checkpoints, Snapshot
from kagglerun.training.compiled import compiled
from kagglerun.training.distributed import Team, current_team
from kagglerun.training.ema import WeightAverage
from kagglerun.training.finite import after_retries, check_predictions
from kagglerun.training.host_memory import reuse_freed_memory
from kagglerun.training.memory import (
    Mend,
    Shortage,
    TeamOutOfMemory,
    first_line,
    forget_shortage,
    is_out_of_memory,
    lower_lr,
    must_fit,
    read_shortage,
    write_shortage,
)
from kagglerun.training.optim import build_optimizer
from kagglerun.training.pace import PacedBatches
from kagglerun.training.precision import Precision, resolve_device
from kagglerun.training.predict import predict_logits
from kagglerun.training.seed import sample_order, seed_torch
from kagglerun.training.state import TrainState, copy_weights
from kagglerun.training.step import FitSettings, Randomness, Stepper
from kagglerun.training.task import FitResult, FitTask

__all__ = ["FitResult", "FitSettings", "FitTask", "Stopped", "fit"]


class Stopped(Exception):
    """Training stopped because it was asked to; the checkpoint holds everything."""


Report = Callable[[int, dict[str, float]], None]
"""(epoch, values) after each epoch."""

ShouldStop = Callable[[dict[str, float]], bool]
"""Asked after each update with {epoch, update}; True saves a checkpoint and raises Stopped."""


def fit(
    task: FitTask, settings: FitSettings, checkpoints: Checkpoints, report: Report, should_stop: ShouldStop
) -> FitResult:
    """Train a model, or go on where the last checkpoint stands.

    Raises:
        Stopped: `should_stop` said so.
        NonFiniteLoss: the loss or a gradient was not finite; the update was not made.
        TrainingError: not even one sample fits into the memory, or checkpoints cannot be written.
        CheckpointUnreadable: there is a checkpoint and it is damaged.
        DiskFull: there was no room for a checkpoint; those before it are whole.
    """
    device = resolve_device(settings.training.device)
    reuse_freed_memory(device)
    team = current_team()
    shortage = read_shortage(checkpoints.folder)
    if team.size > 1 and shortage is not None:
        _go_back(task, settings, checkpoints, device, Mend(shortage.halve))
        forget_shortage(checkpoints.folder, team)
    while True:
        ended = _attempt(task, settings, checkpoints, device, report, should_stop)
        if isinstance(ended, FitResult):
            return ended
        # Only cycles of references can still hold the failed attempt's tensors.
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
        _go_back(task, settings, checkpoints, device, ended)


def _attempt(
    task: FitTask,
    settings: FitSettings,
    checkpoints: Checkpoints,
    device: torch.device,
    report: Report,
    should_stop: ShouldStop,
) -> FitResult | Mend:
    """Train to the end, or to an error after which a saved state, changed, can go on."""
    training = _Training(task, settings, checkpoints, device)
    try:
        training.run(report, should_stop)
        return training.result()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return _halve(training, error)
    except NonFiniteLoss as error:
        if training.state.retries >= settings.training.nonfinite_retries:
            raise after_retries(error, training.state.retries) from None
        return lower_lr(training.state, error, settings.training.nonfinite_lr_factor)


class _Training:
    """One attempt at training a fold: from its start or its last checkpoint to its end, or to an error."""

    def __init__(self, task: FitTask, settings: FitSettings, checkpoints: Checkpoints, device: torch.device) -> None:
        self.task, self.config, self.checkpoints = task, settings.training, checkpoints
        self.team: Team = current_team()
        self.precision = Precision.resolve(self.config.precision, device)
        saved = checkpoints.load()
        self.state = _start(task, settings, device, self.precision, saved)
        self._network = self.team.wrap(self.state.model)
        self.stepper = Stepper(
            self.state,
            self._network,
            task.loss,
            settings,
            self.precision,
            self.team,
            Randomness(task.seed, task.fold),
            updates_per_epoch(len(task.train), self.config),
        )
        self._compiled_for = 0
        self._last_save, self._owes_save, self._is_new = time.monotonic(), False, saved is None

    def micro_batch(self, update: int) -> int:
        """Most samples of one forward pass in an update."""
        given = self.config.micro_batch or self.config.step_size
        sizes = [size for start, size in self.state.micro_batches if start <= update]
        return min(given, self.config.step_size * self.config.accumulate, *sizes)

    def run(self, report: Report, should_stop: ShouldStop) -> None:
        """Train until the epochs are done or early stopping ends it."""
        try:
            with self.precision.float32_math():
                self._run(report, should_stop)
        finally:
            self.checkpoints.wait()

    def _run(self, report: Report, should_stop: ShouldStop) -> None:
        state, config = self.state, self.config
        if self._is_new and config.nonfinite_retries:
            self._save_soon(is_border=True)
        if self.team.size > 1:
            self._warm_up()
        while state.epoch < config.epochs and not state.stopped_early:
            self._train_epoch(should_stop)
            values = self._evaluate()
            _remember_best(self.task, config, state, values)
            state.history.append(values)
            report(state.epoch, values)
            state.next_epoch()
            is_over = state.epoch == config.epochs or state.stopped_early
            if is_over or state.epoch % config.checkpoint_epochs == 0:
                self._save_epoch(is_over)

    def result(self) -> FitResult:
        """The trained model with the weights that are kept."""
        state, model = self.state, self.state.evaluated
        keeps_best = self.config.keep == "best"
        if keeps_best:
            model.load_state_dict(state.best_weights)
        best = state.best_epoch if keeps_best else len(state.history) - 1
        return FitResult(model.eval(), tuple(state.history), best, tuple(state.notes))

    def _warm_up(self) -> None:
        """Before a team's first update after any start, so that an update is added up in the same order after each."""
        order = sample_order(self.task.seed, self.task.fold, 0, len(self.task.train))
        if len(order) < self.team.size:
            raise TrainingError(f"{len(order)} training samples cannot be shared by {self.team.size} processes")
        size = self.micro_batch(self.state.updates)
        piece = cut(self.team.share(split_epoch(order, self.config)[0]), size)[0]
        self._compile(size)
        self.state.model.train()
        with closing(self.task.train.stream([piece], 0)) as batches:
            self.stepper.warm_up(piece, batches)

    def _train_epoch(self, should_stop: ShouldStop) -> None:
        """The updates of the epoch that are still to do."""
        task, state, team = self.task, self.state, self.team
        order = sample_order(task.seed, task.fold, state.epoch, len(task.train))
        updates = split_epoch(order, self.config)[state.updates_done :]
        sizes = [self.micro_batch(state.updates + number) for number in range(len(updates))]
        pieces = [cut(team.share(samples), size) for samples, size in zip(updates, sizes, strict=True)]
        state.model.train()
        with closing(task.train.stream([piece for share in pieces for piece in share], state.epoch)) as stream:
            batches = PacedBatches(stream)
            for samples, share, size in zip(updates, pieces, sizes, strict=True):
                self._compile(size)
                self.stepper.update(samples, share, batches)
                batches.update_done(len(samples))
                wants_stop = should_stop({"epoch": state.epoch, "update": state.updates})
                is_due = self._owes_save or time.monotonic() - self._last_save > self.config.checkpoint_seconds
                stop, save = team.agree(wants_stop, is_due)
                if stop:
                    self.stepper.settle()
                    self._save_soon()
                    raise Stopped
                # One that is due while another is still being written waits: training must not.
                if save and not self.checkpoints.is_busy:
                    self._save_soon()

    def _compile(self, size: int) -> None:
        """Have passes of this size compiled; which ones are must depend on the update alone, since bits do."""
        if size != self._compiled_for:
            adds_up = size < self.config.step_size * self.config.accumulate
            self.stepper.forward = compiled(self._network, self.config.compile, self.precision.device, size, adds_up)
            self._compiled_for = size

    def _save_epoch(self, is_over: bool) -> None:
        """Save at an epoch's border; where epochs are shorter than a write, soon after it."""
        self._owes_save = self.checkpoints.is_busy and not is_over and not self.config.nonfinite_retries
        if not self._owes_save:
            self._save_soon(is_border=True)

    def _save_soon(self, is_border: bool = False) -> None:
        # The one before leaves the memory first.
        self.checkpoints.wait()
        if self.checkpoints.writes:
            retries = self.state.retries if is_border and self.config.nonfinite_retries else None
            self.checkpoints.save_soon(self.state.snapshot(self.stepper.watch.spoilt), retries)
        self._last_save, self._owes_save = time.monotonic(), False

    def _evaluate(self) -> dict[str, float]:
        task, state = self.task, self.state
        self.team.sync_buffers(state.evaluated)
        group = state.optimizer.param_groups[0]
        logits = predict_logits(
            state.evaluated,
            task.valid,
            self.config.eval_size,
            self.precision,
            self.team,
            state.eval_batch,
            state.shrink_eval_batch,
        )
        self.stepper.settle()
        check_predictions(logits, state)
        return self.team.values_of_first(
            lambda: {
                "lr": group["lr"] / group["lr_scale"],
                "train_loss": float(state.loss_sum) / max(1, state.samples_done),
                "valid_loss": float(task.loss(logits, task.valid.targets())),
                "valid_score": float(task.score(task.activate(logits.double()).numpy())),
            }
        )


def _start(
    task: FitTask, settings: FitSettings, device: torch.device, precision: Precision, saved: Snapshot | None
) -> TrainState:
    """The state that was saved, or that at the start.

    Raises:
        TrainingError: it does not fit into the memory.
    """
    seed_torch(task.seed, "init", task.fold)
    with must_fit("the model, its optimizer and its average"):
        model = task.build().to(device)
        state = TrainState(
            model=model,
            optimizer=build_optimizer(model, settings.optimizer),
            scaler=torch.amp.GradScaler(device.type, enabled=precision.scales_loss),
            average=WeightAverage(model, settings.training.ema) if settings.training.ema else None,
            loss_sum=torch.zeros((), dtype=torch.float64, device=device),
        )
        if saved is not None:
            state.restore(saved)
    return state


def _go_back(task: FitTask, settings: FitSettings, checkpoints: Checkpoints, device: torch.device, mend: Mend) -> None:
    """Write a changed checkpoint as the last one, so that a kill right after this changes nothing."""
    current_team().wait_for_all()  # until the first process has written what it was about to
    precision = Precision.resolve(settings.training.precision, device)
    saved = checkpoints.load_border() if mend.from_border else checkpoints.load()
    state = _start(task, settings, device, precision, saved)
    current_team().wait_for_all()  # until all have read the checkpoint that is replaced now
    mend.change(state)
    is_border = settings.training.nonfinite_retries and (mend.from_border or saved is None)
    checkpoints.save(state.snapshot(), state.retries if is_border else None)
    current_team().wait_for_all()


def _halve(training: _Training, error: BaseException) -> Mend:
    """Half the samples a forward pass; the update stays the same.

    Raises:
        TrainingError: one sample alone does not fit.
        TeamOutOfMemory: the other processes of the team wait within this update: all have to start again.
    """
    update = training.state.updates
    shortage = Shortage(training.micro_batch(update), update)
    if shortage.micro_batch == 1:
        raise TrainingError(
            f"out of memory with one sample at a time: {first_line(error)}",
            hint="training.gradient_checkpointing=true, a smaller model.image_size, or training.precision=auto",
        ) from error
    if training.team.size > 1:
        write_shortage(training.checkpoints.folder, shortage)
        raise TeamOutOfMemory(first_line(error)) from error
    return Mend(shortage.halve)


def _remember_best(task: FitTask, config: TrainingConfig, state: TrainState, values: dict[str, float]) -> None:
    """Keep the best weights, and see whether early stopping is due. A score that is NaN is best only while none is."""
    score = values["valid_score"]
    sign = 1.0 if task.greater_is_better else -1.0
    is_first = state.best_score is None or (math.isnan(state.best_score) and not math.isnan(score))
    if is_first or sign * score > sign * cast(float, state.best_score):
        state.best_score, state.best_epoch = score, state.epoch
        if config.keep == "best":
            state.best_weights = copy_weights(state.evaluated)
    patience = config.early_stopping
    state.stopped_early = patience is not None and state.epoch - state.best_epoch >= patience
