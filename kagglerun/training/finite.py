"""Notices a loss or a gradient that is not finite before the update is made, without waiting for a GPU."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kagglerun.errors import NonFiniteLoss
from kagglerun.training.batches import Samples
from kagglerun.training.state import TrainState

_LAG = 8


def lag_on(device: torch.device) -> int:
    """Updates that a device may be behind before its answer is waited for."""
    return _LAG if device.type == "cuda" else 0


@dataclass(frozen=True)
class UpdateFacts:
    """What an error message says of an update.

    Attributes:
        epoch: its epoch.
        update: its number in the run.
        lr: its learning rate.
        samples: the samples it took.
    """

    epoch: int
    update: int
    lr: float
    samples: Samples


@dataclass(frozen=True)
class _Pending:
    facts: UpdateFacts
    flag: Tensor
    arrived: torch.cuda.Event | None


class FiniteWatch:
    """Looks at each update's loss and gradients.

    On a CPU it looks before the step. On a GPU the flag stays there: fused optimizers leave out every step from the
    first bad one on by themselves (`found_inf`), and the answer is read some updates later.

    Args:
        names: names of the trained parameters, in the order of the gradients' norms.
        device: where the loss is.
        lag: updates after which an answer is waited for; 0 asks at once.
    """

    def __init__(self, names: Sequence[str], device: torch.device, lag: int | None = None) -> None:
        self._names = names
        self._lag = lag_on(device) if lag is None else lag
        self.found_inf = torch.zeros((), device=device)
        """1 from the first bad update on, float32 on the device, as fused optimizers want it."""
        self.is_deferred = self._lag > 0
        """Whether answers come later than the step."""
        self._norms = torch.zeros(len(names), device=device)
        self._values = torch.zeros(2, device=device)
        self._pending: deque[_Pending] = deque()

    @property
    def spoilt(self) -> Tensor | None:
        """Not 0 from the first bad update on, on the device; None where answers come before the step."""
        return self.found_inf if self.is_deferred else None

    def look(self, loss: Tensor, norm: Tensor, norms: Tensor, facts: UpdateFacts, scaled: bool) -> None:
        """Look at an update whose step is not made yet.

        Args:
            loss: the update's mean loss.
            norm: norm of all gradients.
            norms: norm of each gradient, in the order of the names.
            facts: which update it is.
            scaled: fp16: an infinite gradient is expected now and then, the scaler leaves that step out itself.

        Raises:
            NonFiniteLoss: this update, or on a GPU one of the last few, has no finite loss or gradient.
        """
        checked = loss if scaled else loss + norm
        if self._lag == 0:
            # One number for both, so that one answer is enough: neither makes the other's infinity finite.
            if not math.isfinite(float(checked)):
                raise self._error(facts, torch.stack([loss, norm]), norms)
            return
        is_first = ~torch.isfinite(checked) & (self.found_inf == 0)
        torch.where(is_first, torch.stack([loss, norm]).float(), self._values, out=self._values)
        torch.where(is_first, norms.float(), self._norms, out=self._norms)
        self.found_inf += is_first
        self._pending.append(self._ask(facts))
        self._read(self._lag)

    def settle(self) -> None:
        """Wait for all answers.

        Raises:
            NonFiniteLoss: an update had no finite loss or gradient.
        """
        self._read(0)

    def _ask(self, facts: UpdateFacts) -> _Pending:
        flag = self.found_inf.to("cpu", non_blocking=True, copy=True)
        if not self.found_inf.is_cuda:
            return _Pending(facts, flag, None)
        arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
        arrived.record()
        return _Pending(facts, flag, arrived)

    def _read(self, lag: int) -> None:
        """Take the answers that are `lag` updates old; never earlier ones, which would depend on the device's speed.

        All processes of a team must stop at the same update.
        """
        while len(self._pending) > lag:
            pending = self._pending.popleft()
            if pending.arrived is not None:
                pending.arrived.synchronize()
            if float(pending.flag):
                raise self._error(pending.facts, self._values, self._norms)

    def _error(self, facts: UpdateFacts, values: Tensor, norms: Tensor) -> NonFiniteLoss:
        loss, norm = values.tolist()
        shown = ", ".join(map(str, facts.samples[:8].tolist())) + (", ..." if len(facts.samples) > 8 else "")
        worst = int(torch.where(norms.isfinite(), norms, math.inf).argmax())
        return NonFiniteLoss(
            f"the loss is {loss} and the gradient norm {norm} at epoch {facts.epoch}, update {facts.update}, "
            f"lr {facts.lr:.2e}; the update was not made\n"
            f"the largest gradient is {self._names[worst]}'s with {float(norms[worst]):.3g}; "
            f"samples (numbers in the fold's training rows, {len(facts.samples)}): {shown}",
            hint=_hint(facts.lr),
        )


def check_predictions(logits: Tensor, state: TrainState) -> None:
    """See whether the network says something finite of each validation sample.

    Args:
        logits: float32 (n, n_logits) on the CPU.
        state: the state after the epoch's last update.

    Raises:
        NonFiniteLoss: it does not.
    """
    bad = (~torch.isfinite(logits).flatten(1).all(1)).nonzero().flatten()
    if len(bad) == 0:
        return
    shown = ", ".join(map(str, bad[:8].tolist())) + (", ..." if len(bad) > 8 else "")
    lr = state.optimizer.param_groups[0]["lr"]
    raise NonFiniteLoss(
        f"the predictions for {len(bad)} of {len(logits)} validation samples are not finite in epoch {state.epoch}, "
        f"after update {state.updates - 1}, lr {lr:.2e}\n"
        f"samples (numbers in the fold's validation rows): {shown}",
        hint=_hint(lr),
    )


def after_retries(error: NonFiniteLoss, retries: int) -> NonFiniteLoss:
    """The error that ends a run after so many times of going back; without any, the error as it is."""
    if retries == 0:
        return error
    times = "once" if retries == 1 else f"{retries} times"
    return NonFiniteLoss(
        f"{error.message}\nthe run has gone back {times} already, each with a smaller lr (training.nonfinite_retries)",
        hint="a much smaller optimizer.lr, or look at these samples; training.precision=fp32",
    )


def _hint(lr: float) -> str:
    return (
        f"a smaller learning rate, e.g. optimizer.lr={lr / 3:.1e}, training.precision=fp32, or "
        "training.nonfinite_retries=1"
    )
