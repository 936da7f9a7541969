"""Best among comparable runs."""

from __future__ import annotations

from typing import Any

import pytest

from kagglerun.errors import ConfigError
from kagglerun.files import write_json, write_text
from kagglerun.submission.select import select_best
from kagglerun.workspace import Workspace


def _run(
    workspace: Workspace,
    name: str,
    score: float | None,
    *,
    minute: int,
    comparable: str = "same",
    state: str = "FINISHED",
    greater: bool = True,
    folds: tuple[float, ...] = (),
    rerun: int | None = None,
) -> None:
    run = workspace.run("coins", name)
    write_text(run.config, "competition: coins\n")
    write_json(
        run.status, {"state": state, "started": f"2026-01-01T00:{minute:02}:00+00:00", "rerun": rerun and str(rerun)}
    )
    write_json(run.fingerprint, {"comparable": comparable})
    if score is not None:
        metrics: dict[str, Any] = {
            "score": score,
            "fold_scores": folds or [score],
            "metric": "accuracy",
            "seconds": 1.0,
        }
        write_json(run.metrics, {**metrics, "greater_is_better": greater})


def test_the_best_score_in_the_metrics_direction_wins(workspace: Workspace) -> None:
    for minute, (name, score) in enumerate({"a": 0.5, "b": 0.9, "c": 0.7}.items()):
        _run(workspace, name, score, minute=minute)
    assert select_best(workspace, "coins").run.run_id == "b"


def test_smaller_may_be_better(workspace: Workspace) -> None:
    for minute, (name, score) in enumerate({"a": 0.5, "b": 0.9, "c": 0.7}.items()):
        _run(workspace, name, score, minute=minute, greater=False)
    assert select_best(workspace, "coins").run.run_id == "a"


def test_only_runs_comparable_with_the_newest_are_compared(workspace: Workspace) -> None:
    _run(workspace, "old", 0.99, minute=0, comparable="other folds")
    _run(workspace, "a", 0.7, minute=1)
    _run(workspace, "b", 0.6, minute=2)
    _run(workspace, "dead", None, minute=3, state="KILLED")
    chosen = select_best(workspace, "coins")
    assert (chosen.run.run_id, chosen.compared) == ("a", 2)
    assert chosen.left_out == ("1 killed", "1 with other data, folds or metric than the newest run")


def test_the_earliest_of_equal_runs_is_taken(workspace: Workspace) -> None:
    _run(workspace, "z-first", 0.7, minute=0)
    _run(workspace, "a-second", 0.7, minute=1)
    assert select_best(workspace, "coins").run.run_id == "z-first"


def test_without_a_finished_run_there_is_no_best(workspace: Workspace) -> None:
    with pytest.raises(ConfigError, match="no run at all"):
        select_best(workspace, "coins")
    _run(workspace, "dead", None, minute=0, state="FAILED")
    with pytest.raises(ConfigError, match=r"no finished run \(1 failed\)") as caught:
        select_best(workspace, "coins")
    assert "kagglerun sweep" in str(caught.value.hint)


def test_reruns_decide_between_close_runs_and_are_no_candidates_themselves(workspace: Workspace) -> None:
    _run(workspace, "lucky", 0.91, minute=0, folds=(0.90, 0.92, 0.91))
    _run(workspace, "solid", 0.90, minute=1, folds=(0.91, 0.90, 0.89))
    assert select_best(workspace, "coins").run.run_id == "lucky"
    for number in (1, 2, 3):
        for name, score in (("lucky", 0.80), ("solid", 0.90 + number / 1000)):
            folds = (score - 0.01, score + 0.01, score)
            _run(
                workspace, f"{name}-r{number}", score, minute=9, comparable=f"split {number}", folds=folds, rerun=number
            )
    chosen = select_best(workspace, "coins")
    assert (chosen.run.run_id, chosen.compared, chosen.left_out) == ("solid", 2, ())
    assert chosen.certainty.estimate == pytest.approx(0.902) and chosen.certainty.bound < 0.902
    assert chosen.certainty.probability_best > 0.9


def test_it_is_said_how_sure_the_best_is(workspace: Workspace) -> None:
    for minute, score in enumerate((0.80, 0.801, 0.70)):
        noise = (-1, 1, 0) if minute % 2 else (1, 0, -1)
        _run(workspace, f"run{minute}", score, minute=minute, folds=tuple(score + 0.01 * each for each in noise))
    chosen = select_best(workspace, "coins")
    certainties = chosen.certainties
    assert chosen.run.run_id == "run1" and chosen.certainty.bound < 0.801 < 0.801 + chosen.certainty.standard_error  # type: ignore[operator]
    assert 0.4 < certainties["run1"].probability_best < 0.7 and certainties["run2"].probability_best < 0.01
