"""The training loop.

`fit` resumes exactly: a run killed anywhere and started again gives the same bits as one left alone, on the
same machine and with the same number of threads.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kagglerun.config.schema import TrainingConfig
from kagglerun.errors import NonFiniteLoss, TrainingError
from kagglerun.training.batches import Batches
from kagglerun.training.batching import cut, split_epoch, updates_per_epoch
from kagglerun.training.checkpoint import Checkpoints
from kagglerun.training.compiled import compiled
from kagglerun.training.distributed import Team, current_team
from kagglerun.training.ema import WeightAverage
from kagglerun.training.memory import Shortage, TeamOutOfMemory, forget_shortage, read_shortage, write_shortage
from kagglerun.training.optim import build_optimizer
from kagglerun.training.precision import Precision, resolve_device
from kagglerun.training.predict import predict_logits
from kagglerun.training.seed import sample_order, seed_torch
from kagglerun.training.state import TrainState, copy_weights
from kagglerun.training.step import FitSettings, Randomness, Stepper, is_out_of_memory

__all__ = ["FitResult", "FitSettings", "FitTask", "Stopped", "fit"]


@dataclass(frozen=True)
class FitTask:
    """What is trained on what.

    Attributes:
        build: makes the model; called after seeding.
        train: training samples.
        valid: validation samples.
        loss: (logits, targets) to the mean loss, a scalar tensor.
        activate: logits to predictions, shape (n, n_outputs).
        score: predictions for all validation samples, float64 (n, n_outputs), to the competition's metric.
        greater_is_better: direction of `score`.
        seed: the config's seed.
        fold: the fold's number.
    """

    build: Callable[[], nn.Module]
    train: Batches
    valid: Batches
    loss: Callable[[Tensor, Tensor], Tensor]
    activate: Callable[[Tensor], Tensor]
    score: Callable[[NDArray[np.float64]], float]
    greater_is_better: bool
    seed: int
    fold: int


@dataclass(frozen=True)
class FitResult:
    """A trained model.

    Attributes:
        model: in evaluation mode, with the weights that make the predictions.
        history: one dict of values an epoch: lr, train_loss, valid_loss, valid_score.
        best_epoch: the epoch whose weights were kept, counted from 0.
        notes: what a reader must know: memory that ran out, losses that were not finite.
    """

    model: nn.Module
    history: tuple[dict[str, float], ...]
    best_epoch: int
    notes: tuple[str, ...]


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
        TrainingError: not even one sample fits into the memory.
        CheckpointUnreadable: there is a checkpoint and it is damaged.
        DiskFull: there was no room for a checkpoint; those before it are whole.
    """
    device = resolve_device(settings.training.device)
    team = current_team()
    shortage = read_shortage(checkpoints.folder)
    if team.size > 1 and shortage is not None:
        _go_back(task, settings, checkpoints, device, shortage.halve)
        forget_shortage(checkpoints.folder, team)
    while True:
        training = _Training(task, settings, checkpoints, device)
        mend: Callable[[TrainState], None]
        try:
            training.run(report, should_stop)
            return training.result()
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            mend = _halve(training, error)
        except NonFiniteLoss as error:
            if training.state.retries >= settings.training.nonfinite_retries:
                raise
            mend = _lower_lr(training, error)
        # Outside the except block nothing holds the failed step's tensors any more.
        del training
        if device.type == "cuda":
            torch.cuda.empty_cache()
        _go_back(task, settings, checkpoints, device, mend)


