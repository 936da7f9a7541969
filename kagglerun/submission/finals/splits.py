"""Public and private test sets drawn from the out-of-fold rows at their real sizes, all runs scored on the same rows.

A bootstrap: rows (or groups of rows that belong together) are drawn with replacement, so that a test set may be larger
than the training table. Scores of one draw are joint over the runs, which is what tells how alike two runs fail.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kagglerun.errors import DataError
from kagglerun.randomness import generator

Numbers = NDArray[np.float64]
Positions = NDArray[np.int64]
Score = Callable[[Positions], Numbers]

DRAWS = 1000
_FEWEST_DRAWS = 200
_SECONDS = 40.0
_CALIBRATED_ON = 16
_LEAST_EXPLAINED = 0.9
"""Share of the differences between real scores that mean losses must explain to take their place."""


class Rows(Protocol):
    """What test sets are drawn from; see `OutOfFold`."""

    @property
    def rows(self) -> Positions:
        """One entry a row."""

    @property
    def clusters(self) -> Positions | None:
        """Rows that are drawn together."""

    @property
    def repeats(self) -> bool:
        """Whether a row may be drawn twice."""

    def scores(self, positions: Positions) -> Numbers:
        """The metric of each run for some rows, (k,)."""

    def losses(self) -> Numbers | None:
        """Loss of each row under each run, (n, k)."""


@dataclass(frozen=True)
class Splits:
    """Scores of k runs on test sets drawn at random.

    Attributes:
        public: (draws, k) scores on the public part.
        private: (draws, k) scores on the private part of the same test set.
        whole: (k,) scores on all rows that were drawn from.
        rows: how many these are.
        public_rows: size of a public part.
        private_rows: size of a private part.
        measured: sizes whose noise the public and private scores show: larger ones than they have where no row is
            drawn twice.
        by: "metric", or "losses" where mean losses stand for a metric that takes too long.
    """

    public: Numbers
    private: Numbers
    whole: Numbers
    rows: int
    public_rows: int
    private_rows: int
    measured: tuple[float, float]
    by: str

    def covariance(self, rows: int) -> Numbers:
        """Covariance of the runs' scores on so many rows, (k, k); noise falls as one over their number."""
        parts = zip((self.public, self.private), self.measured, strict=True)
        # Scaled by their sizes both agree, but for metrics that are no means: the larger part counts for more.
        scaled = [np.atleast_2d(np.cov(scores, rowvar=False)) * size**2 for scores, size in parts]
        return np.asarray((scaled[0] + scaled[1]) / sum(self.measured) / rows, dtype=np.float64)


def draw_splits(oof: Rows, public_rows: int, private_rows: int, draws: int | None = None, seed: int = 0) -> Splits:
    """Draw test sets and score all runs on them.

    Args:
        oof: the rows and runs.
        public_rows: size of the public part, at least 1.
        private_rows: size of the private part, at least 1.
        draws: how many; by default as many up to 1000 as take about 40 seconds, at least 200.
        seed: decides which rows.

    Raises:
        DataError: the metric is not defined on most of such test sets.
    """
    whole = oof.scores(np.arange(len(oof.rows)))
    score, draws, by = _affordable(oof, whole, public_rows, private_rows, draws, seed)
    found = []
    for number in range(draws):
        public, private = _draw(oof, public_rows, private_rows, seed, number)
        found.append((score(public), score(private)))
    scores = np.asarray(found, dtype=np.float64)
    defined = np.isfinite(scores).all(axis=(1, 2))
    if defined.sum() < max(2, draws / 2):
        raise DataError(
            f"the metric is not defined on {draws - defined.sum()} of {draws} test sets of {public_rows} public and "
            f"{private_rows} private rows",
            hint="give the share of public rows: --public-share 0.3",
        )
    scores = scores[defined]
    measured = (float(public_rows), float(private_rows))
    if not oof.repeats:
        sizes = [len(part) for part in _draw(oof, public_rows, private_rows, seed, 0)]
        measured = (_as_if_repeated(sizes[0], len(oof.rows)), _as_if_repeated(sizes[1], len(oof.rows)))
    return Splits(scores[:, 0], scores[:, 1], whole, len(oof.rows), public_rows, private_rows, measured, by)


