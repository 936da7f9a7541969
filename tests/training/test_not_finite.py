from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import kagglerun.training.finite as finite
from kagglerun.config.schema import OptimizerConfig
from kagglerun.errors import NonFiniteLoss
from kagglerun.training.checkpoint import Checkpoints
from kagglerun.training.loop import FitResult
from kagglerun.training.seed import sample_order
from kagglerun.training.step import Stepper
from tests.training.small_fits import Rows, problem, run_fit, run_in_pieces, same_bits, training_config

torch.set_num_threads(1)


def spoilt_in(epoch: int, sample: int, value: float = float("nan")) -> tuple[Rows, Rows]:
    """Data of which one sample is not finite in one epoch."""
    train, valid = problem()

    def spoil(samples: np.ndarray, inputs: Tensor, now: int | None) -> Tensor:
        if now != epoch:
            return inputs
        return torch.where(torch.from_numpy(samples == sample)[:, None], value, inputs)

    train.spoil = spoil
    return train, valid


def update_of(epoch: int, sample: int, updates_per_epoch: int = 8) -> int:
    """In which update of a run a sample comes."""
    place = int(np.flatnonzero(sample_order(3, 0, epoch, 64) == sample)[0])
    return epoch * updates_per_epoch + place // (64 // updates_per_epoch)


def saved_weights(folder: Path) -> dict[str, Tensor]:
    found = Checkpoints(folder).load()
    assert found is not None
    return dict(found.weights["weights"])


@pytest.mark.parametrize("lag", [0, 3])
@pytest.mark.parametrize("epoch", [0, 1])
def test_the_bad_update_is_named_and_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epoch: int, lag: int
) -> None:
    monkeypatch.setattr(finite, "lag_on", lambda device: lag)
    steps: list[tuple[int, list[Tensor]]] = []
    original = Stepper.update

    def watched(self: Stepper, *arguments: object) -> None:
        original(self, *arguments)  # type: ignore[arg-type]
        steps.append((self._state.updates, [p.detach().clone() for p in self._parameters]))

    monkeypatch.setattr(Stepper, "update", watched)
    bad = update_of(epoch, sample=5)
    with pytest.raises(NonFiniteLoss) as caught:
        run_fit(tmp_path, training_config(checkpoint_seconds=1e-9), data=spoilt_in(epoch, sample=5))
    message = caught.value.message
    assert f"epoch {epoch}, update {bad}, lr " in message and "samples" in message
    named = [int(number) for number in re.findall(r"\d+", message.rpartition(":")[2])]
    assert 5 in named and len(named) == 8
    assert "largest gradient is 0.weight's" in message
    # Whatever came after the bad update left the weights as they were, in memory and on the disk.
    good = steps[bad - 1][1] if bad else None
    assert len(steps) <= bad + max(lag, 0)
    if good is not None:
        assert all(torch.equal(a, b) for _, after in steps[bad:] for a, b in zip(after, good, strict=True))
        found = Checkpoints(tmp_path).load()
        assert found is not None and found.rest["updates"] <= bad
        known = next(weights for update, weights in steps if update == found.rest["updates"])
        assert all(torch.equal(saved_weights(tmp_path)[name], p) for name, p in zip(PARAMETERS, known, strict=True))


PARAMETERS = ("0.weight", "0.bias", "1.weight", "1.bias", "4.weight", "4.bias")


def test_one_bad_pass_of_an_accumulated_update_is_enough(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteLoss, match=f"update {update_of(1, 5, updates_per_epoch=4)}, "):
        run_fit(tmp_path, training_config(accumulate=2), data=spoilt_in(1, 5))


class InfiniteGradient(torch.autograd.Function):
    """The identity, whose gradient is infinite."""

    @staticmethod
    def forward(ctx: object, value: Tensor) -> Tensor:
        """As it is."""
        return value.clone()

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        """Infinite."""
        return gradient * float("inf")


