"""Stop, go on, or promote: a sequential test of a trial against its rival after each fold.

The difference has two sources of noise. The rows: another sample of them would give another difference; it is known
from the rows themselves. The training: another split or seed gives models that are better or worse on all rows at
once; it shows only from fold to fold. Its size relative to the rows' noise (the dispersion, Birge 1932) is taken from
experience and from the folds seen so far, weighted by their degrees of freedom, as in the moderated t-test (Smyth
2004).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from kagglerun.errors import DataError
from kagglerun.sweep.pruning.known_runs import Background, KnownRuns
from kagglerun.sweep.pruning.paired import PairedDifference, PairedFold, Scoring, paired_difference
from kagglerun.sweep.pruning.sequential import nominal_levels


class VerdictKind(StrEnum):
    """What is to be done with a trial."""

    STOP = "stop"
    """It is worse than its rival."""
    GO_ON = "go_on"
    PROMOTE = "promote"
    """It is better; it gets all its folds without further tests."""


@dataclass(frozen=True)
class FoldNoise:
    """What is known of the noise between folds before there are any.

    Attributes:
        dispersion: variance of a fold's difference in units of what its rows alone would give, at least 1.
        freedom: how many folds this knowledge is worth.
    """

    dispersion: float
    freedom: float


USUAL_NOISE = FoldNoise(1.3, 8.0)
"""Until known runs tell more. On real fits trees and linear models show 1.0 to 1.25, neural networks 2.5."""


@dataclass(frozen=True)
class Verdict:
    """What the folds so far say.

    Attributes:
        kind: what is to be done.
        folds: number of folds after which it was decided.
        difference: how much better the candidate is; see `PairedDifference`. NaN where nothing can be said.
        standard_error: of the difference, both sources of noise; NaN where nothing can be said.
        p: chance of a difference as low as this one if the candidate were as good as the rival.
        level: the test's level: it stops when p is not above it.
    """

    kind: VerdictKind
    folds: int
    difference: float
    standard_error: float
    p: float
    level: float


def judge_folds(
    scoring: Scoring,
    folds: Sequence[PairedFold],
    errors: Sequence[float],
    *,
    known: KnownRuns | None = None,
    noise: FoldNoise = USUAL_NOISE,
    seed: int = 0,
) -> Verdict:
    """Judge a trial by its folds so far, after each of them in turn.

    The answer depends on these arguments alone: whoever asks after fold 3, for the first time or again, hears what
    was decided after fold 1 or 2, if anything was.

    Args:
        scoring: how predictions are scored.
        folds: the trial's predictions and its rival's for the same rows, in the order of the folds, at least one.
        errors: error spent at each look; see `errors_spent`. Folds beyond them have no test.
        known: the rival and other complete runs; None: the rival's rows in `folds` are all there is.
        noise: what is known of the noise between folds besides what the known runs tell.
        seed: of the bootstrap.

    Returns:
        The first verdict that is not to go on, else the last one.
    """
    verdict = _silent(0)
    rows = np.cumsum([len(fold.rows) for fold in folds])
    background = _background(scoring, known)
    if background is not None:
        noise = _learnt(noise, background.dispersions(), background.n_folds)
    for n in range(1, min(len(folds), len(errors)) + 1):
        found = paired_difference(scoring, folds[:n], seed, background)
        level = nominal_levels(tuple(errors[:n]), tuple(float(seen) for seen in rows[:n]))[-1]
        verdict = _silent(n) if found is None else _decided(found, level, noise)
        if verdict.kind is not VerdictKind.GO_ON:
            break
    return verdict


def _background(scoring: Scoring, known: KnownRuns | None) -> Background | None:
    """None where there are no other runs, or rows have no losses."""
    if known is None or not known.others:
        return None
    try:
        return Background(scoring, known)
    except DataError:
        return None


def _learnt(usual: FoldNoise, dispersions: Sequence[float], n_folds: int) -> FoldNoise:
    """Experience and what known runs show, weighted by their degrees of freedom.

    The known runs share their rival, and count half.
    """
    freedom = len(dispersions) * (n_folds - 1) / 2
    total = usual.freedom + freedom
    seen = float(np.mean(dispersions)) if len(dispersions) else 0.0
    return FoldNoise((usual.freedom * usual.dispersion + freedom * seen) / total, total)


def _decided(found: PairedDifference, level: float, noise: FoldNoise) -> Verdict:
    n = len(found.fold_differences)
    if found.variance <= 0:  # equal predictions, or too few rows that differ to say anything
        return Verdict(VerdictKind.GO_ON, n, found.difference, 0.0, 1.0, level)
    freedom = noise.freedom + n - 1
    inflation = max(1.0, (noise.freedom * noise.dispersion + (n - 1) * found.dispersion) / freedom)
    standard_error = math.sqrt(inflation * found.variance)
    worse = student_below(found.difference / standard_error, min(freedom, found.n_units))
    kind = VerdictKind.STOP if worse <= level else VerdictKind.PROMOTE if 1 - worse <= level else VerdictKind.GO_ON
    return Verdict(kind, n, found.difference, standard_error, worse, level)


def student_below(t: float, freedom: float) -> float:
    """Chance of a value of Student's distribution below `t`."""
    from scipy.special import stdtr

    return float(stdtr(freedom, t))


def _silent(folds: int) -> Verdict:
    return Verdict(VerdictKind.GO_ON, folds, math.nan, math.nan, 1.0, 0.0)
