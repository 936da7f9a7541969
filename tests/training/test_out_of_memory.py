"""Memory that runs out: a network that raises torch's own error above some number of samples a forward pass."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kagglerun.errors import TrainingError
from kagglerun.training.checkpoint import Checkpoints
from kagglerun.training.distributed import Team
from kagglerun.training.loop import FitResult
from kagglerun.training.precision import Precision
from kagglerun.training.predict import predict_logits
from kagglerun.training.seed import sample_order
from tests.training.small_fits import (
    largest_difference,
    noisy_net,
    plain_net,
    problem,
    run_fit,
    run_in_pieces,
    same_bits,
    training_config,
)

pytestmark = pytest.mark.long

torch.set_num_threads(1)


class Small(nn.Module):
    """A network with memory for so many samples.

    Args:
        inner: what it computes.
        most: samples that fit into a forward pass in training.
        most_in_validation: likewise in validation.
        in_backward: run out in the backward pass, with activations held, instead of the forward pass.
    """

    def __init__(
        self,
        inner: nn.Module,
        most: int,
        most_in_validation: int = 10**6,
        from_pass: int = 0,
        in_backward: bool = False,
    ) -> None:
        super().__init__()
        self.inner, self.most, self.most_in_validation = inner, most, most_in_validation
        self.in_backward = in_backward

    def forward(self, inputs: Tensor) -> Tensor:
        most = self.most if self.training else self.most_in_validation
        logits: Tensor = self.inner(inputs)
        if len(inputs) > most:
            if not self.in_backward:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 TiB.\nMore text")
            logits.register_hook(self.fail)
        return logits

    @staticmethod
    def fail(gradient: Tensor) -> None:
        """As cuBLAS says it."""
        raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")


def small(most: int, inner: Callable[[], nn.Module] = noisy_net, **options: Any) -> Callable[[], nn.Module]:
    """What builds the network."""
    return lambda: Small(inner(), most, **options)


@pytest.mark.parametrize("in_backward", [False, True])
def test_half_the_samples_a_pass_from_the_first_update_on_is_micro_batch_set_by_hand(
    tmp_path: Path, in_backward: bool
) -> None:
    config = training_config(accumulate=2, ema=0.9)
    mended = run_fit(tmp_path / "mended", config, build=small(4, in_backward=in_backward))
    by_hand = run_fit(tmp_path / "hand", config.model_copy(update={"micro_batch": 4}), build=small(4))
    assert largest_difference(mended, by_hand) == 0 and mended.history == by_hand.history
    assert by_hand.notes == ()
    assert mended.notes == (
        "out of memory at update 0: from there on 4 samples a forward pass instead of 8, "
        "with the same samples an update",
    )


def test_it_is_halved_until_it_fits(tmp_path: Path) -> None:
    result = run_fit(tmp_path, training_config(), build=small(2))
    assert [note.split(" on ")[1].split(" samples")[0] for note in result.notes] == ["4", "2"]


def test_without_batch_norm_and_dropout_the_result_stays_within_rounding(tmp_path: Path) -> None:
    whole = run_fit(tmp_path / "whole", training_config(), build=plain_net)
    mended = run_fit(tmp_path / "mended", training_config(), build=small(3, plain_net))
    renamed = {f"inner.{name}": value for name, value in whole.model.state_dict().items()}
    worst = max(float((mended.model.state_dict()[name] - value).abs().max()) for name, value in renamed.items())
    assert 0 < worst < 1e-5


def interrupted_shortage(folder: Path, pieces: int | None, **values: Any) -> FitResult:
    """A fit whose memory becomes short at update 11 in the first attempt that comes there, and stays so."""
    state = {"was": False, "short": False}
    config = training_config(**{"ema": 0.9, "epochs": 3, **values})

    class Late(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = noisy_net()

        def forward(self, inputs: Tensor) -> Tensor:
            if self.training and len(inputs) > 4 and state["short"]:
                state["short"] = False
                raise torch.OutOfMemoryError("CUDA out of memory.")
            logits: Tensor = self.inner(inputs)
            return logits

    train, valid = problem()

    def spoil(samples: np.ndarray, inputs: Tensor, epoch: int | None) -> Tensor:
        if epoch == 1 and not state["was"] and list(samples) == twelfth:
            state.update(was=True, short=True)
        return inputs

    twelfth = sample_order(3, 0, 1, 64)[24:32].tolist()
    train.spoil = spoil
    if pieces is None:
        return run_fit(folder, config, data=(train, valid), build=Late)
    return run_in_pieces(folder, config, pieces, data=(train, valid), build=Late)


def test_where_checkpoints_stood_when_memory_ran_out_changes_no_bit(tmp_path: Path) -> None:
    whole = interrupted_shortage(tmp_path / "whole", None)
    assert whole.notes[0].startswith("out of memory at update 11: from there on 4 samples")
    others = [
        interrupted_shortage(tmp_path / "often", None, checkpoint_seconds=1e-9),
        interrupted_shortage(tmp_path / "seldom", None, checkpoint_epochs=3),
        interrupted_shortage(tmp_path / "pieces", 5),
    ]
    assert all(same_bits(whole, other) for other in others)


def test_one_sample_that_does_not_fit_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError) as caught:
        run_fit(tmp_path, training_config(), build=small(0, plain_net))
    assert "out of memory with one sample" in caught.value.message and "More text" not in caught.value.message
    assert "gradient_checkpointing" in str(caught.value.hint)


def test_a_model_that_does_not_fit_is_a_clear_error(tmp_path: Path) -> None:
    def build() -> nn.Module:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(TrainingError, match="do not fit"):
        run_fit(tmp_path, training_config(), build=build)


def test_a_validation_that_does_not_fit_is_halved_and_noted_once(tmp_path: Path) -> None:
    config = training_config(epochs=3)
    whole = run_fit(tmp_path / "whole", config, build=small(8))
    mended = run_fit(tmp_path / "mended", config, build=small(8, most_in_validation=5))
    assert [note.partition(":")[0] for note in mended.notes] == ["out of memory in the validation of epoch 0"] * 2
    assert largest_difference(whole, mended) == 0
    again = run_in_pieces(tmp_path / "pieces", config, 3, build=small(8, most_in_validation=5))
    assert same_bits(mended, again)


def test_a_prediction_that_does_not_fit_is_halved_until_one_sample(tmp_path: Path) -> None:
    train, _ = problem()
    precision = Precision("fp32", torch.device("cpu"))
    whole = predict_logits(plain_net(), train, 64, precision, Team())
    model = Small(plain_net(), 0, most_in_validation=3)
    halved = predict_logits(model, train, 64, precision, Team())
    assert halved.shape == whole.shape == (64, 1)
    assert torch.allclose(halved, predict_logits(model.inner, train, 2, precision, Team()), atol=1e-6)
    with pytest.raises(TrainingError, match="one sample"):
        predict_logits(Small(plain_net(), 0, most_in_validation=0), train, 64, precision, Team())


def test_nothing_of_the_failed_attempt_is_in_memory_when_the_next_begins(tmp_path: Path) -> None:
    alive: list[weakref.ref[nn.Module]] = []
    found: list[int] = []

    def build() -> nn.Module:
        found.append(sum(ref() is not None for ref in alive))
        model = Small(noisy_net(), 4, in_backward=True)
        alive.append(weakref.ref(model))
        return model

    gc.disable()  # what only a collection would free is freed by the loop itself
    try:
        run_fit(tmp_path, training_config(ema=0.9), build=build)
    finally:
        gc.enable()
    assert found == [0, 0, 0]


def test_memory_and_numbers_that_fail_in_one_run_are_both_mended(tmp_path: Path) -> None:
    train, valid = problem()
    bad = [True]

    def spoil(samples: np.ndarray, inputs: Tensor, epoch: int | None) -> Tensor:
        if epoch == 1 and bad[0]:
            bad[0] = False
            return inputs * float("nan")
        return inputs

    train.spoil = spoil
    config = training_config(nonfinite_retries=1)
    result = run_fit(tmp_path, config, data=(train, valid), build=small(4))
    assert [note.split()[0] for note in result.notes] == ["out", "the"] and len(result.history) == 3
    found = Checkpoints(tmp_path).load()
    assert found is not None and found.rest["micro_batches"] == [[0, 4]]
