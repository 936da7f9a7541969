"""What private scores are to be expected of the candidates, together: CV and the public score, each as far as it goes.

The score on the test set is the out-of-fold score plus a shift that all candidates share (unknown, so any) plus noise
with the covariance of scores on the training rows. The public score is a second look at it, with the covariance of
scores on the public rows. Both are normal, so the update is linear: as many rows as a score was taken on, so much it
counts. Where public scores leave the line of CV by more than this noise, candidates differ on the test set in a way
that CV does not see, and public scores count for more by as much.
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
_LEAST_FOR_EXCESS = 4
_ERROR = 0.05


@dataclass(frozen=True)
class Belief:
    """Private scores as they may come; in all figures greater is better.

    Attributes:
        expected: (k,) expected private score.
        deviation: (k,) standard deviation of the private score around it, apart from what all candidates share.
        private: (draws, k) joint draws of private scores.
        excess: standard deviation of what tells candidates apart on the test set and not in CV; 0 where noise explains
            all that was seen.
    """

    expected: Numbers
    deviation: Numbers
    private: Numbers
    excess: float


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
    excess = _excess(seen[known] - own[known], (on_public + on_train)[np.ix_(known, known)], seed)
    prior = on_train + excess * np.eye(len(own))
    mean, covariance = own, prior
    if len(known):
        prior = prior + _ANY_SHIFT * max(float(np.diag(prior + on_public).max()), 1e-12)
        innovation = (prior + on_public)[np.ix_(known, known)]
        gain = np.linalg.lstsq(innovation, prior[known], rcond=1e-14)[0].T
        mean = own + gain @ (seen[known] - own[known])
        covariance = prior - gain @ prior[known]
    private = sign * splits.private
    noise = (private - private.mean(axis=0)) * np.sqrt(splits.measured[1] / splits.private_rows)
    draws = generator(seed, "belief", len(own))
    level = draws.standard_normal((_DRAWS, len(own))) @ _root(covariance)
    found = mean + level + noise[draws.integers(0, len(noise), _DRAWS)]
    apart = found - found.mean(axis=1, keepdims=True) if len(own) > 1 else found
    return Belief(mean, apart.std(axis=0), found, float(np.sqrt(excess)))


def _excess(differences: Numbers, covariance: Numbers, seed: int) -> float:
    """Variance by which public scores leave the line of CV, beyond noise; 0 where noise may explain it."""
    k = len(differences)
    if k < _LEAST_FOR_EXCESS:
        return 0.0
    centred = differences - differences.mean()
    draws = generator(seed, "excess", k).standard_normal((_DRAWS, k)) @ _root(covariance)
    draws -= draws.mean(axis=1, keepdims=True)
    seen, by_noise = float(centred @ centred), (draws**2).sum(axis=1)
    if float((by_noise >= seen).mean()) > _ERROR:
        return 0.0
    return (seen - float(by_noise.mean())) / (k - 1)


def _root(covariance: Numbers) -> Numbers:
    """A matrix whose transpose times itself is the covariance, whatever its rank."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0))).T, dtype=np.float64)
