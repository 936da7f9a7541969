"""Ensembles as runs: every task, honest figures, refusals by name."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from kagglerun.config.load import load_config, parse_config
from kagglerun.ensemble import gains, write
from kagglerun.ensemble.again import make_again
from kagglerun.ensemble.blend import Blend
from kagglerun.ensemble.judge import Judge
from kagglerun.ensemble.methods import Method
from kagglerun.ensemble.nesting import nest
from kagglerun.ensemble.pool import Pool
from kagglerun.ensemble.run import Options, make_ensemble
from kagglerun.errors import ConfigError, DataError, DiskFull
from kagglerun.experiment.postprocess import read as read_postprocess
from kagglerun.experiment.predictions import read_predictions
from kagglerun.experiment.prepare import resolve_config
from kagglerun.experiment.runs import list_runs
from kagglerun.files import read_json, write_json
from kagglerun.metrics import get, score_rows
from kagglerun.submission.send import file_of_run
from kagglerun.workspace import Workspace
from tests.ensemble.made_runs import Made, make_competition

N = 330
Predict = Callable[[NDArray[Any], np.random.Generator], NDArray[np.float64]]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Two classes, a third of them the positive one; judged by the AUC."""
    return binary(Workspace(tmp_path_factory.mktemp("template")), metric="auc")


@pytest.fixture
def made(template: Made, workspace: Workspace) -> Made:
    """The same in a workspace of the test's own."""
    shutil.copytree(template.workspace.root, workspace.root, dirs_exist_ok=True)
    return replace(template, workspace=workspace)


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most tests do not look at them."""
    monkeypatch.setattr(write, "_draw", lambda written: None)


def binary(workspace: Workspace, **card: object) -> Made:
    """Two classes, a third of them the positive one."""
    labels = np.where(np.random.default_rng(0).random(N) < 0.33, "yes", "no")
    return make_competition(workspace, pd.DataFrame({"y": labels}), **card)


def guesses(noise: float) -> Predict:
    """Probabilities of the positive class with noise."""

    def predict(targets: NDArray[Any], numbers: np.random.Generator) -> NDArray[np.float64]:
        odds = (targets.reshape(len(targets), -1) - 0.5) * 2 + numbers.normal(size=(len(targets), 1)) * noise
        return np.asarray(1 / (1 + np.exp(-odds)))

    return predict


def classes(k: int, noise: float) -> Predict:
    """Probabilities of k classes with noise, nearer to the neighbours of the true one."""

    def predict(targets: NDArray[Any], numbers: np.random.Generator) -> NDArray[np.float64]:
        distance = np.abs(np.arange(k)[None, :] - targets[:, None])
        scores = np.exp(-distance + noise * numbers.normal(size=(len(targets), k)))
        return np.asarray(scores / scores.sum(axis=1, keepdims=True))

    return predict


def values(noise: float) -> Predict:
    """Numbers with noise."""

    def predict(targets: NDArray[Any], numbers: np.random.Generator) -> NDArray[np.float64]:
        table = targets.reshape(len(targets), -1).astype(np.float64)
        return np.asarray(np.exp(np.log(table) + noise * numbers.normal(size=table.shape)))

    return predict


def competition_of(kind: str, workspace: Workspace) -> tuple[Made, list[Predict]]:
    """A competition of a kind, and five ways to predict it."""
    numbers = np.random.default_rng(4)
    if kind in ("auc", "f1", "log_loss", "accuracy"):
        greater = kind != "log_loss"
        return binary(workspace, metric=kind, greater_is_better=greater), [guesses(1.5 + 0.2 * n) for n in range(5)]
    if kind in ("multiclass log_loss", "qwk"):
        metric = kind.split()[-1]
        labels = pd.DataFrame({"y": numbers.integers(4, size=N)})
        card = {"task": "multiclass", "classes": [0, 1, 2, 3], "greater_is_better": metric != "log_loss"}
        if metric == "log_loss":
            card |= {"submission_columns": ["0", "1", "2", "3"], "submission_layout": "wide"}
        return make_competition(workspace, labels, metric=metric, **card), [classes(4, 0.8 + 0.1 * n) for n in range(5)]
    if kind == "columnwise_auc":
        table = pd.DataFrame({name: (numbers.random(N) < 0.4).astype(int) for name in ("p", "q")})
        card = {"task": "multilabel", "classes": None}
        return make_competition(workspace, table, metric=kind, **card), [guesses(1.5 + 0.2 * n) for n in range(5)]
    table = pd.DataFrame({"y": np.exp(numbers.normal(size=N)) + 1})
    card = {"task": "regression", "classes": None, "greater_is_better": False}
    return make_competition(workspace, table, metric=kind, **card), [values(0.4 + 0.05 * n) for n in range(5)]


KINDS = ("f1", "auc", "log_loss", "accuracy", "multiclass log_loss", "qwk", "columnwise_auc", "rmse", "rmsle")
OPTIONS = Options(method="mean")


@pytest.mark.parametrize("kind", [KINDS[0], *(pytest.param(kind, marks=pytest.mark.long) for kind in KINDS[1:])])
def test_an_ensemble_of_any_task_is_a_run_that_beats_its_members(kind: str, workspace: Workspace) -> None:
    made, ways = competition_of(kind, workspace)
    for number, way in enumerate(ways):
        made.add_run(f"run-{number}", way, minute=number)
    report = make_ensemble(workspace, "made")
    [run] = [run for run in list_runs(workspace, "made") if run.model == "ensemble"]
    assert run.state == "FINISHED"
    assert run.comparable == made.prepared.fingerprint.comparable
    sign = 1 if run.greater_is_better else -1
    assert sign * report.score > sign * report.best_honest
    assert run.score == report.score
    assert len(run.fold_scores) == 3
    _check_files(made, report.run.run_id)


def _check_files(made: Made, run_id: str) -> None:
    """Test predictions are the blend of the members'; the submission is written from them; the figures agree."""
    run = made.workspace.run("made", run_id)
    saved = read_json(run.ensemble)
    blend = Blend.from_dict(saved)
    tests = {member: read_predictions(made.workspace.run("made", member).test).values for member in blend.members}
    test = read_predictions(run.test)
    assert test.values.tobytes() == blend.combine(tests).tobytes()
    assert load_config(run.config).model.kind == "ensemble"
    assert file_of_run(run, made.workspace.competition("made"), made.prepared.card).is_file()
    oof, metrics, step = read_predictions(run.oof), read_json(run.metrics), read_postprocess(run)
    raw = metrics["raw_score"] if step else metrics["score"]
    assert oof.rows is not None
    assert made.prepared.score(oof.rows, oof.values) == pytest.approx(raw)
    decided = step.apply(test.values) if step else test.values
    truth = score_rows(made.prepared.metric, made.prepared.card, made.test_targets, decided)
    assert truth == pytest.approx(metrics["score"], abs=0.3 * max(1.0, abs(metrics["score"])))


