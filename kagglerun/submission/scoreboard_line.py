"""CV against public score: the line that submissions lie on, how far noise takes them off it, and which are beyond.

A model that gains in CV should gain as much in public, so the line has slope 1 and a shift that all share, unless the
scores rule slope 1 out (Theil-Sen with its 95 % interval). The noise of a point is that of both scores relative to the
other submissions', as scores of the same rows move together.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from kagglerun.randomness import generator
from kagglerun.submission.scoreboard_correlation import kendall

Numbers = NDArray[np.float64]

_LEAST_FOR_SLOPE = 6
_ERROR = 0.05
_DRAWS = 4000


@dataclass(frozen=True)
class Line:
    """What public score a CV score leads to.

    Attributes:
        slope: public score by CV score.
        shift: public score where CV is 0.
        off: (n,) how far each public score is above the line.
        allowed: (n,) how far noise takes it with 95 %, for all submissions together.
    """

    slope: float
    shift: float
    off: Numbers
    allowed: Numbers

    @property
    def is_off(self) -> NDArray[np.bool_]:
        """Which submissions are further off the line than noise explains, (n,)."""
        return np.abs(self.off) > self.allowed


def fit_line(cv: Numbers, public: Numbers, on_train: Numbers, on_public: Numbers) -> Line:
    """The line, and each submission's place beside it.

    Args:
        cv: (n,) out-of-fold scores.
        public: (n,) public scores.
        on_train: covariance (n, n) of scores on as many rows as CV has.
        on_public: the same for the public rows.
    """
    slope = _slope(cv, public)
    differences = public - slope * cv
    shift = float(np.median(differences))
    n = len(cv)
    apart = np.eye(n) - 1 / n
    covariance = apart @ (slope**2 * on_train + on_public) @ apart
    deviations = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    width = NormalDist().inv_cdf(1 - _ERROR / (2 * n))
    # The median has noise of its own, about that of a mean times the root of pi / 2, which scores share.
    beside_median = np.sqrt(deviations**2 + (np.pi / 2 - 1) * float((deviations**2).mean()) / n)
    return Line(slope, shift, differences - shift, width * beside_median)


def _slope(cv: Numbers, public: Numbers) -> float:
    if len(cv) < _LEAST_FOR_SLOPE or np.ptp(cv) == 0:
        return 1.0
    from scipy.stats import theilslopes

    found = theilslopes(public, cv)
    if found.low_slope <= 1 <= found.high_slope or found.high_slope <= 0:
        return 1.0
    return float(found.slope)


@dataclass(frozen=True)
class Expected:
    """How far the two orders would agree if public scores were CV and noise.

    Attributes:
        kendall: the mean tau.
        low: a tau that noise alone falls below in 5 % of such cases.
    """

    kendall: float
    low: float


def expected_agreement(cv: Numbers, on_train: Numbers, on_public: Numbers) -> Expected:
    """What noise alone does to the agreement of CV and public order; arguments as for `fit_line`."""
    values, vectors = np.linalg.eigh(on_train + on_public)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))).T
    noise = generator(0, "expected agreement", len(cv)).standard_normal((_DRAWS, len(cv))) @ root
    found = np.asarray([kendall(cv, cv + each) for each in noise])
    return Expected(float(found.mean()), float(np.quantile(found, _ERROR)))


def contradictions(cv: Numbers, public: Numbers, on_train: Numbers, on_public: Numbers) -> list[tuple[int, int]]:
    """Pairs (better in CV, better in public) whose two orders noise does not explain, by number; scores all greater is
    better. The most surprising first; the level is shared by all pairs (Bonferroni).
    """
    n = len(cv)
    covariance = on_train + on_public
    width = NormalDist().inv_cdf(1 - _ERROR / max(1, n * (n - 1)))
    found = []
    for one in range(n):
        for other in range(n):
            if not (cv[one] > cv[other] and public[one] < public[other]):
                continue
            variance = covariance[one, one] + covariance[other, other] - 2 * covariance[one, other]
            surprise = (cv[one] - cv[other] + public[other] - public[one]) / max(np.sqrt(max(variance, 0.0)), 1e-300)
            if surprise > width:
                found.append((surprise, one, other))
    return [(one, other) for _, one, other in sorted(found, reverse=True)]


def least_difference(covariance: Numbers) -> float:
    """Half the 95 % interval of the difference of two scores that are truly equal, for the median pair."""
    one, other = np.triu_indices(len(covariance), 1)
    if not len(one):
        return float("nan")
    variances = covariance[one, one] + covariance[other, other] - 2 * covariance[one, other]
    return float(1.959963984540054 * np.sqrt(np.median(np.maximum(variances, 0.0))))
