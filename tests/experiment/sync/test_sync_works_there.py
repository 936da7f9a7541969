from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kagglerun.config.load import load_card, load_config, parse_config
from kagglerun.experiment.predictions import read_predictions
from kagglerun.experiment.rerun.reproduce import reproduce
from kagglerun.experiment.run import resolve_config, run_experiment
from kagglerun.experiment.runs import list_runs
from kagglerun.experiment.sync.after_pull import replay
from kagglerun.experiment.sync.pull import pull
from kagglerun.experiment.sync.push import push
from kagglerun.experiment.sync.selection import Selection, Weights
from kagglerun.experiment.sync.store import FolderStore
from kagglerun.files import read_json
from kagglerun.submission.select import select_best
from kagglerun.submission.write import write_submission
from kagglerun.tracking import behind
from kagglerun.workspace import CompetitionPaths, Workspace
from tests.experiment.sync.made_runs import make_workspace

BOOSTING = {"kind": "tabular_boosting", "n_estimators": 8, "min_child_samples": 5}


@pytest.mark.long
def test_a_pulled_run_works_like_one_that_was_made_there(
    workspace: Workspace, competition: CompetitionPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"name": "made", "model": BOOSTING, "cv": {"n_splits": 2}, "training": {"cpu_threads": 1, "device": "cpu"}}
    config = resolve_config(workspace, parse_config(values, "test"))
    result = run_experiment(workspace, config, "made-one")
    store = FolderStore(tmp_path / "target")
    push(workspace, store, Selection())
    there = make_workspace(tmp_path / "there")
    monkeypatch.setenv("KAGGLERUN_WORKSPACE", str(there.root))
    came = pull(there, store, Selection(weights=Weights.NONE))
    shutil.copytree(competition.data, there.competition("made").data)

    (summary,) = list_runs(there)
    assert (summary.run_id, summary.score, summary.state) == ("made-one", result.score, "FINISHED")
    assert select_best(there, "made").run.run_id == "made-one"
    run, paths = there.run("made", "made-one"), there.competition("made")
    assert load_config(run.config) == config
    card = load_card(paths.card)
    written = write_submission(paths, card, read_predictions(run.test), run.submission)
    assert written.read_text().startswith("id,y")
    assert replay(there, came) is None
    assert behind(there) == []
    assert read_json(run.tracking)["mlflow_run"]
    again = reproduce(there, run)
    assert again.equal, again
    assert any("were not pulled from" in note for note in again.notes)
