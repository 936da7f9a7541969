"""The samples of an update: batch_size x accumulate x gpus, settled once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kagglerun.config.schema import OptimizerConfig, TrainingConfig
from kagglerun.errors import ConfigError, TrainingError
from kagglerun.training.batching import describe_update, settle_update, share_of, split_epoch
from kagglerun.training.optim import peak_lr
from tests.training.small_fits import run_fit, training_config

sizes = st.integers(1, 64)


@given(batch=sizes, gpus=st.integers(1, 8), accumulate=st.integers(1, 8))
def test_the_effective_batch_follows_and_settling_twice_changes_nothing(batch: int, gpus: int, accumulate: int) -> None:
    settled = settle_update(TrainingConfig(batch_size=batch, gpus=gpus, accumulate=accumulate))
    assert settled.effective_batch == settled.update_size == batch * gpus * accumulate
    assert settle_update(settled) == settled
    other = settle_update(TrainingConfig(batch_size=batch, gpus=gpus, effective_batch=settled.effective_batch))
    assert other == settled


def test_an_effective_batch_that_does_not_divide_names_the_three_numbers() -> None:
    with pytest.raises(ConfigError) as caught:
        settle_update(TrainingConfig(batch_size=48, gpus=2, effective_batch=256))
    assert all(number in caught.value.message for number in ("256", "48", "gpus 2", "96"))
    assert "training.effective_batch=288" in str(caught.value.hint)
    with pytest.raises(ConfigError, match="accumulate must be 4, not 3"):
        settle_update(TrainingConfig(batch_size=64, accumulate=3, effective_batch=256))


@pytest.mark.parametrize(("scaling", "expected"), [("none", 0.1), ("linear", 0.4), ("sqrt", 0.2)])
def test_lr_follows_the_effective_batch_as_the_config_says(scaling: str, expected: float) -> None:
    training = settle_update(TrainingConfig(batch_size=64, gpus=4, effective_batch=1024))
    optimizer = OptimizerConfig.model_validate({"lr": 0.1, "lr_scaling": scaling, "lr_batch": 256})
    assert peak_lr(optimizer, training) == pytest.approx(expected)
    said = describe_update(training, optimizer)
    assert said.startswith(f"effective batch 1024 (64 a step x 4 steps x 4 processes), lr {expected:g}")


@given(n=st.integers(1, 300), batch=sizes, gpus=st.integers(1, 5), accumulate=st.integers(1, 3))
def test_the_processes_shares_are_equal_disjoint_and_all_of_each_update(
    n: int, batch: int, gpus: int, accumulate: int
) -> None:
    config = TrainingConfig(batch_size=batch, gpus=gpus, accumulate=accumulate)
    for samples in split_epoch(np.arange(n), config):
        shares = [share_of(samples, rank, gpus) for rank in range(gpus)]
        assert np.concatenate(shares).tolist() == samples.tolist()
        assert len({len(share) for share in shares}) == 1 or n < gpus


@pytest.mark.parametrize("values", [{"batch_size": 1}, {"batch_size": 8, "micro_batch": 7}], ids=["batch", "rest"])
def test_a_forward_pass_of_one_sample_through_a_batch_norm_says_what_to_set(
    tmp_path: Path, values: dict[str, int]
) -> None:
    with pytest.raises(TrainingError, match="one sample") as caught:
        run_fit(tmp_path, training_config(**values))
    assert "training.batch_size" in str(caught.value.hint) and "training.micro_batch" in str(caught.value.hint)
