"""The two final submissions of a competition: candidates, what is to be expected of them, and the pair to choose."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kagglerun.errors import ConfigError
from kagglerun.experiment.runs import RunSummary, list_runs
from kagglerun.submission.candidates import main_group, may_be_chosen
from kagglerun.submission.finals.belief import Belief, believe
from kagglerun.submission.finals.out_of_fold import load_out_of_fold
from kagglerun.submission.finals.pairs import Pair, ShakeUp, advantage, pair_of, rank_pairs, shake_up, two_best
from kagglerun.submission.finals.splits import Splits, draw_splits
from kagglerun.submission.public_share import PublicRows, public_rows
from kagglerun.submission.scoreboard import Board, Scored
from kagglerun.workspace import Workspace

Numbers = NDArray[np.float64]

MOST_CANDIDATES = 40
"""Those furthest behind in CV and in public have no chance, and cost time."""
_SHOWN_PAIRS = 5


@dataclass(frozen=True)
class Candidate:
    """A submission that may be chosen.

    Attributes:
        run_id: the run.
        ref: the server's number of the submission; None for a run that was not sent yet.
        cv: out-of-fold score.
        public: public score; None where none is known.
        private: private score, where the server shows it; it plays no part.
        expected: expected private score.
        deviation: standard deviation of what it differs from that, apart from what all candidates share.
        chance: chance to have the best private score of all.
    """

    run_id: str
    ref: int | None
    cv: float
    public: float | None
    private: float | None
    expected: float
    deviation: float
    chance: float


@dataclass(frozen=True)
class Rival:
    """Another way to choose two, and what the proposed pair is expected to be ahead of it.

    Attributes:
        how: the way, in words.
        pair: its two.
        ahead: expected better private score of the proposed pair minus that of this one; never below 0.
        chance: chance that the proposed one is ahead (ties half).
    """

    how: str
    pair: Pair
    ahead: float
    chance: float


@dataclass(frozen=True)
class Proposal:
    """The two final submissions and why.

    Attributes:
        candidates: all of them, the highest expected private score first; pairs name them by number.
        pair: the proposed two.
        next_pairs: the pairs that follow it.
        rivals: other ways of choosing.
        shake: what the choice of public and private rows alone does.
        sizes: rows of the public and the private part.
        excess: how far candidates are expected to differ on the test set in a way that CV does not see.
        beyond_noise: chance that they do.
        draws: how many test sets were drawn.
        by: what scored them: "metric", or "losses" where the metric takes too long.
        left_out: why other submissions are no candidates, with their number.
        greater_is_better: direction; expected values of pairs are turned so that greater is better.
    """

    candidates: tuple[Candidate, ...]
    pair: Pair
    next_pairs: tuple[Pair, ...]
    rivals: tuple[Rival, ...]
    shake: ShakeUp
    sizes: PublicRows
    excess: float
    beyond_noise: float
    draws: int
    by: str
    left_out: tuple[str, ...]
    greater_is_better: bool


def propose(
    workspace: Workspace,
    slug: str,
    board: Board,
    share: float | None,
    pages: Mapping[str, str],
    *,
    unsent: bool = False,
    draws: int | None = None,
) -> Proposal:
    """Propose the two final submissions.

    Args:
        workspace: whose runs.
        slug: the competition.
        board: its submissions.
        share: public share of the test rows; None: by the pages, else a guess.
        pages: name of a page of the competition to its text.
        unsent: runs that were not sent yet are candidates too; they are anyway where fewer than two were.
        draws: how many test sets are drawn; by default up to 1000.

    Raises:
        ConfigError: fewer than two candidates; a share that is none.
        DataError: their predictions are missing, or the data changed since.
    """
    if share is not None:
        public_rows(2, share, {})
    chosen = _candidates(list_runs(workspace, slug), board, unsent)
    if len(chosen) < 2:
        raise ConfigError(
            f"{slug} has {len(chosen)} finished run{'s' * (len(chosen) != 1)} to choose two final submissions from",
            hint="kagglerun sweep baseline.yaml    then: kagglerun submit best",
        )
    oof = load_out_of_fold(workspace, [workspace.run(slug, run.run_id) for run, _ in chosen])
    sizes = public_rows(oof.test_rows, share, pages)
    splits = draw_splits(oof, sizes.public, sizes.private, draws)
    cv = np.asarray([run.score for run, _ in chosen], dtype=np.float64)
    public = np.asarray([_public(sent) for _, sent in chosen], dtype=np.float64)
    belief = believe(cv, public, splits, board.greater_is_better)
    return _proposal(chosen, board, cv, public, belief, splits, sizes)


Chosen = Sequence[tuple[RunSummary, Scored | None]]


def _candidates(runs: Sequence[RunSummary], board: Board, unsent: bool) -> list[tuple[RunSummary, Scored | None]]:
    """Runs with their submissions; the best by CV and by public score where there are too many."""
    sent = {one.run.run_id: one for one in board.compared if one.run is not None}
    finished = [run for run in runs if run.rerun is None and may_be_chosen(run)]
    keys = {one.run.comparable for one in sent.values() if one.run is not None}
    group = [run for run in finished if run.comparable in keys] if keys else main_group(finished) if finished else []
    if not unsent and len(sent) >= 2:
        group = [run for run in group if run.run_id in sent]
    found = [(run, sent.get(run.run_id)) for run in group]
    if len(found) <= MOST_CANDIDATES:
        return found
    sign = 1.0 if board.greater_is_better else -1.0
    by_cv = sorted(range(len(found)), key=lambda at: -sign * (found[at][0].score or 0.0))
    by_public = sorted(
        (at for at in range(len(found)) if math.isfinite(_public(found[at][1]))),
        key=lambda at: -sign * _public(found[at][1]),
    )
    half = by_public[: MOST_CANDIDATES // 2]
    kept = {*half, *[at for at in by_cv if at not in half][: MOST_CANDIDATES - len(half)]}
    return [found[at] for at in sorted(kept)]


def _public(sent: Scored | None) -> float:
    return math.nan if sent is None or sent.public is None else sent.public


def _proposal(
    chosen: Chosen, board: Board, cv: Numbers, public: Numbers, belief: Belief, splits: Splits, sizes: PublicRows
) -> Proposal:
    order = np.argsort(-belief.expected, kind="stable")
    private = belief.private[:, order]
    pairs = rank_pairs(private)
    sign = 1.0 if board.greater_is_better else -1.0
    chances = np.bincount(private.argmax(axis=1), minlength=len(order)) / len(private)
    candidates = tuple(
        Candidate(
            run_id=run.run_id,
            ref=sent.ref if sent else None,
            cv=float(cv[at]),
            public=sent.public if sent else None,
            private=sent.private if sent else None,
            expected=float(sign * belief.expected[at]),
            deviation=float(belief.deviation[at]),
            chance=float(chances[place]),
        )
        for place, (at, (run, sent)) in enumerate((at, chosen[at]) for at in order.tolist())
    )
    ways = {"two best by CV": sign * cv[order], "two best by expected private score": belief.expected[order]}
    if np.isfinite(public).sum() >= 2:
        ways = {"two best by public score": sign * public[order], **ways}
    return Proposal(
        candidates=candidates,
        pair=pairs[0],
        next_pairs=tuple(pairs[1:_SHOWN_PAIRS]),
        rivals=tuple(_rival(how, values, pairs, private) for how, values in ways.items()),
        shake=shake_up(splits, board.greater_is_better),
        sizes=sizes,
        excess=belief.excess,
        beyond_noise=belief.beyond_noise,
        draws=len(splits.public),
        by=splits.by,
        left_out=board.left_out,
        greater_is_better=board.greater_is_better,
    )


def _rival(how: str, values: Numbers, pairs: Sequence[Pair], private: Numbers) -> Rival:
    pair = pair_of(pairs, *two_best(values))
    ahead, chance = advantage(private, pairs[0], pair)
    return Rival(how, pair, ahead, chance)
