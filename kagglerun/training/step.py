"""One update: forward and backward over its pieces, then a step of the optimizer; a GPU is never waited for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from kagglerun.config.schema import OptimizerConfig, ScheduleConfig, TrainingConfig
from kagglerun.errors import NonFiniteLoss, TrainingError
from kagglerun.training.batches import Batch, Samples
from kagglerun.training.distributed import Team
from kagglerun.training.finite import FiniteWatch, UpdateFacts
from kagglerun.training.optim import lr_at, peak_lr
from kagglerun.training.precision import Precision
from kagglerun.training.seed import seed_torch
from kagglerun.training.state import TrainState

_LEAST_SCALE = 2.0**-10
"""fp16's loss scale starts at 2**16 and is halved at each overflow; below this the loss itself underflows."""


@dataclass(frozen=True)
class FitSettings:
    """How it is trained."""

    training: TrainingConfig
    optimizer: OptimizerConfig
    schedule: ScheduleConfig


@dataclass(frozen=True)
class Randomness:
    """What dropout's masks follow from, besides the update.

    Attributes:
        seed: the config's seed.
        fold: the fold's number.
    """

    seed: int
    fold: int


class Stepper:
    """Makes the updates of one fold.

    Args:
        state: what they change.
        forward: inputs to logits, with the state's weights.
        loss: (logits, targets) to the mean loss, a scalar tensor.
        settings: how it is trained.
        precision: number format of the forward pass.
        team: the processes that share each update.
        random: seeds of dropout.
        updates_per_epoch: optimizer steps in an epoch.
    """

    def __init__(
        self,
        state: TrainState,
        forward: Callable[..., Tensor],
        loss: Callable[[Tensor, Tensor], Tensor],
        settings: FitSettings,
        precision: Precision,
        team: Team,
        random: Randomness,
        updates_per_epoch: int,
    ) -> None:
        self._state, self.forward, self._loss, self._settings = state, forward, loss, settings
        self._precision, self._team, self._random = precision, team, random
        self._updates_per_epoch = updates_per_epoch
        named = [(name, p) for name, p in state.model.named_parameters() if p.requires_grad]
        self._parameters = [parameter for _, parameter in named]
        self.watch = FiniteWatch([name for name, _ in named], precision.device)
        self._absent = torch.zeros((), device=precision.device)
        if self.watch.is_deferred and not state.scaler.is_enabled():
            state.optimizer.found_inf = self.watch.found_inf  # type: ignore[attr-defined]
        self._peak = peak_lr(settings.optimizer, settings.training)

    def update(self, samples: Samples, pieces: Sequence[Samples], batches: Iterator[Batch]) -> None:
        """Make one update and count it.

        Args:
            samples: of the update, over all processes.
            pieces: this process's share, one forward pass each.
            batches: gives the pieces' batches next.

        Raises:
            NonFiniteLoss: this update, or on a GPU one of the last few, has no finite loss or gradient.
        """
        state = self._state
        lr = self._set_lr()
        rank = (self._team.rank,) if self._team.rank else ()
        seed_torch(self._random.seed, "dropout", self._random.fold, state.updates, *rank)
        state.optimizer.zero_grad(set_to_none=True)
        loss = self._team.mean(self._backward(len(samples), pieces, batches))
        self._step(loss, UpdateFacts(state.epoch, state.updates, lr, samples))
        state.loss_sum += loss * len(samples)
        state.samples_done += len(samples)
        state.updates_done += 1
        state.updates += 1
        if state.average:
            state.average.update(state.updates)

    def warm_up(self, piece: Samples, batches: Iterator[Batch]) -> None:
        """Forward and backward without an update: DistributedDataParallel then knows in which order gradients come.

        Args:
            piece: samples of one forward pass of this process.
            batches: gives their batch next.

        Raises:
            TrainingError: parameters have no gradient, so that the processes would wait for it for ever.
        """
        model = self._state.model
        kept = [buffer.clone() for buffer in model.buffers()]
        self._backward(len(piece) * self._team.size, [piece], batches)
        absent = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
        if absent:
            raise TrainingError(
                f"training.gpus is {self._team.size}, but a step of this network does not use {len(absent)} of its "
                f"parameters: {', '.join(absent[:3])}",
                hint="training.gpus=1; folds side by side: kagglerun train ... --folds-parallel",
            )
        self._state.optimizer.zero_grad(set_to_none=True)
        for buffer, before in zip(model.buffers(), kept, strict=True):
            buffer.copy_(before)

    def settle(self) -> None:
        """Wait for the answers to all updates so far.

        Raises:
            NonFiniteLoss: one had no finite loss or gradient, or fp16 cannot hold the gradients at all.
        """
        self.watch.settle()
        scaler = self._state.scaler
        if scaler.is_enabled() and scaler.get_scale() < _LEAST_SCALE:
            raise NonFiniteLoss(
                f"the gradients overflow fp16 even with the loss scaled by {scaler.get_scale():.1e}, so that no update "
                f"is made any more (epoch {self._state.epoch}, update {self._state.updates})",
                hint="training.precision=bf16, or fp32; or a smaller learning rate",
            )

    def _set_lr(self) -> float:
        config = self._settings
        lr = lr_at(self._state.updates, config.schedule, self._peak, self._updates_per_epoch, config.training.epochs)
        lr *= self._state.lr_factor
        for group in self._state.optimizer.param_groups:
            group["lr"] = lr * group.get("lr_scale", 1.0)
        return lr

    def _backward(self, n_samples: int, pieces: Sequence[Samples], batches: Iterator[Batch]) -> Tensor:
        """Add up the gradients of the pieces; the mean loss over this process's share, a scalar on the device."""
        total: Tensor | None = None
        for number, piece in enumerate(pieces):
            batch = next(batches)
            # Processes are averaged later, so a piece counts by its part of this process's share.
            weight = len(piece) * self._team.size / n_samples
            with self._team.backward_of(is_last=number == len(pieces) - 1):
                with self._precision.autocast(), _one_sample_named():
                    logits = self.forward(*batch.inputs)
                assert batch.targets is not None, "training samples have targets"
                loss = self._loss(logits.float(), batch.targets)
                loss = loss if weight == 1 else loss * weight
                torch.autograd.backward(self._state.scaler.scale(loss))
            total = loss.detach() if total is None else total + loss.detach()
        assert total is not None, "an update has at least one piece"
        return total

    def _step(self, loss: Tensor, facts: UpdateFacts) -> None:
        """Unscale, look, clip, step."""
        state, scaler = self._state, self._state.scaler
        if scaler.is_enabled():
            scaler.unscale_(state.optimizer)
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        norms = self._norms(gradients)
        norm = torch.linalg.vector_norm(norms)
        self.watch.look(loss, norm, norms, facts, scaled=scaler.is_enabled())
        limit = self._settings.training.clip_norm
        if limit is not None:
            torch._foreach_mul_(gradients, (limit / (norm + 1e-6)).clamp(max=1.0))
        if scaler.is_enabled():
            scaler.step(state.optimizer)
            scaler.update()
        else:
            state.optimizer.step()

    def _norms(self, gradients: list[Tensor]) -> Tensor:
        """The norm of each parameter's gradient; 0 for those that had none (a branch that was not used)."""
        norms = torch._foreach_norm(gradients)
        if len(norms) == len(self._parameters):
            return torch.stack(norms)
        known = iter(norms)
        return torch.stack([self._absent if p.grad is None else next(known) for p in self._parameters])


@contextmanager
def _one_sample_named() -> Iterator[None]:
    """Say what a batch norm refuses that sees one value a channel.

    Raises:
        TrainingError: it did.
    """
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise TrainingError(
            "a batch norm cannot train on a forward pass of one sample",
            hint="a larger training.batch_size, and a training.micro_batch that leaves no rest of one sample",
        ) from error