def _as_if_repeated(size: int, rows: int) -> float:
    """The size whose noise with repeats is that of `size` out of `rows` without (finite population correction)."""
    return size / max(1 - size / rows, 1 / rows)


def _draw(oof: Rows, public_rows: int, private_rows: int, seed: int, number: int) -> tuple[Positions, Positions]:
    random = generator(seed, "splits", number)
    n = len(oof.rows)
    if not oof.repeats:
        order = random.permutation(n)
        cut = max(1, min(n - 1, round(n * public_rows / (public_rows + private_rows))))
        return order[:cut], order[cut : cut + private_rows]
    if oof.clusters is None:
        return random.integers(0, n, public_rows), random.integers(0, n, private_rows)
    members = np.split(np.argsort(oof.clusters, kind="stable"), np.cumsum(np.bincount(oof.clusters))[:-1])
    mean = n / len(members)
    parts = []
    for size in (public_rows, private_rows):
        chosen = random.integers(0, len(members), max(1, round(size / mean)))
        parts.append(np.concatenate([members[cluster] for cluster in chosen]))
    return parts[0], parts[1]


def _affordable(
    oof: Rows, whole: Numbers, public_rows: int, private_rows: int, draws: int | None, seed: int
) -> tuple[Score, int, str]:
    """The metric where it is quick enough, else mean losses, else the metric on fewer draws."""
    parts = _draw(oof, public_rows, private_rows, seed, 0)
    wanted, seconds = draws or DRAWS, _seconds(oof.scores, parts)
    if wanted * seconds <= _SECONDS:
        return oof.scores, wanted, "metric"
    by_losses = _by_losses(oof, whole, public_rows + private_rows, seed)
    score, by = (oof.scores, "metric") if by_losses is None else (by_losses, "losses")
    fits = int(_SECONDS / _seconds(score, parts))
    return score, draws or min(DRAWS, max(_FEWEST_DRAWS, fits)), by


def _seconds(score: Score, parts: tuple[Positions, Positions]) -> float:
    """Time that one test set takes."""
    begun = time.monotonic()
    for part in parts:
        score(part)
    return max(time.monotonic() - begun, 1e-6)


def _by_losses(oof: Rows, whole: Numbers, size: int, seed: int) -> Score | None:
    """Scores from mean losses, on the metric's own scale; None where they do not follow it closely.

    A metric need not be the mean of its losses, only ordered by it (RMSE by squared errors): the slope between the two
    is taken from a few test sets on which both are known.
    """
    losses = oof.losses()
    if losses is None:
        return None
    means = losses.mean(axis=0)
    moves, changes = [], []
    for number in range(_CALIBRATED_ON):
        rows = generator(seed, "splits by losses", number).integers(0, len(losses), size)
        moves.append(losses[rows].mean(axis=0) - means)
        changes.append(oof.scores(rows) - whole)
    x, y = np.ravel(moves), np.ravel(changes)
    x, y = x[np.isfinite(y)], y[np.isfinite(y)]
    if len(x) < _CALIBRATED_ON or not (x @ x):
        return None
    slope = float(x @ y) / float(x @ x)
    left = float(((y - slope * x) ** 2).sum()) / max(float((y**2).sum()), 1e-300)
    if left > 1 - _LEAST_EXPLAINED:
        return None
    known = losses

    def score(rows: Positions) -> Numbers:
        times = np.bincount(rows, minlength=len(known)).astype(np.float64)
        return np.asarray(whole + slope * (times @ known / len(rows) - means), dtype=np.float64)

    return score
