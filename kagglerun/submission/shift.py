"""Whether a run predicts other things for the test rows than for training rows that it had not seen.

A fold's model has seen neither its validation rows nor the test rows. Where both are drawn alike, its predictions for
both are too, and a two-sample test (Kolmogorov-Smirnov, a test a fold and output) finds a difference with the chance
`LEVEL` at most. What is found then must not be explained by features that drift: the validation rows are weighted so
that their features look like the test rows', and only what is left is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import kolmogorov
from scipy.stats import norm

from kagglerun.config.card import Card
from kagglerun.data.long_layout import is_paired
from kagglerun.data.tables import CompetitionData, row_keys
from kagglerun.experiment.predictions import Predictions, read_predictions
from kagglerun.files import read_json
from kagglerun.randomness import generator
from kagglerun.submission.drift import Drift, effective_size, estimate_drift
from kagglerun.submission.findings import Finding, warning
from kagglerun.workspace import RunPaths

LEVEL = 0.01
"""Chance of a false alarm where training and test rows are drawn alike; corrected for the number of tests."""
SMALLEST = 0.05
"""Smaller distances (of 1) are nobody's concern, however surely they are there."""
_UNEXPLAINED = 0.5
"""Share of a difference that must be left after weighting: weights are estimates and undo a drift in part only."""
_MOST_ROWS = 20_000
_MOST_OUTPUTS = 30
_FEWEST_ROWS = 30


@dataclass(frozen=True)
class Sample:
    """One model's predictions for rows it had not seen.

    Attributes:
        valid: (n,) float64, of its validation rows.
        rows: (n,) int64, their positions in the training table.
        test: (m,) float64, of the test rows.
        output: name of the output.
    """

    valid: NDArray[np.float64]
    rows: NDArray[np.int64]
    test: NDArray[np.float64]
    output: str


def check_shift(run: RunPaths, card: Card, load: Callable[[], CompetitionData]) -> Iterator[Finding]:
    """Compare a finished run's test predictions with its out-of-fold ones.

    Args:
        run: the run.
        card: what is known of the competition.
        load: reads its tables; called only where predictions differ, or rows belong to groups.

    Yields:
        One warning where a difference is left that the drift of the features does not explain.
    """
    paired = is_paired(card)
    samples = _samples_of_folds(run, paired=paired)
    by_means = not samples
    samples = samples or _samples_of_run(run, paired=paired)
    groups = _Groups.of(load()) if card.group is not None else _Groups(None, 1.0)
    odd = [sample for sample in samples if _differs(sample, groups, len(samples), by_means=by_means)]
    if not odd:
        return
    drift = estimate_drift(load())
    outputs = dict.fromkeys(
        sample.output for sample in odd if _differs(sample, groups, len(samples), drift, by_means=by_means)
    )
    shifts = [_shift_of([sample for sample in samples if sample.output == output], drift) for output in outputs]
    left = [shift for shift in shifts if shift.left >= _UNEXPLAINED * shift.found]
    if left:
        yield _finding(max(left, key=lambda shift: shift.left), drift)


def distance(
    valid: NDArray[np.float64], test: NDArray[np.float64], weights: NDArray[np.float64] | None = None
) -> float:
    """Largest difference of the two distribution functions (Kolmogorov-Smirnov), from 0 to 1.

    Args:
        valid: (n,) values.
        test: (m,) values.
        weights: (n,) weights of the first ones; equal by default.
    """
    order = np.argsort(valid, kind="stable")
    shares = np.cumsum((np.ones(len(valid)) if weights is None else weights)[order])
    points = np.concatenate([valid, test])
    first = np.concatenate([[0.0], shares / shares[-1]])[np.searchsorted(valid[order], points, side="right")]
    second = np.searchsorted(np.sort(test), points, side="right") / len(test)
    return float(np.abs(first - second).max())


@dataclass(frozen=True)
class _Groups:
    """Rows of a group are alike: it is groups that count as drawn.

    Attributes:
        train: group of each training row; None where the card names no groups.
        test_share: how many groups there are a test row.
    """

    train: NDArray[np.int64] | None
    test_share: float

    @classmethod
    def of(cls, data: CompetitionData) -> _Groups:
        codes = pd.factorize(np.asarray(data.groups))[0]
        name = str(data.card.group)
        of_test = (
            data.test[name].nunique() if name in data.test else len(np.unique(codes)) / len(codes) * len(data.test)
        )
        return cls(codes, of_test / max(1, len(data.test)))

    def sizes(self, sample: Sample, weights: NDArray[np.float64] | None) -> tuple[float, float]:
        """How many rows drawn by themselves the two sides are worth."""
        first = float(len(sample.valid)) if weights is None else effective_size(weights)
        if self.train is not None:
            first *= len(np.unique(self.train[sample.rows])) / len(sample.rows)
        return max(first, 1.0), max(len(sample.test) * self.test_share, 1.0)


def _differs(
    sample: Sample, groups: _Groups, tests: int, drift: Drift | None = None, *, by_means: bool = False
) -> bool:
    """Whether the two sides differ, by more than is nobody's concern and surely."""
    known, weights = _weighted(sample, drift)
    if len(known.valid) < _FEWEST_ROWS or len(known.test) < _FEWEST_ROWS:
        return False
    sizes = groups.sizes(known, weights)
    if by_means:
        return _means_differ(known, weights, sizes, LEVEL / tests)
    found = distance(known.valid, known.test, weights)
    chance = float(kolmogorov(np.sqrt(sizes[0] * sizes[1] / (sizes[0] + sizes[1])) * found))
    return found >= SMALLEST and chance < LEVEL / tests