@pytest.mark.parametrize("lag", [0, 3])
def test_an_infinite_gradient_of_a_finite_loss_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lag: int
) -> None:
    monkeypatch.setattr(finite, "lag_on", lambda device: lag)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.entry, self.exit = nn.Linear(4, 4), nn.Linear(4, 1)

        def forward(self, inputs: Tensor) -> Tensor:
            logits: Tensor = self.exit(InfiniteGradient.apply(self.entry(inputs)))
            return logits

    with pytest.raises(NonFiniteLoss) as caught:
        run_fit(tmp_path, training_config(), build=Net)
    assert re.search(r"the loss is \d+\.\d+ and the gradient norm (inf|nan)", caught.value.message)
    assert "largest gradient is entry.weight's with inf" in caught.value.message.replace("nan", "inf")


def test_predictions_that_are_not_finite_in_the_validation_alone_are_named(tmp_path: Path) -> None:
    train, valid = problem()
    valid.inputs[3] = float("inf")
    with pytest.raises(NonFiniteLoss) as caught:
        run_fit(tmp_path, training_config(), data=(train, valid))
    message = caught.value.message
    assert "1 of 16 validation samples are not finite in epoch 0, after update 7" in message
    assert message.endswith("validation rows): 3")


def retried(
    folder: Path, data: Callable[[], tuple[Rows, Rows]], pieces: int | None = None, **values: float
) -> FitResult:
    config = training_config(**{"epochs": 4, "nonfinite_retries": 2, "ema": 0.9, **values})
    if pieces is None:
        return run_fit(folder, config, data=data(), optimizer=OptimizerConfig(name="sgd", lr=0.02))
    return run_in_pieces(folder, config, pieces, data=data(), optimizer=OptimizerConfig(name="sgd", lr=0.02))


def bad_at_high_lr(epoch: int) -> tuple[Rows, Rows]:
    """A sample that is bad the first time that an epoch is trained, as if the lr had been too high."""
    train, valid = problem()
    bad = [True]

    def spoil(samples: np.ndarray, inputs: Tensor, now: int | None) -> Tensor:
        if now == epoch and bad[0] and 5 in samples:
            bad[0] = False
            return inputs * float("nan")
        return inputs

    train.spoil = spoil
    return train, valid


@pytest.mark.parametrize(("epoch", "update"), [(0, 0), (1, 0), (3, 16)])
def test_a_retry_goes_back_by_more_than_an_epoch_with_a_smaller_lr_and_says_so(
    tmp_path: Path, epoch: int, update: int
) -> None:
    result = retried(tmp_path, lambda: bad_at_high_lr(epoch))
    assert len(result.history) == 4 and len(result.notes) == 1
    bad = update_of(epoch, 5)
    assert f"update {bad}, " in result.notes[0]
    assert result.notes[0].endswith(f"went back to update {update}, from there on lr times 0.3")
    undisturbed = retried(tmp_path / "other", problem)
    lr = [values["lr"] for values in result.history]
    expected = [v["lr"] * (0.3 if number >= update // 8 else 1) for number, v in enumerate(undisturbed.history)]
    assert lr == pytest.approx(expected)


@pytest.mark.parametrize("epoch", [0, 1, 3])
def test_a_retry_gives_the_same_bits_however_often_the_run_was_interrupted(tmp_path: Path, epoch: int) -> None:
    whole = retried(tmp_path / "whole", lambda: bad_at_high_lr(epoch))
    for pieces, seconds in ((3, 1e-9), (7, 60)):
        other = retried(tmp_path / str(pieces), lambda: bad_at_high_lr(epoch), pieces, checkpoint_seconds=seconds)
        assert same_bits(whole, other)


def test_retries_end_and_the_last_error_comes_out(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteLoss, match="gone back 2 times already"):
        retried(tmp_path, lambda: spoilt_in(2, 5))
    found = Checkpoints(tmp_path).load()
    assert found is not None and found.rest["retries"] == 2
    assert found.rest["lr_factor"] == pytest.approx(0.09) and len(found.rest["notes"]) == 2
    # The same command again fails at the same place, without going back once more.
    with pytest.raises(NonFiniteLoss):
        retried(tmp_path, lambda: spoilt_in(2, 5))


def test_borders_to_go_back_to_are_kept_only_where_retries_are_wanted(tmp_path: Path) -> None:
    run_fit(tmp_path / "plain", training_config())
    assert all("." not in path.name for path in (tmp_path / "plain").iterdir())
    run_fit(tmp_path / "retries", training_config(nonfinite_retries=1, epochs=5))
    assert sorted(path.suffix for path in (tmp_path / "retries").iterdir()) == [".0", ".0"]
