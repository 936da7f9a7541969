"""What the submissions of a competition say together: do CV and public score agree, and what is noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kagglerun.errors import ConfigError, DataError
from kagglerun.experiment.runs import RunSummary
from kagglerun.submission.finals.out_of_fold import load_out_of_fold
from kagglerun.submission.finals.splits import Splits, draw_splits
from kagglerun.submission.public_share import PublicRows, public_rows
from kagglerun.submission.scoreboard import Board, Scored
from kagglerun.submission.scoreboard_correlation import LEAST_PAIRS, RankAgreement, rank_agreement
from kagglerun.submission.scoreboard_line import (
    Expected,
    Line,
    contradictions,
    expected_agreement,
    fit_line,
    least_difference,
)
from kagglerun.workspace import Workspace

Numbers = NDArray[np.float64]

_DRAWS = 400
"""Test sets: enough for a standard deviation to within 4 %."""


@dataclass(frozen=True)
class Noise:
    """What the choice of rows alone does to the scores.

    Attributes:
        sizes: rows behind public and private scores.
        difference: two submissions whose public scores differ by less cannot be told apart (95 %, the median pair).
        difference_of_cv: the same for CV scores.
        expected: how far CV and public order would agree if noise were all that is between them.
        contradictions: pairs (better in CV, better in public) that noise does not explain, by number.
    """

    sizes: PublicRows
    difference: float
    difference_of_cv: float
    expected: Expected
    contradictions: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Review:
    """CV against the leaderboard.

    Attributes:
        board: all submissions.
        compared: those that the figures are of.
        cv: (n,) their out-of-fold scores.
        public: (n,) their public scores.
        agreement: of the two orders; None for fewer than two.
        noise: None where it could not be measured.
        line: None for fewer than two; without noise nothing is off it.
        unmeasured: why the noise is not known; None where it is.
    """

    board: Board
    compared: tuple[Scored, ...]
    cv: Numbers
    public: Numbers
    agreement: RankAgreement | None
    noise: Noise | None
    line: Line | None
    unmeasured: str | None

    @property
    def warnings(self) -> tuple[str, ...]:
        """Where CV and the leaderboard disagree in rank by more than noise, and what may be behind it."""
        if self.agreement is None:
            return ()
        found = []
        for better, worse in () if self.noise is None else self.noise.contradictions[:3]:
            found.append(
                f"CV says {self.compared[better].name} is better than {self.compared[worse].name} by "
                f"{abs(self.cv[better] - self.cv[worse]):.5f}, the leaderboard says worse by "
                f"{abs(self.public[better] - self.public[worse]):.5f}; noise does not explain both"
            )
        tau = self.agreement.kendall.value
        if self.noise is not None and tau < self.noise.expected.low:
            found.append(
                f"CV and leaderboard order the submissions less alike (Kendall {tau:.2f}) than noise explains "
                f"({self.noise.expected.kendall:.2f}, in 5 % of cases below {self.noise.expected.low:.2f}): the folds "
                "may be unlike the test set, or CV sees what the test set does not have (a leak, tuning on the folds)"
            )
        elif self.noise is None and tau <= 0 and self.agreement.pairs >= LEAST_PAIRS:
            found.append(f"the order of the leaderboard has nothing to do with that of CV (Kendall {tau:.2f})")
        return tuple(found)


def review(workspace: Workspace, board: Board, share: float | None, pages: Mapping[str, str]) -> Review:
    """Compare the CV and the public scores of a competition's submissions.

    Args:
        workspace: whose runs.
        board: the submissions.
        share: public share of the test rows; None: by the pages, else a guess.
        pages: name of a page of the competition to its text.

    Raises:
        ConfigError: the share is not between 0 and 1.
    """
    compared = board.compared
    cv = np.asarray([one.cv for one in compared], dtype=np.float64)
    public = np.asarray([one.public for one in compared], dtype=np.float64)
    if len(compared) < 2:
        return Review(board, compared, cv, public, None, None, None, None)
    if share is not None:
        public_rows(2, share, {})  # a wrong one is refused before anything is read
    agreement = rank_agreement(cv, public)
    try:
        splits, sizes = _splits(workspace, compared, share, pages)
    except (DataError, ConfigError) as error:
        return Review(board, compared, cv, public, agreement, None, _without_noise(cv, public), error.message)
    on_train, on_public = splits.covariance(splits.rows), splits.covariance(splits.public_rows)
    sign = 1.0 if board.greater_is_better else -1.0
    noise = Noise(
        sizes,
        least_difference(on_public),
        least_difference(on_train),
        expected_agreement(cv, on_train, on_public),
        tuple(contradictions(sign * cv, sign * public, on_train, on_public)),
    )
    return Review(board, compared, cv, public, agreement, noise, fit_line(cv, public, on_train, on_public), None)


def _splits(
    workspace: Workspace, compared: tuple[Scored, ...], share: float | None, pages: Mapping[str, str]
) -> tuple[Splits, PublicRows]:
    runs = [_run(one) for one in compared]
    oof = load_out_of_fold(workspace, [workspace.run(run.slug, run.run_id) for run in runs])
    sizes = public_rows(oof.test_rows, share, pages)
    return draw_splits(oof, sizes.public, sizes.private, _DRAWS), sizes


def _run(one: Scored) -> RunSummary:
    assert one.run is not None, "only submissions of runs are compared"
    return one.run


def _without_noise(cv: Numbers, public: Numbers) -> Line:
    nothing = np.zeros((len(cv), len(cv)))
    line = fit_line(cv, public, nothing, nothing)
    return Line(line.slope, line.shift, line.off, np.full(len(cv), np.inf))


def draw_review(found: Review, title: str, metric: str, path: Path) -> Path | None:
    """Draw CV against public score as PNG.

    Returns:
        `path`; None where fewer than two submissions are compared.
    """
    from kagglerun.submission.pictures import Points, draw_scores

    if found.line is None:
        return None
    points = Points(
        names=[one.name for one in found.compared],
        cv=found.cv,
        public=found.public,
        allowed=None if found.noise is None else found.line.allowed,
        is_off=found.line.is_off,
        slope=found.line.slope,
        shift=found.line.shift,
    )
    return draw_scores(points, title, metric, found.board.greater_is_better, path)