@pytest.mark.long
@pytest.mark.usefixtures("no_pictures")
def test_the_same_runs_and_seed_give_the_same_bytes(made: Made) -> None:
    for number in range(5):
        made.add_run(f"run-{number}", guesses(1.5 + 0.2 * number), minute=number)
    options = Options(method="hill", seed=3)
    first, second = (make_ensemble(made.workspace, "made", options=options).run for _ in range(2))
    for name in ("oof", "test", "ensemble"):
        assert getattr(first, name).read_bytes() == getattr(second, name).read_bytes()


def pool_of_noise(made: Made, draw: int, runs: int = 25) -> Pool:
    """Runs that know nothing."""
    numbers = np.random.default_rng([draw, 17])
    rows = np.flatnonzero(made.prepared.folds >= 0)
    folds = made.prepared.folds[rows]
    oof = {f"run-{number:02}": numbers.random((len(rows), 1)) for number in range(runs)}
    judge = Judge(made.prepared, rows)
    scores = {
        run: {fold: judge.score(np.flatnonzero(folds == fold), held[folds == fold]) for fold in range(3)}
        for run, held in oof.items()
    }
    return Pool(oof, folds, scores, judge, top=10, seed=0)


@pytest.mark.long
def test_runs_that_know_nothing_look_good_where_they_are_fitted_and_not_in_the_nested_score(made: Made) -> None:
    honest, fitted = [], []
    for draw in range(4):
        pool = pool_of_noise(made, draw)
        nested, _ = nest(pool, [Method.MEAN, Method.HILL])
        honest.append(pool.judge.score(pool.everything, nested.finished))
        fitted.append(pool.judge.score(pool.everything, nested.blend.combine(dict(pool.oof))))
    assert np.mean(fitted) > 0.57
    # Four figures with a standard error of about 0.033 each.
    assert abs(np.mean(honest) - 0.5) < 0.05


@pytest.mark.long
def test_choosing_the_method_is_part_of_what_is_judged(made: Made) -> None:
    pool = pool_of_noise(made, 1, runs=6)
    nested, _ = nest(pool, [Method.MEAN, Method.RIDGE, Method.LOGISTIC])
    assert len(nested.chosen) == 3
    score = pool.judge.score(pool.everything, nested.finished)
    assert score <= max(nested.scores.values()) + 1e-12


