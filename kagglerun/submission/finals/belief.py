"""What private scores are to be expected of the candidates, together: CV and the public score, each as far as it goes.

The score on the test set is the out-of-fold score plus a shift that all candidates share (unknown, so any) plus noise
with the covariance of scores on the training rows. The public score is a second look at it, with the covariance of
scores on the public rows. Both are normal, so the update is linear: as many rows as a score was taken on, so much it
counts. Candidates may besides differ on the test set in a way that CV does not see (drift, tuning on the folds). How
much that is, the public scores tell by how far they leave the line of CV: values from none to a multiple of the noise
are weighed by how likely they make what was seen, none counting as much as all others beforehand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kagglerun.randomness import generator
from kagglerun.submission.finals.splits import Splits

Numbers = NDArray[np.float64]

_ANY_SHIFT = 1e4
"""Variance of the common shift, in those of a score: as good as any."""
_DRAWS = 4000
_EXCESSES = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""How far candidates may differ besides, in typical standard deviations of noise."""
_NONE_BEFOREHAND = 0.5
_LEAST_WEIGHT = 1e-3


@dataclass(frozen=True)
class Belief:
    """Private scores as they may come; in all figures greater is better.

    Attributes:
        expected: (k,) expected private score.
        deviation: (k,) standard deviation of the private score around it, apart from what all candidates share.
        private: (draws, k) joint draws of private scores.
        excess: standard deviation of what tells candidates apart on the test set and not in CV, as it is expected.
        beyond_noise: chance that there is any.
    """

    expected: Numbers
    deviation: Numbers
    private: Numbers
    excess: float
    beyond_noise: float


def believe(cv: Numbers, public: Numbers, splits: Splits, greater_is_better: bool = True, seed: int = 0) -> Belief:
    """Expected private scores.

    Args:
        cv: (k,) out-of-fold scores.
        public: (k,) public scores, NaN where none is known.
        splits: of the same k runs.
        greater_is_better: direction of all these; the result is turned so that greater is better.
        seed: decides the draws.
    """
    sign = 1.0 if greater_is_better else -1.0
    own, seen = sign * np.asarray(cv, dtype=np.float64), sign * np.asarray(public, dtype=np.float64)
    on_public, on_train = splits.covariance(splits.public_rows), splits.covariance(splits.rows)
    known = np.flatnonzero(np.isfinite(seen))
    noise = (on_public + on_train)[np.ix_(known, known)]
    weighed = _weigh(seen[known] - own[known], noise)
    private = sign * splits.private
    left = (private - private.mean(axis=0)) * np.sqrt(splits.measured[1] / splits.private_rows)
    draws = generator(seed, "belief", len(own))
    means, parts = np.zeros(len(own)), []
    for excess, weight in weighed.items():
        mean, covariance = _update(own, seen, known, on_train + excess**2 * np.eye(len(own)), on_public)
        means += weight * mean
        count = max(1, round(weight * _DRAWS))
        level = draws.standard_normal((count, len(own))) @ _root(covariance)
        parts.append(mean + level + left[draws.integers(0, len(left), count)])
    found = np.concatenate(parts)
    apart = found - found.mean(axis=1, keepdims=True) if len(own) > 1 else found
    expected_excess = sum(excess * weight for excess, weight in weighed.items())
    return Belief(means, apart.std(axis=0), found, expected_excess, 1 - weighed.get(0.0, 0.0))


def _update(
    own: Numbers, seen: Numbers, known: NDArray[np.intp], prior: Numbers, on_public: Numbers
) -> tuple[Numbers, Numbers]:
    """Mean and covariance of the scores on the test set, from CV with the covariance `prior` and what was seen."""
    if not len(known):
        return own, prior
    shifted = prior + _ANY_SHIFT * max(float(np.diag(prior + on_public).max()), 1e-12)
    innovation = (shifted + on_public)[np.ix_(known, known)]
    gain = np.linalg.lstsq(innovation, shifted[known], rcond=1e-14)[0].T
    return own + gain @ (seen[known] - own[known]), shifted - gain @ shifted[known]


def _weigh(differences: Numbers, noise: Numbers) -> dict[float, float]:
    """How far candidates differ on the test set besides, to how likely that is; the weights add up to 1.

    Args:
        differences: (j,) public minus CV scores.
        noise: (j, j) their covariance where there is no such difference.
    """
    j = len(differences)
    if j < 2:
        return {0.0: 1.0}
    # Contrasts between candidates alone: the shift that all share says nothing here.
    contrasts = np.linalg.svd(np.ones((1, j)))[2][1:]
    values, vectors = np.linalg.eigh(contrasts @ noise @ contrasts.T)
    values = np.maximum(values, 1e-9 * max(float(values.max()), 1e-300))
    along = (vectors.T @ contrasts @ differences) ** 2
    scale = float(np.sqrt(values.mean()))
    before = [_NONE_BEFOREHAND, *[(1 - _NONE_BEFOREHAND) / (len(_EXCESSES) - 1)] * (len(_EXCESSES) - 1)]
    likely = np.asarray(
        [
            -0.5 * float((np.log(values + (e * scale) ** 2) + along / (values + (e * scale) ** 2)).sum())
            for e in _EXCESSES
        ]
    )
    weights = np.exp(likely - likely.max()) * np.asarray(before)
    weights = np.where(weights >= _LEAST_WEIGHT * weights.sum(), weights, 0.0)
    weights /= weights.sum()
    return {e * scale: float(w) for e, w in zip(_EXCESSES, weights, strict=True) if w > 0}


def _root(covariance: Numbers) -> Numbers:
    """A matrix whose transpose times itself is the covariance, whatever its rank."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0))).T, dtype=np.float64)