def _weighted(sample: Sample, drift: Drift | None) -> tuple[Sample, NDArray[np.float64] | None]:
    """The rows that have a weight, and their weights."""
    if drift is None:
        return sample, None
    weights = drift.weights[sample.rows]
    known = np.isfinite(weights)
    return Sample(sample.valid[known], sample.rows[known], sample.test, sample.output), weights[known]


def _means_differ(
    sample: Sample, weights: NDArray[np.float64] | None, sizes: tuple[float, float], level: float
) -> bool:
    """Welch's test; for predictions of several models together only the mean must agree, not the spread."""
    mean = np.average(sample.valid, weights=weights)
    spread = float(np.sqrt(np.average((sample.valid - mean) ** 2, weights=weights)))
    if spread == 0:
        return False
    difference = abs(float(mean - sample.test.mean()))
    error = float(np.sqrt(spread**2 / sizes[0] + sample.test.var() / sizes[1]))
    # A shift of a normal distribution by 0.125 of its spread has the distance `SMALLEST`.
    return difference >= 2.5 * SMALLEST * spread and 2 * float(norm.sf(difference / error)) < level


@dataclass(frozen=True)
class _Shift:
    """One output over all folds: means, and the mean distance before and after weighting."""

    output: str
    valid_mean: float
    test_mean: float
    found: float
    left: float


def _shift_of(samples: Sequence[Sample], drift: Drift | None) -> _Shift:
    weighted = [_weighted(sample, drift) for sample in samples]
    return _Shift(
        samples[0].output,
        float(np.mean([sample.valid.mean() for sample in samples])),
        float(np.mean([sample.test.mean() for sample in samples])),
        float(np.mean([distance(sample.valid, sample.test) for sample in samples])),
        float(np.mean([distance(sample.valid, sample.test, weights) for sample, weights in weighted])),
    )


def _finding(shift: _Shift, drift: Drift | None) -> Finding:
    told = (
        f"the mean of {shift.output!r} is {shift.test_mean:.4g} for the test rows and {shift.valid_mean:.4g} out of "
        f"fold; the distributions differ by {shift.found:.2f} (Kolmogorov-Smirnov)"
    )
    if drift is None:
        weighted = ", and there are no shared columns by which rows could be weighted"
    else:
        apart = f" (not by {', '.join(map(repr, drift.apart[:3]))}, which part them)" if drift.apart else ""
        weighted = f", by {shift.left:.2f} after training rows are weighted to look like test rows{apart}"
    return warning(
        told + weighted,
        f"where rows are drawn alike this is seen once in {1 / LEVEL:.0f} runs; features may be made otherwise for "
        "test rows, or these are of another kind",
        "compare the features of both tables; folds that are drawn as the test rows were show it in the score too",
    )


def _samples_of_folds(run: RunPaths, *, paired: bool) -> list[Sample]:
    """Each fold and output; none where the folds' own predictions are not here."""
    folds = [run.fold(number) for number in read_json(run.metrics).get("folds", ())]
    if not folds or not all(fold.oof.is_file() and fold.test.is_file() for fold in folds):
        return []
    pairs = [(read_predictions(fold.oof), read_predictions(fold.test)) for fold in folds]
    return [sample for oof, test in pairs for sample in _samples(oof, test, paired=paired)]


def _samples_of_run(run: RunPaths, *, paired: bool) -> list[Sample]:
    if not run.oof.is_file() or not run.test.is_file():
        return []
    return list(_samples(read_predictions(run.oof), read_predictions(run.test), paired=paired))


def _samples(oof: Predictions, test: Predictions, *, paired: bool) -> Iterator[Sample]:
    if oof.rows is None or oof.values.shape[1] != test.values.shape[1]:
        return
    some = _some(len(oof.values), "valid")
    once = _some_of(_once(test, paired=paired), "test")
    for output in _largest(oof.values):
        yield Sample(oof.values[some, output], oof.rows[some], test.values[once, output], oof.names[output])


def _once(test: Predictions, *, paired: bool) -> NDArray[np.int64]:
    """Each test row once, though ids repeat or the submission asks for each of its outputs apart."""
    repeated = pd.DataFrame(test.values).duplicated() if paired else row_keys(test.ids, test.ids.columns).duplicated()
    return np.flatnonzero(~np.asarray(repeated))


def _largest(values: NDArray[np.float64]) -> Sequence[int]:
    """The outputs, of very many those with the largest mean."""
    return sorted(map(int, np.argsort(-values.mean(axis=0), kind="stable")[:_MOST_OUTPUTS]))


def _some(count: int, which: str) -> NDArray[np.int64]:
    return _some_of(np.arange(count), which)


def _some_of(rows: NDArray[np.int64], which: str) -> NDArray[np.int64]:
    if len(rows) <= _MOST_ROWS:
        return rows
    return np.sort(generator(0, "shift rows", which).choice(rows, _MOST_ROWS, replace=False))
