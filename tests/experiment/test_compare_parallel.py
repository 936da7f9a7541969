"""Ways to use several GPUs are measured with the same samples an update, and none keeps the others from it."""

from __future__ import annotations

import math

import pytest

from kagglerun.config.load import parse_config
from kagglerun.errors import ConfigError
from kagglerun.experiment.parallel.compare_parallel import compare
from kagglerun.experiment.prepare import resolve_config
from kagglerun.workspace import CompetitionPaths, Workspace

pytestmark = pytest.mark.long

CONFIG = {
    "model": {"kind": "tabular_neural", "width": 16, "depth": 1},
    "cv": {"n_splits": 3},
    "training": {"batch_size": 8, "accumulate": 2, "cpu_threads": 1, "device": "cpu"},
}


def test_one_process_and_a_team_on_a_cpu_take_the_same_samples_an_update(
    workspace: Workspace, competition: CompetitionPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    config = resolve_config(workspace, parse_config(CONFIG, "test"))
    single, dp, ddp = compare(workspace, config, seconds=0.2)
    assert [found.strategy for found in (single, dp, ddp)] == ["single", "dp", "ddp"]
    assert [found.error for found in (single, dp, ddp)] == [None] * 3
    assert {found.effective_batch for found in (single, dp, ddp)} == {32}
    assert (single.processes, dp.processes, ddp.processes) == (1, 1, 2)
    assert all(found.devices == 0 and found.updates >= 2 for found in (single, dp, ddp))
    assert all(found.samples_per_second > 0 for found in (single, dp, ddp))
    assert "is the network itself" in dp.note and "gloo" in ddp.note
    assert not list(workspace.all_runs())


def test_what_cannot_be_measured_says_why(workspace: Workspace, competition: CompetitionPaths) -> None:
    boosting = resolve_config(workspace, parse_config({"model": {"kind": "tabular_boosting"}}, "test"))
    with pytest.raises(ConfigError, match="trains in one process"):
        compare(workspace, boosting, ("single",))
    config = resolve_config(workspace, parse_config({**CONFIG, "training": {"batch_size": 8, "device": "cpu"}}, "test"))
    competition.manifest.unlink()
    [found] = compare(workspace, config, ("single",), seconds=0.1)
    assert found.error is not None and math.isnan(found.samples_per_second)
