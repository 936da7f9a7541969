"""`kagglerun ensemble`: finished runs of any day as one run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from kagglerun.cli.console import err, out
from kagglerun.workspace import Workspace

if TYPE_CHECKING:
    from kagglerun.ensemble.gains import Gain
    from kagglerun.ensemble.run import Report

_METHODS = ("auto", "mean", "hill", "rank", "ridge", "logistic")


def ensemble(
    runs: Annotated[
        list[str] | None,
        typer.Argument(help="Runs to choose from, by id; all that compare with the newest finished one when left out."),
    ] = None,
    competition: Annotated[
        str | None,
        typer.Option("--competition", "-c", help="The competition; by default the runs' or the current one."),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            help="auto (the best by nested cross-validation), mean, hill, rank, ridge or logistic.",
        ),
    ] = "auto",
    top: Annotated[int, typer.Option("--top", min=1, help="At most so many runs take part in one fit.")] = 40,
    name: Annotated[str, typer.Option("--name", help="What the run's id begins with.")] = "ensemble",
    seed: Annotated[int, typer.Option("--seed", min=0, help="What is drawn at random follows from it.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Join finished runs by their out-of-fold predictions; the result is a run like any other.

    mean: equal parts of the best few. hill: hill climbing with replacement on the metric (Caruana 2004), bagged. rank:
    the same on ranks. ridge, logistic: a stack with weights that are not negative. Each score is nested: the rows of a
    fold are judged with members, method and weights that were found on the other folds. `gain` is by how much the
    score gets worse without that member.
    """
    from kagglerun.ensemble.run import Options, make_ensemble
    from kagglerun.errors import unknown_name

    if method not in _METHODS:
        raise unknown_name("method", method, _METHODS)
    workspace = Workspace.find()
    slug = _slug(workspace, runs or [], competition)
    with err.status("reading the runs") as status:
        report = make_ensemble(
            workspace, slug, runs or [], Options(method, top, name, seed), tell=lambda line: status.update(escape(line))
        )
    if as_json:
        _print_json(report)
        return
    _print_choice(report)
    _print_methods(report)
    _print_members(report)
    _print_end(report)


def _slug(workspace: Workspace, runs: list[str], competition: str | None) -> str:
    if competition is None and runs:
        return workspace.find_run(runs[0]).slug
    return workspace.resolve_competition(competition)


def _print_json(report: Report) -> None:
    import json

    from kagglerun.files import read_json

    saved = {name: value for name, value in read_json(report.run.ensemble).items() if name != "members"}
    members = [
        {name: value for name, value in member.items() if name != "quantiles"}
        for member in read_json(report.run.ensemble)["members"]
    ]
    out.out(json.dumps({"run": report.run.run_id, **saved, "members": members}, indent=2), highlight=False)


def _print_choice(report: Report) -> None:
    """What it was chosen from, and what was not."""
    left_out = f"; left out: {', '.join(report.choice.left_out)}" if report.choice.left_out else ""
    out.print(f"chosen from {len(report.choice.runs)} runs{left_out}", markup=False)
    for run, other in report.choice.same.items():
        out.print(f"  {run} predicts the same as {other}, every bit: left out", markup=False)
    shown = 5
    for run, other, correlation in report.near[:shown]:
        out.print(f"  {run} predicts nearly the same as {other} (correlation {correlation:.5f})", markup=False)
    if len(report.near) > shown:
        out.print(f"  and {len(report.near) - shown} more pairs of runs are nearly the same")


def _print_methods(report: Report) -> None:
    direction = "greater" if report.greater_is_better else "smaller"
    out.print(f"\n[bold]{escape(report.metric)}[/], nested ({direction} is better)")
    width = max(10, *map(len, report.nested.scores))
    for method, score in report.nested.scores.items():
        mark = "  [bold]taken[/]" if method is report.nested.method else ""
        out.print(f"  {method.ljust(width)}  {_number(score)}{mark}")
    out.print(f"  {'best run'.ljust(width)}  {_number(report.best_honest)}  (the run that is best on the other folds)")


def _print_members(report: Report) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("member", overflow="fold")
    for column in ("weight", "alone", "gain", "± error"):
        table.add_column(column, justify="right")
    table.add_column("model")
    known = {run.run_id: run for run in report.choice.runs}
    for part in report.nested.blend.parts:
        run = known[part.run]
        gain = report.members[part.run]
        cells = (f"{part.share:.3f}", _number(run.score), _gain(gain), _number(gain.error if gain else None))
        table.add_row(escape(part.run), *cells, escape(run.model))
    out.print()
    out.print(table, soft_wrap=False)


def _print_end(report: Report) -> None:
    from kagglerun.ensemble.gains import CONFIDENCE_WIDTH

    sure = report.sureness
    lead = report.score - report.best_honest if report.greater_is_better else report.best_honest - report.score
    if not math.isfinite(sure.error):
        interval, over = "", ""
    else:
        width = CONFIDENCE_WIDTH * sure.error
        interval = f" (95 %: {_number(report.score - width)} to {_number(report.score + width)})"
        over = f" ± {_number(sure.error_over)}"
    out.print(f"\nOOF score {_number(report.score)}, nested{interval}", markup=False)
    better = "better" if lead >= 0 else "worse"
    out.print(
        f"{_number(abs(lead))}{over} {better} than the best run ({report.best.run_id}), chosen as honestly",
        markup=False,
    )
    for note in report.notes:
        out.print(f"note: {note}", markup=False)
    out.print(f"run {report.run.run_id}; pictures in {report.run.plots}", markup=False)
    out.print(f"next: kagglerun submit {report.run.run_id}    or    kagglerun show {report.run.run_id}", markup=False)


def _gain(gain: Gain | None) -> str:
    return "-" if gain is None else f"{gain.gain:+.5f}" if abs(gain.gain) < 1000 else f"{gain.gain:+.6g}"


def _number(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:.5f}" if abs(value) < 1000 else f"{value:.6g}"
