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


def _seed(
    workspace: Workspace, name: str, score: float, *, minute: int, seed: int, lr: float, comparable: str = "same"
) -> None:
    folds = (score - 0.004, score + 0.004, score)
    _run(workspace, name, score, minute=minute, comparable=comparable, folds=folds)
    write_text(workspace.run("coins", name).config, f"seed: {seed}\nmodel: {{kind: image}}\noptimizer: {{lr: {lr}}}\n")


def test_a_lucky_seed_is_refused_with_the_reason(workspace: Workspace) -> None:
    for seed, score in enumerate((0.90, 0.80, 0.802, 0.798)):
        _seed(workspace, f"wild-{seed}", score, minute=seed, seed=seed, lr=0.1)
    _seed(workspace, "solid", 0.85, minute=8, seed=0, lr=0.01)
    chosen = select_best(workspace, "coins")
    assert chosen.run.run_id == "solid"
    assert chosen.certainties["wild-0"].estimate == pytest.approx(0.825)
    (reason,) = chosen.reasons
    assert reason.startswith("run wild-0 (0.90000) is refused, a lucky seed: 3 other seeds of the same config scored")
    assert "0.79800 to 0.80200" in reason


def test_seeds_that_choose_the_folds_too_are_of_one_candidate(workspace: Workspace) -> None:
    for minute, (name, score) in enumerate({"solid": 0.85, "poor": 0.7}.items()):
        _seed(workspace, name, score, minute=minute, seed=0, lr=0.01 + minute, comparable="split 0")
    for seed, score in enumerate((0.90, 0.80, 0.802, 0.798)):
        _seed(workspace, f"wild-{seed}", score, minute=5 + seed, seed=seed, lr=0.1, comparable=f"split {seed}")
    chosen = select_best(workspace, "coins")
    assert (chosen.run.run_id, chosen.compared) == ("solid", 3), "folds of the newest run's config, not its own alone"
    assert "lucky seed" in chosen.reasons[0]


def test_the_middle_seed_stands_for_the_best_config(workspace: Workspace) -> None:
    for seed, score in enumerate((0.90, 0.88, 0.89)):
        _seed(workspace, f"good-{seed}", score, minute=seed, seed=seed, lr=0.1)
    _seed(workspace, "worse", 0.70, minute=8, seed=0, lr=0.01)
    chosen = select_best(workspace, "coins")
    assert chosen.run.run_id == "good-2" and chosen.certainty.estimate == pytest.approx(0.89)
    assert chosen.certainty.probability_best > 0.99, "the seeds do not share it between them"
    assert "the same config with another seed; 3 seeds make" in chosen.reasons[0]


def test_the_same_run_again_does_not_count_twice(workspace: Workspace) -> None:
    for minute, seed in enumerate((0, 0, 1)):
        _seed(workspace, f"run-{minute}", 0.9 if seed == 0 else 0.8, minute=minute, seed=seed, lr=0.1)
    assert select_best(workspace, "coins").certainty.estimate == pytest.approx(0.85)


def test_the_best_ensemble_or_the_best_of_a_study_can_be_asked_for(workspace: Workspace) -> None:
    for minute, name in enumerate(("alone", "joined", "trial-0", "trial-1")):
        _run(workspace, name, 0.9 - 0.1 * minute, minute=minute)
    write_json(workspace.run("coins", "joined").ensemble, {"method": "mean"})
    for name in ("trial-0", "trial-1"):
        status = workspace.run("coins", name).status
        write_json(status, {"state": "FINISHED", "started": "2026-01-01T00:09:00+00:00", "study": "baseline"})
    for of, best in ((None, "alone"), ("ensemble", "joined"), ("study baseline", "trial-0"), ("base", "trial-0")):
        assert select_best(workspace, "coins", of).run.run_id == best, of
    write_json(workspace.run("coins", "alone").status, {"state": "FAILED", "started": "2026-01-01T00:00:00+00:00"})
    assert select_best(workspace, "coins", "single").run.run_id == "trial-0"


def test_a_study_that_is_not_there_is_named_with_those_that_are(workspace: Workspace) -> None:
    _run(workspace, "alone", 0.9, minute=0)
    with pytest.raises(ConfigError, match="no finished ensemble") as caught:
        select_best(workspace, "coins", "ensemble")
    assert caught.value.hint == "kagglerun ensemble"
    with pytest.raises(ConfigError, match="nope"):
        select_best(workspace, "coins", "study nope")
    with pytest.raises(ConfigError, match="which study is meant is not said"):
        select_best(workspace, "coins", "study")
