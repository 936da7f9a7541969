from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from kagglerun import metrics
from kagglerun.config.postprocess import PostprocessConfig
from kagglerun.experiment.postprocess.cutoffs import fit_cutoffs
from kagglerun.experiment.postprocess.fit import fit
from kagglerun.experiment.postprocess.steps import ClassCutoffs, Temperature, Thresholds
from tests.experiment.postprocess.problems import made_card, problem, sigmoid

ROWS = np.arange(1500)


def shrunk_ratings(seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ratings 0 to 4, most of them low, and predictions that shrink towards their mean as regressors do."""
    numbers = np.random.default_rng(seed)
    skill = numbers.normal(size=len(ROWS))
    truths = np.digitize(skill + numbers.normal(scale=0.5, size=len(ROWS)), [0.2, 0.8, 1.3, 1.9]).astype(np.float64)
    return truths, 0.5 * skill + 1.0


def test_cut_offs_lift_qwk_and_beat_nelder_mead() -> None:
    from scipy.optimize import minimize

    truths, values = shrunk_ratings(1)
    labels, qwk = np.arange(5.0), metrics.get("qwk")

    def score(cuts: NDArray[np.float64]) -> float:
        return qwk(truths, np.searchsorted(cuts, values, side="right"))

    found = fit_cutoffs(values, truths, labels, score, is_qwk=True)
    by_asking = fit_cutoffs(values, truths, labels, score, is_qwk=False)
    field = minimize(lambda cuts: -score(np.sort(cuts)), [0.5, 1.5, 2.5, 3.5], method="nelder-mead")
    rounded = qwk(truths, np.clip(np.rint(values), 0, 4))
    assert score(found) > rounded + 0.1
    assert score(found) >= -field.fun and score(by_asking) > score(found) - 0.01
    assert (np.diff(found) >= 0).all()


def test_sums_give_the_kappa_of_each_place() -> None:
    from kagglerun.experiment.postprocess.cutoffs import _Kappa

    truths, values = shrunk_ratings(2)
    labels, truths = np.array([1.0, 2.0, 4.0, 5.0, 9.0]), np.array([1.0, 2.0, 4.0, 5.0, 9.0])[truths.astype(int)]
    cuts, tried = np.array([0.6, 1.1, 1.3, 1.9]), np.array([1.05, 1.2, 1.29])
    scores = _Kappa(values, truths, labels).scores(1, cuts, tried)
    for value, told in zip(tried, scores, strict=True):
        given = labels[np.searchsorted(np.array([0.6, value, 1.3, 1.9]), values, side="right")]
        assert told == pytest.approx(metrics.get("qwk")(truths, given), abs=1e-12)


def test_qwk_of_classes_and_of_numbers_rises() -> None:
    truths, values = shrunk_ratings(3)
    of_numbers = problem(made_card("qwk", "regression"), truths[:, None])
    fitted = fit(of_numbers, ROWS, values[:, None])
    assert set(np.unique(fitted.apply(values[:, None]))) <= set(range(5))
    assert gain(of_numbers, values[:, None]) > 0.1
    distances = np.abs(values[:, None] - np.linspace(0.3, 2.2, 5))
    classes = np.exp(-2 * distances) / np.exp(-2 * distances).sum(axis=1, keepdims=True)
    card = made_card("qwk", "multiclass", classes=["1", "2", "3", "4", "6"])
    of_classes = problem(card, truths.astype(np.int64))
    assert isinstance(fit(of_classes, ROWS, classes).steps[0], ClassCutoffs)
    assert gain(of_classes, classes) > 0.05


def test_a_mean_of_kappas_over_groups_is_searched_by_asking() -> None:
    truths, values = shrunk_ratings(4)
    card = made_card("mean_qwk", "regression", metric_parameters={"groups": ["a", "b", "c"] * 500})
    one = problem(card, truths[:, None])
    object.__setattr__(
        one, "score", lambda rows, mapped: metrics.get("mean_qwk")(truths[rows], np.rint(mapped[:, 0]), groups=rows % 3)
    )
    assert gain(one, values[:, None]) > 0.1


@pytest.mark.parametrize("metric", ["f1", "mcc", "f1_macro", "balanced_accuracy"])
def test_the_threshold_is_the_best_there_is(metric: str) -> None:
    odds = np.random.default_rng(7).normal(-2.0, 1.2, len(ROWS))
    truths = (np.random.default_rng(8).random(len(ROWS)) < sigmoid(odds)).astype(np.int64)
    one = problem(made_card(metric, "binary", classes=["no", "yes"]), truths)
    values = sigmoid(odds)[:, None]
    fitted = fit(one, ROWS, values)
    best = max(one.score(ROWS, (values >= cut).astype(float)) for cut in np.quantile(values, np.linspace(0, 1, 200)))
    assert one.score(ROWS, fitted.apply(values)) >= best - 0.003
    assert gain(one, values) > 0.02


@pytest.mark.parametrize("metric", ["f1_macro", "mcc", "balanced_accuracy"])
def test_weights_of_classes_lift_metrics_that_rare_classes_decide(metric: str) -> None:
    truths, values = rare_classes()
    one = problem(made_card(metric, "multiclass", classes=list("abcd")), truths)
    assert gain(one, values) > (0.0 if metric == "mcc" else 0.05)


def test_weights_of_classes_are_found_by_asking_too() -> None:
    truths, values = rare_classes()
    one = problem(
        made_card("weighted_accuracy", "multiclass", classes=list("abcd"), metric_parameters={"weights": "w"}),
        truths,
        PostprocessConfig(method="thresholds"),
    )
    weights = np.bincount(truths)[truths] ** -1.0
    object.__setattr__(
        one,
        "score",
        lambda rows, mapped: metrics.get("weighted_accuracy")(
            truths[rows], mapped.argmax(axis=1), weights=weights[rows]
        ),
    )
    assert gain(one, values) > 0.1


def test_each_target_gets_its_threshold_and_a_rare_one_the_common_one() -> None:
    numbers = np.random.default_rng(9)
    odds = numbers.normal([-1.0, -3.0, -6.0], 1.0, (len(ROWS), 3))
    truths = (numbers.random(odds.shape) < sigmoid(odds)).astype(np.float64)
    names = ("a", "b", "c")
    assert truths[:, 2].sum() < 20
    for metric in ("f1_macro", "f1_samples", "f1_micro", "jaccard_samples"):
        card = made_card(metric, "multilabel", names, classes=list(names), submission_layout="columns")
        one = problem(card, truths)
        step = fit(one, ROWS, sigmoid(odds)).steps[0]
        assert isinstance(step, Thresholds)
        assert len(set(step.points)) == {"f1_macro": 3, "f1_micro": 1}.get(metric, len(set(step.points)))
        assert gain(one, sigmoid(odds)) > (0.02 if metric in ("f1_macro", "f1_micro") else 0)


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
@pytest.mark.parametrize("method", ["temperature", "platt", "isotonic"])
def test_calibration_lowers_the_log_loss_of_predictions_that_are_too_sure(task: str, method: str) -> None:
    truths, values = too_sure(task)
    names = ("a", "b", "c") if task == "multilabel" else ("y",)
    metric = "columnwise_log_loss" if task == "multilabel" else "log_loss"
    classes = {"binary": ["0", "1"], "multiclass": ["0", "1", "2"], "multilabel": list(names)}[task]
    config = PostprocessConfig.model_validate({"method": method})
    one = problem(made_card(metric, task, names, classes=classes), truths, config)
    fitted = fit(one, ROWS[:1000], values[:1000])
    held_out = ROWS[1000:]
    mapped = fitted.apply(values[held_out])
    assert one.score(held_out, mapped) < one.score(held_out, values[held_out]) - 0.05
    assert (mapped >= 0).all() and (mapped <= 1).all()
    if task == "multiclass":
        assert np.allclose(mapped.sum(axis=1), 1)
    if method == "temperature":
        step = fitted.steps[0]
        assert isinstance(step, Temperature) and step.temperature == pytest.approx(3.0, rel=0.15)


def test_an_isotonic_curve_never_bets_everything() -> None:
    truths = np.repeat([0, 1], 100)
    one = problem(made_card("log_loss", "binary", classes=["0", "1"]), truths, PostprocessConfig(method="isotonic"))
    values = np.linspace(0.1, 0.9, 200)[:, None]
    mapped = fit(one, np.arange(200), values).apply(np.array([[0.0], [1.0]]))
    assert 0 < mapped[0, 0] < 0.01 and 0.99 < mapped[1, 0] < 1


def test_floor_clip_and_sums_do_what_they_say() -> None:
    truths, values = too_sure("multilabel")
    names = ("a", "b", "c")
    config = PostprocessConfig(method="none", floor=0.01, sum_to_one=(("a", "c"),))
    one = problem(made_card("columnwise_log_loss", "multilabel", names, classes=list(names)), truths, config)
    mapped = fit(one, ROWS, values).apply(values)
    assert mapped.min() == 0.01 and mapped.max() <= 0.99
    inside = (mapped > 0.01).all(axis=1) & (mapped < 0.99).all(axis=1)
    assert np.allclose(mapped[inside][:, [0, 2]].sum(axis=1), 1) and (mapped[inside, 1] == values[inside, 1]).all()
    numbers = np.random.default_rng(1).normal(size=(len(ROWS), 2))
    clipped = problem(made_card("rmse", "regression", ("a", "b")), numbers, PostprocessConfig(clip=True))
    held = fit(clipped, ROWS[:100], numbers[:100]).apply(np.array([[-99.0, 99.0], [0.1, 0.2]]))
    assert held.tolist() == [[numbers[:100, 0].min(), numbers[:100, 1].max()], [0.1, 0.2]]


def gain(one: object, values: NDArray[np.float64]) -> float:
    """How much the rows' own score rises by what is fitted on them; twice, to see that it is the same."""
    from kagglerun.experiment.postprocess.fit import Problem

    assert isinstance(one, Problem)
    fitted = fit(one, ROWS, values)
    assert fitted == fit(one, ROWS, values)
    return one.score(ROWS, fitted.apply(values)) - one.score(ROWS, values)


def rare_classes() -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Four classes of which two are rare, and their true probabilities."""
    numbers = np.random.default_rng(10)
    odds = numbers.normal([0.0, -0.5, -2.5, -3.0], 1.0, (len(ROWS), 4))
    shares = np.exp(odds) / np.exp(odds).sum(axis=1, keepdims=True)
    drawn = (numbers.random((len(ROWS), 1)) > shares.cumsum(axis=1)).sum(axis=1)
    return drawn.clip(max=3).astype(np.int64), shares


def too_sure(task: str) -> tuple[NDArray[np.int64] | NDArray[np.float64], NDArray[np.float64]]:
    """Truths and probabilities whose log odds are three times too large."""
    numbers = np.random.default_rng(12)
    k = 1 if task == "binary" else 3
    odds = numbers.normal(size=(len(ROWS), k))
    if task == "multiclass":
        true, told = (np.exp(scale * odds) for scale in (1, 3))
        true, told = (part / part.sum(axis=1, keepdims=True) for part in (true, told))
        drawn = (numbers.random((len(ROWS), 1)) > true.cumsum(axis=1)).sum(axis=1)
        return drawn.clip(max=2).astype(np.int64), told
    truths = numbers.random(odds.shape) < sigmoid(odds)
    return (truths[:, 0].astype(np.int64) if k == 1 else truths.astype(np.float64)), sigmoid(3 * odds)
