"""`kagglerun runs`."""

from __future__ import annotations

import statistics
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from kagglerun.cli.console import out

if TYPE_CHECKING:
    from kagglerun.experiment.runs import RunSummary
    from kagglerun.submission.select import Selection
    from kagglerun.workspace import Workspace

_SHOWN = 20
_COLUMNS = {
    "": 0,
    "run": 0,
    "state": 0,
    "OOF score": 0,
    "± folds": 0,
    "best?": 115,
    "folds": 130,
    "public": 0,
    "model": 105,
    "study": 130,
    "age": 0,
}
"""Column to the width of terminal from which on it is shown."""
_STYLES = {"FINISHED": "green", "RUNNING": "cyan", "PRUNED": "dim", "FAILED": "red", "KILLED": "yellow"}


def runs(
    slug: Annotated[str | None, typer.Argument(help="A competition; all of them when left out.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every run, also those that cannot be compared with the newest.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, one object a run.")] = False,
) -> None:
    """List the runs, the best first. Only runs with the same data, folds and metric stand in one table.

    The best is marked with a star: `kagglerun submit best` sends that one. It is the run whose score is surely the
    highest, and `best?` says how likely it is that no other one is truly better. Runs that differ only in their seed
    are one candidate with the mean of their scores, so a lucky seed is not the best. A pruned run is a trial that was
    stopped before it had all its folds; it has no score and is never the best.
    """
    from kagglerun.competition_ref import CompetitionRef
    from kagglerun.experiment.runs import list_runs
    from kagglerun.workspace import Workspace

    workspace = Workspace.find()
    found = list_runs(workspace, CompetitionRef.parse(slug).slug if slug else None)
    found = [_with_true_state(workspace, run) for run in found]
    if as_json:
        _print_json(found)
    elif not found:
        out.print(f"no runs{f' of {escape(slug)}' if slug else ''} yet; `kagglerun sweep baseline.yaml` makes some")
    else:
        for name in dict.fromkeys(run.slug for run in found):
            _print_competition(workspace, name, [run for run in found if run.slug == name], everything)


def _with_true_state(workspace: Workspace, run: RunSummary) -> RunSummary:
    """A run whose process is gone without a word is KILLED, whatever its status file says."""
    from dataclasses import replace

    from kagglerun.tracking import was_killed

    killed = run.state == "RUNNING" and was_killed(workspace.run(run.slug, run.run_id))
    return replace(run, state="KILLED") if killed else run


def _print_json(found: list[RunSummary]) -> None:
    import json
    from dataclasses import asdict

    out.out(json.dumps([asdict(run) for run in found], indent=2), highlight=False)


def _print_competition(workspace: Workspace, slug: str, found: list[RunSummary], everything: bool) -> None:
    """The table of the group that the newest run belongs to; with `everything`, one of each group."""
    best = _selection(workspace, slug)
    reruns = 0 if everything else sum(run.rerun is not None for run in found)
    groups = _groups(found if everything else [run for run in found if run.rerun is None], best)
    shown = groups if everything else groups[:1]
    for group in shown:
        _print_group(slug, group, best, len(group) if everything else _SHOWN)
    if reruns:
        out.print(
            f"and {reruns} rerun{'s' * (reruns != 1)} of finalists with other seeds and splits (--all shows them)"
        )
    others = Counter(run.state.lower() for group in groups[len(shown) :] for run in group)
    if others:
        counts = ", ".join(f"{count} {state}" for state, count in sorted(others.items()))
        out.print(f"left out, with other data, folds or metric than the newest run: {counts} (--all shows them)")


def _groups(found: list[RunSummary], best: Selection | None) -> list[list[RunSummary]]:
    """Comparable runs together, the best one's group first; runs without a fingerprint stand with the newest."""
    finished = [run.comparable for run in found if run.comparable and run.state == "FINISHED" and run.rerun is None]
    known = [run.comparable for run in found if run.comparable]
    newest = (best.run.comparable if best else None) or (finished or known or [""])[-1]
    keys = dict.fromkeys([newest, *reversed(known)])
    return [[run for run in found if (run.comparable or newest) == key] for key in keys]


def _selection(workspace: Workspace, slug: str) -> Selection | None:
    from kagglerun.errors import ConfigError
    from kagglerun.submission.select import select_best

    try:
        return select_best(workspace, slug)
    except ConfigError:
        return None  # nothing is finished yet


def _print_group(slug: str, group: list[RunSummary], best: Selection | None, most: int) -> None:
    from rich.table import Table

    metric = next((run for run in group if run.metric), None)
    ordered = sorted(group, key=_rank)
    table = Table(box=None, pad_edge=False, header_style="bold")
    shown = [name for name, width in _COLUMNS.items() if out.width >= width]
    for name in shown:
        numeric = name in ("OOF score", "± folds", "best?", "folds", "public", "age")
        table.add_column(name, justify="right" if numeric else "left", no_wrap=name != "run", overflow="fold")
    for run in ordered[:most]:
        cells = _cells(run, best)
        table.add_row(*(cells[name] for name in shown))
    direction = f", {metric.metric}, {'greater' if metric.greater_is_better else 'smaller'} is better" if metric else ""
    out.print(f"[bold]{escape(slug)}[/]{escape(direction)}")
    out.print(table, soft_wrap=False)
    if len(ordered) > most:
        out.print(f"and {len(ordered) - most} more (--all shows them)")
    if best and best.run.run_id in {run.run_id for run in group}:
        _print_certainty(best)
        for reason in best.reasons:
            out.print(f"  {reason}", markup=False)


def _print_certainty(best: Selection) -> None:
    """How sure the best score is; nothing where one fold is all there is."""
    sure = best.certainty
    if sure.standard_error is None:
        return
    least = "at least" if best.run.greater_is_better else "at most"
    out.print(
        f"★ {_number(sure.estimate)} ± {_number(sure.standard_error)}, with 95 % {least} {_number(sure.bound)}; "
        f"no other run is truly better: {sure.probability_best:.0%}"
    )


def _rank(run: RunSummary) -> tuple[bool, float]:
    """The best score first, runs without one last, the newest of those first."""
    if run.score is None or run.score != run.score:
        return (True, -_started(run))
    return (False, -run.score if run.greater_is_better else run.score)


def _cells(run: RunSummary, best: Selection | None) -> dict[str, str]:
    certainty = best.certainties.get(run.run_id) if best else None
    style = _STYLES.get(run.state, "")
    spread = statistics.pstdev(run.fold_scores) if run.state == "FINISHED" and len(run.fold_scores) > 1 else None
    return {
        "": "★" if best and run.run_id == best.run.run_id else "",
        "run": escape(run.run_id),
        "state": f"[{style}]{run.state.lower()}[/]" if style else run.state.lower(),
        "OOF score": _number(run.score),
        "± folds": _number(spread),
        "best?": f"{certainty.probability_best:.0%}" if certainty else "-",
        "folds": str(len(run.fold_scores) or "-"),
        "public": _number(run.public_score),
        "model": escape(run.model),
        "study": escape(run.study or "-"),
        "age": _age(run),
    }


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.5f}" if abs(value) < 1000 else f"{value:.6g}"


def _started(run: RunSummary) -> float:
    return datetime.fromisoformat(run.started).timestamp() if run.started else 0.0


def _age(run: RunSummary) -> str:
    from kagglerun.cli.jobs import duration

    return duration(max(0.0, datetime.now(UTC).timestamp() - _started(run))) if run.started else "-"
