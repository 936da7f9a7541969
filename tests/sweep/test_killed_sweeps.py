"""A real sweep with early stopping and a race, killed at random moments, ends as one that was left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from kagglerun.sweep.trials import TrialState
from tests.sweep.killed_sweeps import run_killed, run_left_alone


@pytest.mark.long
def test_a_real_sweep_that_is_killed_ends_with_the_same_study_race_and_predictions(tmp_path: Path) -> None:
    whole = run_left_alone(tmp_path / "whole")
    states = [trial[1] for trial in whole.trials]
    assert TrialState.PRUNED in states
    assert TrialState.COMPLETE in states
    killed = run_killed(tmp_path / "killed", seed=1, seconds=8.0)
    assert killed.kills > 0
    assert killed.equals(whole)
