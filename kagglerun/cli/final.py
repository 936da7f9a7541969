"""`kagglerun final`: which two submissions to choose in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from kagglerun.cli.console import err, out
from kagglerun.cli.submission_board import AsJsonOption, CompetitionArgument, OfflineOption, PublicShareOption, ask
from kagglerun.workspace import Workspace

if TYPE_CHECKING:
    from kagglerun.submission.finals.pairs import Pair
    from kagglerun.submission.finals.propose import Candidate, Proposal

_SHOWN = 12
_LIKELY = 0.9


def final(
    competition: CompetitionArgument = None,
    public_share: PublicShareOption = None,
    unsent: Annotated[bool, typer.Option("--unsent", help="Consider runs that were not submitted yet, too.")] = False,
    draws: Annotated[
        int | None, typer.Option("--draws", min=50, help="Test sets to draw; by default up to 1000.")
    ] = None,
    offline: OfflineOption = False,
    as_json: AsJsonOption = False,
) -> None:
    """Propose the two final submissions, with the reasoning; nothing is sent or changed.

    Test sets of the real size are drawn from the out-of-fold predictions, all candidates scored on the same rows. From
    CV and public scores, each counted by the rows behind it, follows what private scores are to be expected, together;
    proposed is the pair whose better one is expected to be the best. Two that fail on the same rows are no pair.
    """
    from kagglerun.submission.finals.propose import propose
    from kagglerun.submission.scoreboard import read_board

    workspace = Workspace.find()
    asked = ask(workspace, competition, offline)
    board = read_board(workspace, asked.card, asked.listed)
    with err.status("drawing test sets from the out-of-fold predictions"):
        found = propose(workspace, asked.card.slug, board, public_share, asked.pages, unsent=unsent, draws=draws)
    if as_json:
        import json
        from dataclasses import asdict

        out.out(json.dumps(asdict(found), indent=2), highlight=False)
        return
    _print_candidates(found)
    _print_pair(found)
    _print_rivals(found)
    _print_shake_up(found)
    _print_truth(found)


def _print_candidates(found: Proposal) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("", "run", "submission", "CV", "public", "private, expected", "±", "best of all?"):
        table.add_column(name, justify="left" if name in ("", "run") else "right", overflow="fold")
    proposed = (found.pair.first, found.pair.second)
    shown = [number for number in range(len(found.candidates)) if number < _SHOWN or number in proposed]
    for number in shown:
        one = found.candidates[number]
        table.add_row(
            "★" if number in proposed else "",
            escape(one.run_id),
            str(one.ref or "not sent"),
            _number(one.cv),
            _number(one.public),
            _number(one.expected),
            _number(one.deviation),
            f"{one.chance:.0%}",
        )
    out.print(table, soft_wrap=False)
    if len(shown) < len(found.candidates):
        out.print(f"and {len(found.candidates) - len(shown)} more with less to expect (--json lists them)")
    if found.left_out:
        out.print(f"no candidates: {', '.join(found.left_out)}", markup=False)


def _print_pair(found: Proposal) -> None:
    first, second = _names(found, found.pair)
    out.print(f"\n[bold]choose[/] {escape(first)} [bold]and[/] {escape(second)}")
    lead = found.candidates[found.pair.first]
    out.print(
        f"  {first}: {_why_first(found, lead)}\n"
        f"  {second}: adds {found.pair.worth:.5f} to the better private score of the two; what sets their scores apart "
        f"from the others' correlates by {found.pair.alike:.2f}",
        markup=False,
    )
    if found.beyond_noise > _LIKELY:
        out.print(
            f"  public scores leave the line of CV by more than noise ({found.beyond_noise:.0%} sure, by about "
            f"{found.excess:.5f} each), so they count for more than their rows"
        )
    for one in (found.candidates[found.pair.first], found.candidates[found.pair.second]):
        if one.ref is None:
            out.print(f"  {one.run_id} was not sent yet: kagglerun submit {one.run_id}", markup=False)


def _why_first(found: Proposal, lead: Candidate) -> str:
    side = "highest" if found.greater_is_better else "lowest"
    side_of = 1 if found.greater_is_better else -1
    place = 1 + sum(side_of * one.expected > side_of * lead.expected for one in found.candidates)
    rank = f"the {side} expected private score" if place == 1 else f"number {place} by expected private score"
    return f"{rank}, {_number(lead.expected)}; the best of all with {lead.chance:.0%}"


def _print_rivals(found: Proposal) -> None:
    out.print("")
    for rival in found.rivals:
        first, second = _names(found, rival.pair)
        same = {rival.pair.first, rival.pair.second} == {found.pair.first, found.pair.second}
        ahead = (
            "the same two"
            if same
            else f"expected {rival.ahead:.5f} behind the proposed two, which are ahead with {rival.chance:.0%}"
        )
        out.print(f"{rival.how}: {first} and {second}: {ahead}", markup=False)
    for pair in found.next_pairs[:1]:
        first, second = _names(found, pair)
        out.print(
            f"next best pair: {first} and {second}: expected {found.pair.expected - pair.expected:.5f} behind",
            markup=False,
        )


def _print_shake_up(found: Proposal) -> None:
    shake, sizes = found.shake, found.sizes
    out.print(
        f"\nshake-up, by the choice of rows alone: {sizes.public} public and {sizes.private} private rows "
        f"({sizes.because}), {found.draws} test sets"
        + (", scored by mean losses, as the metric takes long" if found.by == "losses" else ""),
        markup=False,
    )
    out.print(
        f"  a difference between two candidates moves by ± {shake.move:.5f} from public to private; "
        f"the orders agree by Kendall {shake.order:.2f}"
    )
    out.print(
        f"  the first in public is the first in private with {shake.leader_stays:.0%}; choosing it alone costs "
        f"{shake.leader_price:.5f} against the best of all, the first two in public {shake.pair_price:.5f}"
    )


def _print_truth(found: Proposal) -> None:
    """Where private scores are shown already: how the proposal, which did not look at them, did."""
    known = [one.private for one in found.candidates if one.private is not None]
    pairs = {"the proposed two": found.pair, **{rival.how: rival.pair for rival in found.rivals}}
    ends = {how: _better_private(found, pair) for how, pair in pairs.items()}
    if not known or any(end is None for end in ends.values()):
        return
    best = max(known) if found.greater_is_better else min(known)
    told = ", ".join(f"{how} {_number(end)}" for how, end in ends.items())
    out.print(
        f"\nprivate scores are known (they played no part): {told}; the best of all {_number(best)}", markup=False
    )


def _better_private(found: Proposal, pair: Pair) -> float | None:
    both = [found.candidates[at].private for at in (pair.first, pair.second)]
    scores = [score for score in both if score is not None]
    if len(scores) < 2:
        return None
    return max(scores) if found.greater_is_better else min(scores)


def _names(found: Proposal, pair: Pair) -> tuple[str, str]:
    return found.candidates[pair.first].run_id, found.candidates[pair.second].run_id


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.5f}" if abs(value) < 1000 else f"{value:.6g}"