class _Training:
    """One attempt at training a fold: from its start or its last checkpoint to its end, or to an error."""

    def __init__(self, task: FitTask, settings: FitSettings, checkpoints: Checkpoints, device: torch.device) -> None:
        self.task, self.config, self.checkpoints = task, settings.training, checkpoints
        self.team: Team = current_team()
        self.precision = Precision.resolve(self.config.precision, device)
        self.state = _start(task, settings, device, self.precision, checkpoints)
        full = min(self.micro_batch, self.config.step_size * self.config.accumulate)
        adds_up = full < self.config.step_size * self.config.accumulate
        self.stepper = Stepper(
            self.state,
            compiled(self.team.wrap(self.state.model), self.config.compile, device, full, adds_up),
            task.loss,
            settings,
            self.precision,
            self.team,
            Randomness(task.seed, task.fold),
            updates_per_epoch(len(task.train), self.config),
        )
        self._last_save = time.monotonic()

    @property
    def micro_batch(self) -> int:
        """Most samples of one forward pass."""
        return self.state.micro_batch or self.config.micro_batch or self.config.step_size

    def run(self, report: Report, should_stop: ShouldStop) -> None:
        """Train until the epochs are done or early stopping ends it."""
        try:
            with self.precision.float32_math():
                self._run(report, should_stop)
        finally:
            self.checkpoints.wait()

    def _run(self, report: Report, should_stop: ShouldStop) -> None:
        state, config = self.state, self.config
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
                self._save_soon()

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
        piece = cut(self.team.share(split_epoch(order, self.config)[0]), self.micro_batch)[0]
        self.state.model.train()
        with closing(self.task.train.stream([piece], 0)) as batches:
            self.stepper.warm_up(piece, batches)

    def _train_epoch(self, should_stop: ShouldStop) -> None:
        """The updates of the epoch that are still to do."""
        task, state, team = self.task, self.state, self.team
        order = sample_order(task.seed, task.fold, state.epoch, len(task.train))
        updates = split_epoch(order, self.config)[state.updates_done :]
        pieces = [cut(team.share(samples), self.micro_batch) for samples in updates]
        state.model.train()
        with closing(task.train.stream([piece for share in pieces for piece in share], state.epoch)) as batches:
            for samples, share in zip(updates, pieces, strict=True):
                self.stepper.update(samples, share, batches)
                wants_stop = should_stop({"epoch": state.epoch, "update": state.updates})
                is_due = time.monotonic() - self._last_save > self.config.checkpoint_seconds
                stop, save = team.agree(wants_stop, is_due)
                if stop:
                    self._save_soon()
                    raise Stopped
                # One that is due while another is still being written waits: training must not.
                if save and not self.checkpoints.is_busy:
                    self._save_soon()

    def _save_soon(self) -> None:
        self.stepper.watch.settle()
        self.checkpoints.save_soon(self.state.snapshot())
        self._last_save = time.monotonic()

    def _evaluate(self) -> dict[str, float]:
        task, state = self.task, self.state
        self.team.sync_buffers(state.evaluated)
        logits = predict_logits(state.evaluated, task.valid, self.config.eval_size, self.precision, self.team)
        self.stepper.watch.settle()
        return self.team.values_of_first(
            lambda: {
                "lr": state.optimizer.param_groups[0]["lr"],
                "train_loss": float(state.loss_sum) / max(1, state.samples_done),
                "valid_loss": float(task.loss(logits, task.valid.targets())),
                "valid_score": float(task.score(task.activate(logits.double()).numpy())),
            }
        )


def _start(
    task: FitTask, settings: FitSettings, device: torch.device, precision: Precision, checkpoints: Checkpoints
) -> TrainState:
    """The state at the last checkpoint, or at the start."""
    seed_torch(task.seed, "init", task.fold)
    model = task.build().to(device)
    state = TrainState(
        model=model,
        optimizer=build_optimizer(model, settings.optimizer),
        scaler=torch.amp.GradScaler(device.type, enabled=precision.scales_loss),
        average=WeightAverage(model, settings.training.ema) if settings.training.ema else None,
        loss_sum=torch.zeros((), dtype=torch.float64, device=device),
    )
    saved = checkpoints.load()
    if saved is not None:
        state.restore(saved)
    return state


def _go_back(
    task: FitTask,
    settings: FitSettings,
    checkpoints: Checkpoints,
    device: torch.device,
    mend: Callable[[TrainState], None],
) -> None:
    """Change the last checkpoint, so that a kill right after this changes nothing."""
    precision = Precision.resolve(settings.training.precision, device)
    state = _start(task, settings, device, precision, checkpoints)
    current_team().wait_for_all()  # until all have read the checkpoint that is replaced now
    mend(state)
    checkpoints.save(state.snapshot())
    current_team().wait_for_all()


def _halve(training: _Training, error: BaseException) -> Callable[[TrainState], None]:
    """Half the samples a forward pass; the update stays the same.

    Raises:
        TrainingError: one sample alone does not fit.
        TeamOutOfMemory: the other processes of the team wait within this update: all have to start again.
    """
    shortage = Shortage(training.micro_batch, training.state.updates)
    if shortage.micro_batch == 1:
        raise TrainingError(
            f"out of memory with one sample at a time: {str(error).splitlines()[0][:160]}",
            hint="training.gradient_checkpointing=true, a smaller model.image_size, or training.precision=auto",
        ) from error
    if training.team.size > 1:
        write_shortage(training.checkpoints.folder, shortage)
        raise TeamOutOfMemory(str(error).splitlines()[0][:160]) from error
    return shortage.halve


def _lower_lr(training: _Training, error: NonFiniteLoss) -> Callable[[TrainState], None]:
    factor, update = training.config.nonfinite_lr_factor, training.state.updates
    # The error itself would hold the failed step's tensors.
    what = error.message.splitlines()[0]

    def mend(state: TrainState) -> None:
        state.retries += 1
        state.lr_factor *= factor
        state.notes.append(f"{what}; went back from update {update} to {state.updates}, lr times {factor}")

    return mend


def _remember_best(task: FitTask, config: TrainingConfig, state: TrainState, values: dict[str, float]) -> None:
    """Keep the best weights, and see whether early stopping is due. A score that is NaN is never best."""
    score = values["valid_score"]
    sign = 1.0 if task.greater_is_better else -1.0
    if state.best_score is None or sign * score > sign * state.best_score or math.isnan(state.best_score):
        state.best_score, state.best_epoch = score, state.epoch
        if config.keep == "best":
            state.best_weights = copy_weights(state.evaluated)
    patience = config.early_stopping
    state.stopped_early = patience is not None and state.epoch - state.best_epoch >= patience
