"""The statistics of early stopping, against ground truth and second computations."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import pytest

from kagglerun import metrics
from kagglerun.config.card import Card, Task
from kagglerun.sweep.pruning.bootstrap import bootstrap_difference
from kagglerun.sweep.pruning.delong import delong_difference
from kagglerun.sweep.pruning.known_runs import Background, KnownRuns
from kagglerun.sweep.pruning.paired import PairedFold, Scoring, paired_difference, pool
from kagglerun.sweep.pruning.scoring import scoring_of
from kagglerun.sweep.pruning.sequential import errors_spent, nominal_levels
from kagglerun.sweep.pruning.units import group_units, time_units
from kagglerun.sweep.pruning.verdict import FoldNoise, VerdictKind, judge_folds

Array = npt.NDArray[np.float64]

_FOLDS, _ROWS = 5, 60


def _scoring(metric: str, task: Task, targets: npt.NDArray[np.generic], units: Array | None = None) -> Scoring:
    card = Card(slug="made", task=task, targets=("y",), metric=metric)
    return scoring_of(metrics.get(metric), card, targets, None, units)


def _squared_errors(n: int) -> Scoring:
    """Targets are 0, so that a prediction's square is its loss."""
    return _scoring("mse", Task.REGRESSION, np.zeros((n, 1)))


def _folds(candidate: Array, rival: Array, k: int = _FOLDS) -> list[PairedFold]:
    """Losses of rows in the order of the folds, as predictions of a target that is 0."""
    at = np.array_split(np.arange(len(candidate)), k)
    columns = [np.sqrt(side).reshape(-1, 1) for side in (candidate, rival)]
    return [PairedFold(rows, columns[0][rows], columns[1][rows]) for rows in at]


def _losses(random: np.random.Generator, advantage: float = 0.0, training: float = 0.0) -> tuple[Array, Array]:
    """Losses of a candidate and a rival: shared difficulty of rows, own noise, and the noise of training by fold."""
    n = _FOLDS * _ROWS
    difficulty = random.exponential(1.0, n) + 6
    by_fold = np.repeat(random.normal(0, training, _FOLDS), _ROWS)
    candidate = difficulty + random.normal(-advantage, 0.5, n) + by_fold
    return candidate, difficulty + random.normal(0, 0.5, n)


def test_levels_are_those_of_the_published_tables() -> None:
    """Jennison and Turnbull (2000), Lan-DeMets bounds for five looks, one-sided error 0.025."""
    looks = (1.0, 2.0, 3.0, 4.0, 5.0)
    for spending, published in (
        ("obrien_fleming", (4.877, 3.357, 2.680, 2.290, 2.031)),
        ("pocock", (2.438, 2.427, 2.410, 2.397, 2.386)),
    ):
        levels = nominal_levels(errors_spent(6, 0.025, spending), looks)
        assert [-NormalDist().inv_cdf(level) for level in levels] == pytest.approx(published, abs=2e-3)


@pytest.mark.parametrize("spending", ["early", "pocock", "obrien_fleming", "uniform"])
def test_all_error_is_spent_before_the_last_fold(spending: str) -> None:
    for n_folds in (2, 5, 10):
        spent = errors_spent(n_folds, 0.05, spending)  # type: ignore[arg-type]
        assert len(spent) == n_folds - 1
        assert min(spent) > 0 and sum(spent) == pytest.approx(0.05)
    assert errors_spent(1, 0.05, spending) == ()  # type: ignore[arg-type]


def test_levels_spend_what_they_should_with_folds_of_any_size() -> None:
    errors, seen = (0.02, 0.0, 0.03, 0.01), (10.0, 200.0, 230.0, 900.0)
    levels = nominal_levels(errors, seen)
    assert levels[1] == 0
    random = np.random.default_rng(0)
    sums = np.cumsum(random.normal(size=(200_000, 4)) * np.sqrt(np.diff((0.0, *seen))), axis=1)
    bounds = [NormalDist().inv_cdf(level) if level else -math.inf for level in levels]
    below = sums / np.sqrt(seen) < bounds
    first = np.where(below.any(axis=1), below.argmax(axis=1), -1)
    assert [float(np.mean(first == look)) for look in range(4)] == pytest.approx(errors, abs=0.0015)