@pytest.mark.long
@pytest.mark.usefixtures("no_pictures")
def test_a_member_that_knows_more_gains_more(made: Made) -> None:
    made.add_run("good", guesses(0.8), minute=0)
    made.add_run("fair", guesses(2.0), minute=1)
    made.add_run("useless", guesses(100.0), minute=2)
    report = make_ensemble(made.workspace, "made", options=Options(method="hill"))
    good = report.members["good"]
    assert good is not None and good.gain > 0
    others = [gain.gain for run, gain in report.members.items() if run != "good" and gain is not None]
    assert all(good.gain > gain for gain in others)


def test_runs_with_other_folds_are_refused_by_name(made: Made) -> None:
    made.add_run("a", guesses(1.0))
    made.add_run("b", guesses(1.1), changes={"folds": "others", "comparable": "others"})
    made.add_run("c", guesses(1.1), changes={"data": "others", "metric": "f1 v1", "comparable": "third"})
    with pytest.raises(ConfigError) as refused:
        make_ensemble(made.workspace, "made", ["a", "b", "c"])
    assert "run b: other folds than a" in refused.value.message
    assert "run c: other data and other metric than a" in refused.value.message


@pytest.mark.usefixtures("no_pictures")
def test_runs_that_do_not_compare_are_left_out_and_counted(made: Made) -> None:
    made.add_run("odd", guesses(1.0), minute=0, changes={"folds": "others", "comparable": "others"})
    made.add_run("a", guesses(1.5), minute=1)
    made.add_run("b", guesses(1.6), minute=2)
    report = make_ensemble(made.workspace, "made", options=OPTIONS)
    assert [run.run_id for run in report.choice.runs] == ["a", "b"]
    assert report.choice.left_out == ("1 with other folds than the newest run",)


def test_folds_are_looked_at_even_where_fingerprints_agree(made: Made) -> None:
    made.add_run("a", guesses(1.0), minute=0)
    made.add_run("b", guesses(1.1), minute=1)
    table = pd.read_parquet(made.workspace.run("made", "a").oof)
    table["cv_fold"] = table["cv_fold"].to_numpy()[::-1].copy()
    table.to_parquet(made.workspace.run("made", "a").oof, index=False)
    with pytest.raises(DataError, match="run b: other folds"):
        make_ensemble(made.workspace, "made", options=OPTIONS)


@pytest.mark.long
@pytest.mark.usefixtures("no_pictures")
def test_copies_are_left_out_and_near_copies_told(made: Made) -> None:
    made.add_run("a", guesses(1.0), minute=0)
    made.add_run("copy", guesses(1.0), minute=1, like="a")
    made.add_run("near", guesses(1.0001), minute=2, like="a")
    made.add_run("b", guesses(1.3), minute=3)
    report = make_ensemble(made.workspace, "made", options=OPTIONS)
    assert report.choice.same == {"copy": "a"}
    assert [pair[:2] for pair in report.near] == [("near", "a")] or [pair[:2] for pair in report.near] == [
        ("a", "near")
    ]


@pytest.mark.long
@pytest.mark.usefixtures("no_pictures")
def test_an_ensemble_is_no_member_of_the_next_one(made: Made) -> None:
    made.add_run("a", guesses(1.0), minute=0)
    made.add_run("b", guesses(1.1), minute=1)
    first = make_ensemble(made.workspace, "made", options=OPTIONS).run.run_id
    assert {run.run_id for run in make_ensemble(made.workspace, "made", options=OPTIONS).choice.runs} == {"a", "b"}
    with pytest.raises(ConfigError, match=f"run {first} is an ensemble itself"):
        make_ensemble(made.workspace, "made", ["a", first])


def test_one_run_is_no_ensemble(made: Made) -> None:
    made.add_run("a", guesses(1.0))
    with pytest.raises(ConfigError, match="two runs at least"):
        make_ensemble(made.workspace, "made", options=OPTIONS)


def test_a_method_that_does_not_fit_says_why_and_which_do(workspace: Workspace) -> None:
    made, ways = competition_of("rmse", workspace)
    for number, way in enumerate(ways[:2]):
        made.add_run(f"run-{number}", way, minute=number)
    for method, reason in (("rank", "more than the order"), ("logistic", "no probabilities")):
        with pytest.raises(ConfigError, match=reason) as refused:
            make_ensemble(made.workspace, "made", options=Options(method=method))
        assert refused.value.hint is not None and "ridge" in refused.value.hint


def test_data_that_changed_since_the_runs_is_an_error(made: Made) -> None:
    for name in "ab":
        made.add_run(name, guesses(1.0), changes={"data": "older", "comparable": "older"})
    with pytest.raises(DataError, match="the data of made changed since the run b began"):
        make_ensemble(made.workspace, "made", options=OPTIONS)


