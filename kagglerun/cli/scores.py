"""`kagglerun scores`: CV against the leaderboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape

from kagglerun.cli.console import err, out
from kagglerun.cli.submission_board import AsJsonOption, CompetitionArgument, OfflineOption, PublicShareOption, ask
from kagglerun.workspace import Workspace

if TYPE_CHECKING:
    from kagglerun.submission.scoreboard_review import Review


def scores(
    competition: CompetitionArgument = None,
    public_share: PublicShareOption = None,
    offline: OfflineOption = False,
    as_json: AsJsonOption = False,
) -> None:
    """Compare CV with the public leaderboard: every submission, how far the two orders agree, and what is noise.

    The noise is measured: test sets of the real size are drawn from the out-of-fold predictions, and all runs are
    scored on the same rows. A warning says where CV and leaderboard disagree in rank by more than that.
    """
    from kagglerun.submission.scoreboard import read_board
    from kagglerun.submission.scoreboard_review import draw_review, review

    workspace = Workspace.find()
    asked = ask(workspace, competition, offline)
    board = read_board(workspace, asked.card, asked.listed)
    with err.status("drawing test sets from the out-of-fold predictions"):
        found = review(workspace, board, public_share, asked.pages)
    title = f"{asked.card.ref}: CV against the public leaderboard"
    picture = draw_review(found, title, asked.card.metric or "score", workspace.scoreboard(asked.card.slug))
    if as_json:
        _print_json(found, str(picture) if picture else None)
        return
    _print_table(found)
    _print_agreement(found)
    _print_off(found)
    for warning in found.warnings:
        err.print(f"[bold yellow]warning:[/] {escape(warning)}")
    if picture:
        out.print(str(picture), markup=False)


def _print_table(found: Review) -> None:
    from rich.table import Table

    if not found.board.submissions:
        out.print("nothing was scored yet; `kagglerun submit best` sends the best run")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("submission", "date (UTC)", "run", "CV", "rank", "public", "rank", "off the line"):
        table.add_column(name, justify="left" if name in ("date (UTC)", "run") else "right", overflow="fold")
    shows_private = any(one.private is not None for one in found.board.submissions)
    if shows_private:
        table.add_column("private", justify="right")
    places = {id(one): number for number, one in enumerate(found.compared)}
    ranks = _ranks(found)
    for one in reversed(found.board.submissions):
        number = places.get(id(one))
        own = ("-", "-", "-") if number is None else (str(ranks[0][number]), str(ranks[1][number]), _off(found, number))
        cells = [str(one.ref), one.when[:16].replace("T", " "), escape(one.name)]
        cells += [_number(one.cv), own[0], _number(one.public), own[1], own[2]]
        table.add_row(*cells, *([_number(one.private)] if shows_private else []))
    out.print(table, soft_wrap=False)
    if found.board.left_out:
        out.print(f"not compared: {', '.join(found.board.left_out)}", markup=False)


def _ranks(found: Review) -> tuple[list[int], list[int]]:
    """Ranks in CV and in public, 1 is the best; equal scores share one."""
    sign = -1.0 if found.board.greater_is_better else 1.0
    return tuple([int((sign * side < sign * value).sum()) + 1 for value in side] for side in (found.cv, found.public))  # type: ignore[return-value]


def _off(found: Review, number: int) -> str:
    if found.line is None:
        return "-"
    mark = " !" if found.line.is_off[number] else ""
    return f"{found.line.off[number]:+.5f}{mark}"


def _print_agreement(found: Review) -> None:
    from kagglerun.submission.scoreboard_correlation import LEAST_PAIRS

    agreement, noise = found.agreement, found.noise
    if agreement is None:
        out.print("two scored submissions of comparable runs are needed to compare CV with the leaderboard")
        return
    few = agreement.pairs < LEAST_PAIRS
    parts = [
        f"{name} {one.value:.2f}" + ("" if few else f" ({one.low:.2f} to {one.high:.2f})")
        for name, one in (("Kendall", agreement.kendall), ("Spearman", agreement.spearman))
    ]
    sure = "too few for an interval" if few else f"with 95 %, p = {agreement.p:.2g}"
    out.print(f"order in CV and in public: {', '.join(parts)}, {agreement.pairs} runs, {sure}")
    if noise is None:
        out.print(f"what is noise could not be measured: {found.unmeasured}", markup=False)
        return
    out.print(f"public part: {noise.sizes.public} rows ({noise.sizes.because})", markup=False)
    out.print(
        f"noise: public scores that differ by less than {noise.difference:.5f} cannot be told apart, CV scores by less "
        f"than {noise.difference_of_cv:.5f} (95 %)"
    )
    out.print(
        f"with noise alone the orders would agree by Kendall {noise.expected.kendall:.2f} "
        f"(in 5 % of cases below {noise.expected.low:.2f})"
    )
    _print_leaders(found)


def _print_leaders(found: Review) -> None:
    """Where CV and leaderboard name another best run."""
    ranks = _ranks(found)
    by_cv, by_public = ranks[0].index(1), ranks[1].index(1)
    if by_cv == by_public or found.noise is None:
        return
    behind = abs(found.public[by_cv] - found.public[by_public])
    words = "within noise: go by CV" if behind < found.noise.difference else "more than noise"
    out.print(
        f"the best in CV is {found.compared[by_cv].name}, in public {found.compared[by_public].name}, "
        f"which is {behind:.5f} better there, {words}",
        markup=False,
    )


def _print_off(found: Review) -> None:
    if found.line is None:
        return
    side = 1.0 if found.board.greater_is_better else -1.0
    for number in found.line.is_off.nonzero()[0]:
        word = "better" if side * found.line.off[number] > 0 else "worse"
        out.print(
            f"off the line: {found.compared[number].name} is {word} in public than its CV leads to by "
            f"{abs(found.line.off[number]):.5f}; noise explains {found.line.allowed[number]:.5f}",
            markup=False,
        )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.5f}" if abs(value) < 1000 else f"{value:.6g}"


def _print_json(found: Review, picture: str | None) -> None:
    import json
    from dataclasses import asdict

    numbers = {id(one): number for number, one in enumerate(found.compared)}
    submissions = []
    for one in found.board.submissions:
        number = numbers.get(id(one))
        row = {"ref": one.ref, "date": one.when, "file": one.file, "run": one.run.run_id if one.run else None}
        row |= {"cv": one.cv, "public": one.public, "private": one.private, "compared": number is not None}
        if number is not None and found.line is not None:
            row |= {"off": float(found.line.off[number]), "is_off": bool(found.line.is_off[number])}
        submissions.append(row)
    values = {
        "submissions": submissions,
        "agreement": asdict(found.agreement) if found.agreement else None,
        "noise": asdict(found.noise) if found.noise else None,
        "unmeasured": found.unmeasured,
        "warnings": list(found.warnings),
        "left_out": list(found.board.left_out),
        "picture": picture,
    }
    out.out(json.dumps(values, indent=2), highlight=False)