@pytest.mark.parametrize("training", [0.0, 0.12])
def test_an_equal_candidate_is_stopped_no_more_often_than_allowed(training: float) -> None:
    """Noise of training makes the folds' variance 2.7 times what rows explain (0.12^2 + 0.5 / 60 over 0.5 / 60)."""
    random, error, studies = np.random.default_rng(1), 0.05, 500
    scoring, errors = _squared_errors(_FOLDS * _ROWS), errors_spent(_FOLDS, 0.05)
    noise = FoldNoise(1 + training**2 / (0.5 / _ROWS), 30.0)
    kinds = [
        judge_folds(scoring, _folds(*_losses(random, 0.0, training)), errors, noise=noise).kind for _ in range(studies)
    ]
    stopped = float(np.mean([kind is VerdictKind.STOP for kind in kinds]))
    assert error / 3 < stopped < error + 3 * math.sqrt(error / studies)


def test_a_worse_candidate_is_stopped_and_a_better_one_promoted() -> None:
    random = np.random.default_rng(2)
    scoring, errors = _squared_errors(_FOLDS * _ROWS), errors_spent(_FOLDS, 0.05)
    for advantage, wanted in ((-0.5, VerdictKind.STOP), (0.5, VerdictKind.PROMOTE)):
        verdicts = [judge_folds(scoring, _folds(*_losses(random, advantage)), errors) for _ in range(50)]
        assert all(verdict.kind is wanted for verdict in verdicts)
        assert np.mean([verdict.folds for verdict in verdicts]) < 2
        assert np.mean([verdict.difference for verdict in verdicts]) == pytest.approx(advantage, rel=0.2)