def test_predictions_that_are_not_finite_are_named(made: Made) -> None:
    made.add_run("a", guesses(1.0))
    made.add_run("b", lambda targets, numbers: np.full((len(targets), 1), 0.5))
    table = pd.read_parquet(made.workspace.run("made", "b").oof)
    table.loc[3, "prediction:y"] = np.nan
    table.to_parquet(made.workspace.run("made", "b").oof, index=False)
    with pytest.raises(DataError, match="run b: some of its predictions are NaN"):
        make_ensemble(made.workspace, "made", options=OPTIONS)


def test_runs_of_one_fold_are_refused(made: Made) -> None:
    for number, name in enumerate("ab"):
        made.add_run(name, guesses(1.0 + number))
        run = made.workspace.run("made", name)
        table = pd.read_parquet(run.oof)
        table[table["cv_fold"] == 0].to_parquet(run.oof, index=False)
        write_json(run.metrics, {**read_json(run.metrics), "folds": [0], "fold_scores": [0.5]})
    with pytest.raises(ConfigError, match="one fold only"):
        make_ensemble(made.workspace, "made", options=OPTIONS)


@pytest.mark.long
@pytest.mark.usefixtures("no_pictures")
def test_two_folds_suffice(workspace: Workspace) -> None:
    labels = np.where(np.random.default_rng(0).random(N) < 0.33, "yes", "no")
    made = make_competition(workspace, pd.DataFrame({"y": labels}), n_splits=2, metric="auc")
    for number, name in enumerate("abc"):
        made.add_run(name, guesses(1.0 + 0.1 * number))
    report = make_ensemble(made.workspace, "made", options=OPTIONS)
    assert report.nested.method is Method.MEAN
    assert len(report.fold_scores) == 2


def test_an_ensemble_cannot_be_trained(made: Made) -> None:
    with pytest.raises(ConfigError, match="made of finished runs"):
        resolve_config(made.workspace, parse_config({"competition": "made", "model": {"kind": "ensemble"}}, "x"))


@pytest.mark.long
@pytest.mark.usefixtures("no_pictures")
def test_of_many_runs_only_those_that_may_take_part_are_read(made: Made) -> None:
    for number in range(8):
        made.add_run(f"run-{number}", guesses(0.5 + number), minute=number)
    made.workspace.run("made", "run-7").oof.write_bytes(b"nobody reads this")
    report = make_ensemble(made.workspace, "made", options=Options(top=2))
    assert len(report.members) <= 2


@pytest.mark.long
@pytest.mark.usefixtures("no_pictures")
def test_made_again_it_has_the_same_bits_and_a_changed_member_is_told(made: Made) -> None:
    for number in range(4):
        made.add_run(f"run-{number}", guesses(1.0 + number), minute=number)
    run = make_ensemble(made.workspace, "made", options=Options(method="ridge", seed=2)).run
    assert make_again(made.workspace, run) == ()
    made.add_run("run-0", guesses(1.2), minute=0)
    told = make_again(made.workspace, run)
    assert told[0].startswith("ensemble.json: ")
    assert any(line.startswith("OOF predictions: ") for line in told)
    with pytest.raises(ConfigError, match="is no ensemble"):
        make_again(made.workspace, made.workspace.run("made", "run-1"))


@pytest.mark.usefixtures("no_pictures")
def test_a_full_disk_leaves_a_failed_run_and_no_half_of_one(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(2):
        made.add_run(f"run-{number}", guesses(1.0 + number), minute=number)

    def full(path: Path, predictions: object) -> None:
        raise DiskFull(f"the disk is full: {path}")

    monkeypatch.setattr(write, "write_predictions", full)
    with pytest.raises(DiskFull):
        make_ensemble(made.workspace, "made", options=OPTIONS)
    [run] = [run for run in list_runs(made.workspace, "made") if run.model == "ensemble"]
    assert run.state == "FAILED"
    assert run.score is None


@pytest.mark.parametrize("by_halves", [False, True])
def test_the_error_of_an_accuracy_is_the_binomial_one(
    made: Made, by_halves: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gains, "writes_cells", lambda hooks: by_halves)
    prepared = replace(made.prepared, metric=get("accuracy"))
    judge = Judge(prepared, np.flatnonzero(prepared.folds >= 0))
    values = guesses(2.0)(judge.targets, np.random.default_rng(0))
    right = judge.score(np.arange(len(values)), values)
    sure = gains.sureness(judge, values, values, 0)
    assert sure.error == pytest.approx(np.sqrt(right * (1 - right) / len(values)), rel=0.2)
    assert sure.error_over == 0
