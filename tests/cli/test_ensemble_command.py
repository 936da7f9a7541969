"""`kagglerun ensemble`, as a user types it."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from kagglerun.cli.main import run as kagglerun
from kagglerun.workspace import Workspace
from tests.ensemble.made_runs import Made, make_competition
from tests.ensemble.test_ensemble_run import guesses


@pytest.fixture
def made(workspace: Workspace) -> Made:
    """Three runs."""
    labels = np.where(np.random.default_rng(0).random(330) < 0.33, "yes", "no")
    made = make_competition(workspace, pd.DataFrame({"y": labels}), metric="auc")
    for number in range(3):
        made.add_run(f"run-{number}", guesses(1.0 + number), minute=number)
    return made


@pytest.mark.long
def test_the_whole_way_from_runs_to_an_ensemble_that_is_shown_and_made_again(
    made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kagglerun(["ensemble", "--method", "hill", "--name", "three"]) == 0
    said = capsys.readouterr().out
    for words in ("chosen from 3 runs", "auc, nested (greater is better)", "taken", "member", "OOF score", "next:"):
        assert words in said
    [run] = [run for run in made.workspace.all_runs("made") if run.run_id.startswith("three-")]
    assert {path.name for path in run.plots.glob("*.png")} >= {"weights.png", "fold_scores.png"}
    assert kagglerun(["show", run.run_id]) == 0
    assert "members: weight, and what the score loses without them" in capsys.readouterr().out
    assert kagglerun(["reproduce", run.run_id]) == 0
    assert capsys.readouterr().out.strip() == "equal"
    made.workspace.run("made", "run-1").oof.unlink()
    assert kagglerun(["reproduce", run.run_id]) == 2
    assert "are not here: run-1" in capsys.readouterr().err


@pytest.mark.long
def test_as_json(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    assert kagglerun(["ensemble", "run-0", "run-2", "--method", "mean", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["method"] == "mean"
    assert said["chosen_from"] == ["run-0", "run-2"]


def test_what_cannot_be_joined_ends_with_2_and_says_why(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    made.add_run("odd", guesses(1.0), changes={"folds": "others", "comparable": "others"})
    assert kagglerun(["ensemble", "run-0", "odd"]) == 2
    assert "run odd: other folds than run-0" in capsys.readouterr().err
    assert kagglerun(["ensemble", "--method", "hil"]) == 2
    assert "did you mean 'hill'?" in capsys.readouterr().err