def _complete(random: np.random.Generator, n: int, training: float = 0.0, runs: int = 5) -> list[Array]:
    """Losses of complete runs; the candidate is the last. All are equally good."""
    difficulty = random.exponential(1.0, n) + 6
    style = random.normal(0, 0.5, n)  # what some of them have in common

    def one() -> Array:
        by_fold = np.repeat(random.normal(0, training, _FOLDS), n // _FOLDS)
        return difficulty + random.uniform(-1, 1) * style + random.normal(0, 0.3, n) + by_fold

    return [one() for _ in range(runs)]


def _known(losses: list[Array]) -> KnownRuns:
    n = len(losses[0])
    sides = [np.sqrt(each).reshape(-1, 1) for each in losses]
    return KnownRuns(np.arange(n), np.arange(n) * _FOLDS // n, sides[0], tuple(sides[1:]))


def test_known_runs_sharpen_the_difference_and_its_standard_error_stays_true() -> None:
    """Over many data sets the sharpened difference scatters as its variance says, and less than the plain one."""
    random, n = np.random.default_rng(3), _FOLDS * _ROWS
    scoring = _squared_errors(n)
    plain, sharpened, said = [], [], []
    for _ in range(500):
        *known, candidate = _complete(random, n)
        first = _folds(candidate, known[0])[:1]
        pooled = pool(first, None)
        found = paired_difference(scoring, first, 0)
        assert found is not None
        sharp = Background(scoring, _known(known)).sharpen(found, pooled)
        plain.append(found.difference)
        sharpened.append(sharp.difference)
        said.append(sharp.variance)
    assert np.mean(sharpened) == pytest.approx(0, abs=3 * np.std(sharpened) / math.sqrt(500))
    assert np.var(sharpened) < 0.75 * np.var(plain)
    assert np.mean(said) == pytest.approx(np.var(sharpened), rel=0.2)


def test_known_runs_teach_the_noise_of_training() -> None:
    """Without them, folds that all models find equally noisy look like evidence; with them the error level holds."""
    random, error, studies = np.random.default_rng(4), 0.05, 250
    n, training = _FOLDS * _ROWS, 0.25
    scoring, errors = _squared_errors(n), errors_spent(_FOLDS, error)
    stopped = {True: 0, False: 0}
    for _ in range(studies):
        *known, candidate = _complete(random, n, training, runs=9)
        for learns in stopped:
            runs = _known(known) if learns else None
            verdict = judge_folds(scoring, _folds(candidate, known[0]), errors, known=runs)
            stopped[learns] += verdict.kind is VerdictKind.STOP
    assert stopped[True] < studies * (error + 3 * math.sqrt(error / studies))
    assert stopped[False] > 2 * stopped[True]


def test_the_answer_does_not_depend_on_when_it_is_asked() -> None:
    random = np.random.default_rng(5)
    scoring, errors = _squared_errors(_FOLDS * _ROWS), errors_spent(_FOLDS, 0.05)
    for _ in range(30):
        folds = _folds(*_losses(random, -0.12))
        asked = [judge_folds(scoring, folds[:n], errors) for n in range(1, _FOLDS)]
        decided = next((verdict for verdict in asked if verdict.kind is not VerdictKind.GO_ON), asked[-1])
        assert all(verdict in (decided, *asked[: decided.folds - 1]) for verdict in asked)
        assert judge_folds(scoring, folds, errors) == decided


def _scores(random: np.random.Generator, n: int) -> tuple[npt.NDArray[np.bool_], Array, Array]:
    positive = random.random(n) < 0.3
    shared = positive + random.normal(0, 1.0, n)
    return positive, shared + random.normal(0, 0.4, n), np.round(shared + random.normal(0, 0.6, n), 1)


def _auc_difference(positive: npt.NDArray[np.bool_], one: Array, other: Array) -> float:
    return metrics.get("auc")(positive.astype(int), one) - metrics.get("auc")(positive.astype(int), other)


def test_delong_is_the_difference_of_aucs_with_the_variance_of_the_bootstrap() -> None:
    random = np.random.default_rng(6)
    positive, one, other = _scores(random, 600)
    fold = PairedFold(np.arange(600), one.reshape(-1, 1), other.reshape(-1, 1))
    found = delong_difference(positive, pool([fold], None))
    assert found.difference == pytest.approx(_auc_difference(positive, one, other))
    by_bootstrap = bootstrap_difference(_scoring("auc", Task.BINARY, positive.astype(int)), pool([fold], None), 0)
    assert by_bootstrap is not None
    assert found.difference == pytest.approx(by_bootstrap.difference)
    assert found.variance == pytest.approx(by_bootstrap.variance, rel=0.2)


def test_delong_equals_its_definition_by_all_pairs() -> None:
    """DeLong, DeLong and Clarke-Pearson (1988), equations 4 to 7, written out over all pairs with ties as halves."""
    positive, one, other = _scores(np.random.default_rng(7), 90)
    components = []
    for scores in (one, other):
        above, below = scores[positive][:, None], scores[~positive][None, :]
        wins = (above > below) + 0.5 * (above == below)
        components.append((wins.mean(axis=1), wins.mean(axis=0)))
    parts = [components[0][side] - components[1][side] for side in (0, 1)]
    fold = PairedFold(np.arange(90), one.reshape(-1, 1), other.reshape(-1, 1))
    found = delong_difference(positive, pool([fold], None))
    assert found.variance == pytest.approx(sum(part.var(ddof=1) / len(part) for part in parts))


def test_delong_scatters_as_it_says_over_new_data() -> None:
    random = np.random.default_rng(8)
    found = []
    for _ in range(600):
        positive, one, other = _scores(random, 200)
        fold = PairedFold(np.arange(200), one.reshape(-1, 1), other.reshape(-1, 1))
        found.append(delong_difference(positive, pool([fold], None)))
    assert np.mean([each.variance for each in found]) == pytest.approx(np.var([e.difference for e in found]), rel=0.15)


def _repeated(values: Array, times: int) -> Array:
    return np.repeat(values, times, axis=0)


def test_rows_that_are_copies_of_each_other_count_once_where_they_are_one_group() -> None:
    """Each row three times over tells no more than once; as single rows it would seem to tell three times as much."""
    random = np.random.default_rng(9)
    positive, one, other = _scores(random, 200)
    rows = np.arange(200)
    for metric, compared in (
        ("auc", Task.BINARY),
        ("accuracy", Task.BINARY),
        ("qwk", Task.BINARY),
    ):
        probabilities = [1 / (1 + np.exp(1 - 2 * side)).reshape(-1, 1) for side in (one, other)]
        targets = positive.astype(int)
        once = paired_difference(_scoring(metric, compared, targets), [PairedFold(rows, *probabilities)], 0)
        thrice = [
            paired_difference(
                _scoring(metric, compared, _repeated(targets, 3), units),
                [PairedFold(np.arange(600), *(_repeated(side, 3) for side in probabilities))],
                0,
            )
            for units in (_repeated(rows, 3), None)
        ]
        assert once is not None and thrice[0] is not None and thrice[1] is not None
        assert thrice[0].difference == pytest.approx(once.difference)
        assert thrice[0].variance == pytest.approx(once.variance, rel=0.25)
        assert thrice[1].variance == pytest.approx(once.variance / 3, rel=0.25)
        assert thrice[0].n_units == 199


def test_the_bootstrap_follows_from_its_seed() -> None:
    positive, one, other = _scores(np.random.default_rng(10), 150)
    scoring = _scoring("f1", Task.BINARY, positive.astype(int))
    fold = PairedFold(np.arange(150), *(1 / (1 + np.exp(1 - 2 * s)).reshape(-1, 1) for s in (one, other)))
    found = [paired_difference(scoring, [fold], seed) for seed in (3, 3, 4)]
    assert found[0] is not None and found[1] is not None and found[2] is not None
    assert found[0].variance == found[1].variance != found[2].variance
    assert found[0].difference == found[2].difference


def test_a_metric_of_the_users_own_is_compared_by_the_bootstrap() -> None:
    """The median of absolute errors has no losses of rows."""
    random = np.random.default_rng(11)
    targets = random.normal(size=400)

    def score(rows: Array, predictions: Array) -> float:
        return float(np.median(np.abs(targets[rows] - predictions[:, 0])))

    scoring = Scoring(score, lambda _rows, _predictions: None, greater_is_better=False)
    good, bad = (targets + random.normal(0, spread, 400) for spread in (0.1, 0.5))
    folds = [PairedFold(rows, bad[rows][:, None], good[rows][:, None]) for rows in np.array_split(np.arange(400), 5)]
    verdict = judge_folds(scoring, folds, errors_spent(5, 0.05))
    assert verdict.kind is VerdictKind.STOP
    assert verdict.difference < 0


@pytest.mark.parametrize(
    ("metric", "targets", "change"),
    [
        ("accuracy", np.tile([0, 1], 50), lambda values: values),
        ("auc", np.ones(100, dtype=int), lambda values: values * 0.9),
        ("f1", np.tile([0, 1], 50), lambda values: values),
    ],
)
def test_where_nothing_can_be_said_the_trial_goes_on(
    metric: str, targets: npt.NDArray[np.int64], change: Callable[[Array], Array]
) -> None:
    """Equal predictions, and the AUC of one class."""
    values = np.random.default_rng(12).random((100, 1))
    folds = [PairedFold(rows, change(values[rows]), values[rows]) for rows in np.array_split(np.arange(100), 5)]
    verdict = judge_folds(_scoring(metric, Task.BINARY, targets), folds, errors_spent(5, 0.05))
    assert verdict.kind is VerdictKind.GO_ON
    assert verdict.p == 1


def test_groups_and_moments_are_units_within_a_fold() -> None:
    assert group_units(np.array(["b", "a", "b", None], dtype=object)).tolist() == [2, 1, 2, 0]
    days, folds = np.repeat(np.arange(16), 2), np.repeat([0, 1], 16)
    units = time_units(days, folds)
    assert units[:16].tolist() == np.repeat([0, 1, 2, 3], 4).tolist()  # 8 moments a fold, 2 a block
    assert set(units[:16]) & set(units[16:]) == set()
