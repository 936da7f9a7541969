from __future__ import annotations

from dataclasses import replace

from kagglerun.sweep.review import draw_study
from kagglerun.sweep.study import prepare_study
from kagglerun.sweep.trials import TrialState
from kagglerun.workspace import Workspace
from tests.sweep.conftest import toy_config
from tests.sweep.test_sweep_coordinator import TOY
from tests.sweep.test_sweep_proposal import failed, play

PNG = b"\x89PNG\r\n\x1a\n"


def test_a_study_is_drawn_as_history_and_importances(workspace: Workspace) -> None:
    paths, spec = prepare_study(workspace, toy_config(8), objective=TOY)
    drawn = draw_study(paths, spec, [*play(8, lag=2), failed(8)], print)
    assert [path.name for path in drawn] == ["history.png", "importances.png"]
    assert all(path.read_bytes().startswith(PNG) for path in drawn)


def test_a_study_without_differing_values_is_not_drawn(workspace: Workspace) -> None:
    paths, spec = prepare_study(workspace, toy_config(8), objective=TOY)
    same = [replace(trial, state=TrialState.COMPLETE, value=0.5) for trial in play(3, lag=2)]
    assert draw_study(paths, spec, same, print) == []
    assert draw_study(paths, spec, [], print) == []
