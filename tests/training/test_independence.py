"""What a result does not depend on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from kagglerun.config.schema import OptimizerConfig
from tests.training.small_fits import largest_difference, plain_net, run_fit, run_in_pieces, same_bits, training_config

torch.set_num_threads(1)

CUT_TOLERANCE = 1e-6
"""Largest difference of a weight (of size 1) after 12 updates: float32 sums in another order, and nothing else."""


@pytest.mark.parametrize(
    "cut",
    [
        {"batch_size": 16, "accumulate": 1},
        {"batch_size": 8, "accumulate": 2},
        {"batch_size": 2, "accumulate": 8},
        {"batch_size": 16, "accumulate": 1, "micro_batch": 8},
        {"batch_size": 16, "accumulate": 1, "micro_batch": 5},
        {"batch_size": 8, "accumulate": 2, "micro_batch": 1},
    ],
)
def test_how_an_update_is_cut_into_passes_changes_rounding_alone(tmp_path: Path, cut: dict[str, int]) -> None:
    sgd = OptimizerConfig(name="sgd", lr=0.02)
    whole = run_fit(tmp_path / "whole", training_config(batch_size=16), build=plain_net, optimizer=sgd)
    other = run_fit(tmp_path / "other", training_config(**cut), build=plain_net, optimizer=sgd)
    assert largest_difference(whole, other) < CUT_TOLERANCE


@pytest.mark.parametrize("values", [{"checkpoint_seconds": 1e-9}, {"checkpoint_epochs": 2}, {"checkpoint_epochs": 9}])
@pytest.mark.parametrize("keep", ["best", "last"])
def test_when_checkpoints_are_written_changes_no_bit(tmp_path: Path, values: dict[str, float], keep: str) -> None:
    base = {"ema": 0.9, "accumulate": 2, "early_stopping": 2, "epochs": 4, "keep": keep}
    whole = run_fit(tmp_path / "whole", training_config(**base))
    other = run_fit(tmp_path / "other", training_config(**base, **values))
    assert same_bits(whole, other)


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
def test_where_a_run_was_stopped_changes_no_bit(tmp_path: Path, optimizer: str) -> None:
    config, chosen = training_config(ema=0.9, epochs=2), OptimizerConfig(name=optimizer, lr=0.02)
    whole = run_fit(tmp_path / "whole", config, optimizer=chosen)
    assert same_bits(whole, run_in_pieces(tmp_path / "pieces", config, 3, optimizer=chosen))
    # At its very end, before anyone has taken the result.
    assert same_bits(whole, run_fit(tmp_path / "pieces", config, optimizer=chosen))


def test_the_order_of_folds_changes_no_bit(tmp_path: Path) -> None:
    config = training_config(ema=0.9, epochs=2)
    forth = [run_fit(tmp_path / f"forth {fold}", config, fold=fold) for fold in (0, 1)]
    back = [run_fit(tmp_path / f"back {fold}", config, fold=fold) for fold in (1, 0)]
    assert same_bits(forth[0], back[1]) and same_bits(forth[1], back[0])
    assert largest_difference(forth[0], forth[1]) > 0.01
