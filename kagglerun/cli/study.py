"""`kagglerun study`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from kagglerun.cli.console import out

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kagglerun.experiment.certainty import Certainty
    from kagglerun.jobs.control import JobInfo
    from kagglerun.sweep.budget import Spent
    from kagglerun.sweep.finalists import Race
    from kagglerun.sweep.study import StudySpec
    from kagglerun.sweep.summary import StudySummary
    from kagglerun.sweep.trials import Trial
    from kagglerun.workspace import StudyPaths, Workspace

_STYLES = {"COMPLETE": "green", "PRUNED": "yellow", "FAIL": "red", "RUNNING": "cyan"}
_WORDS = {"COMPLETE": "complete", "PRUNED": "stopped", "FAIL": "failed", "RUNNING": "in work"}
_MOST_COLUMNS = 6
_BAR = 24
_SHOWN_NUMBERS = 8


def study(
    name: Annotated[
        str | None, typer.Argument(help="A study's name, or its beginning; the newest when left out.")
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="How many trials are listed, the best first.")] = 10,
    everything: Annotated[bool, typer.Option("--all", help="List every trial.")] = False,
    draw: Annotated[bool, typer.Option("--draw", help="Draw its pictures now, and say where they are.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object, with every trial.")] = False,
) -> None:
    """Show a study: how far it is, its best trial and how sure that is, its trials, what mattered, what failed.

    Works while the sweep runs and after it ended. The same as pictures: `kagglerun ui`, in the study's run, or --draw.
    """
    from kagglerun.workspace import Workspace

    workspace = Workspace.find()
    shown = _look_at(workspace, name)
    if as_json:
        import json

        out.out(json.dumps(_as_values(shown), indent=2), highlight=False)
        return
    _print_head(shown)
    _print_best(shown)
    _print_front(shown)
    _print_costs(shown)
    _print_failures(shown.summary)
    _print_importances(shown.importances)
    _print_trials(shown, len(shown.trials) if everything else top)
    _print_race(shown)
    if draw:
        _draw(shown)


@dataclass(frozen=True)
class _Study:
    """All that is shown of a study."""

    paths: StudyPaths
    spec: StudySpec
    trials: Sequence[Trial]
    summary: StudySummary
    certainties: Mapping[int, Certainty]
    importances: Mapping[str, float]
    race: Race
    spent: Spent
    job: JobInfo | None

    @property
    def seconds_left(self) -> float | None:
        """What the running job says of the time left."""
        return self.job.eta_seconds if self.job and self.job.state.is_alive else None


def _look_at(workspace: Workspace, name: str | None) -> _Study:
    from kagglerun.sweep.budget import read_spent
    from kagglerun.sweep.finalists import read_race
    from kagglerun.sweep.find import find_study
    from kagglerun.sweep.review.importances import parameter_importances
    from kagglerun.sweep.study import read_spec
    from kagglerun.sweep.summary import summarise, weigh_trials
    from kagglerun.sweep.trials import read_trials

    paths = find_study(workspace, name)
    spec, trials, race = read_spec(paths), read_trials(paths), read_race(paths)
    return _Study(
        paths=paths,
        spec=spec,
        trials=trials,
        summary=summarise(spec, trials, race),
        certainties=weigh_trials(spec, trials, race),
        importances=parameter_importances(spec, trials),
        race=race,
        spent=read_spent(paths),
        job=_newest_job(workspace, paths),
    )


def _newest_job(workspace: Workspace, paths: StudyPaths) -> JobInfo | None:
    """The newest job that worked on the study."""
    from kagglerun.jobs.control import list_jobs
    from kagglerun.sweep.study import coordinator_argv

    wanted = tuple(coordinator_argv(paths))
    return next((job for job in list_jobs(workspace) if job.argv[1:] == wanted), None)


def _state(shown: _Study) -> tuple[str, str]:
    """How the study stands, in words, and the next command."""
    if shown.job and shown.job.state.is_alive:
        return f"{shown.job.state} as {shown.job.job_id}", f"kagglerun logs -f {shown.job.job_id}"
    from kagglerun.errors import JobError
    from kagglerun.sweep.lock import refuse_if_locked

    try:
        refuse_if_locked(shown.paths)
    except JobError:
        return "running in a terminal", ""
    if shown.summary.done >= shown.summary.wanted and not shown.summary.in_work:
        return "done", f"kagglerun submit {shown.summary.best.run_id}" if shown.summary.best else ""
    if shown.job is None:
        return "interrupted", "the same `kagglerun sweep` goes on"
    return str(shown.job.state), f"kagglerun resume {shown.job.job_id}"


def _print_head(shown: _Study) -> None:
    summary = shown.summary
    state, following = _state(shown)
    direction = "greater is better" if summary.greater_is_better else "smaller is better"
    out.print(f"[bold]{escape(summary.name)}[/]  {escape(summary.slug)}, {direction}; {escape(state)}")
    counts = f"{summary.done} of {summary.wanted}: {summary.complete} complete"
    for number, words in ((summary.pruned, "stopped early"), (summary.failed, "failed"), (summary.in_work, "in work")):
        counts += f", {number} {words}" if number else ""
    _line("trials", counts)
    if shown.job and shown.job.error:
        _line("ended by", shown.job.error)
    if following:
        _line("next", following)


def _print_best(shown: _Study) -> None:
    best = shown.summary.best
    if best is None:
        return
    from kagglerun.sweep.progress import with_noise
    from kagglerun.sweep.proposal import describe

    certainty = best.certainty
    alone = certainty.standard_error is None or shown.summary.complete == 1
    sure = "" if alone else f"; the best of all with {certainty.probability_best:.0%} chance"
    _line("best", f"{with_noise(shown.summary)}  trial {best.number}, run {best.run_id}{sure}")
    if not alone:
        side = "at least" if shown.summary.greater_is_better else "at most"
        _line("", f"truly {side} {certainty.bound:.5g}, corrected for {shown.summary.complete} trials (95 %)")
    _line("", describe(best.params))


def _print_front(shown: _Study) -> None:
    """With several objectives: the trials between which only taste decides."""
    from kagglerun.sweep.objectives import objective_values

    objectives = shown.spec.config.sweep.objectives
    for place, number in enumerate(shown.summary.front[:_SHOWN_NUMBERS]):
        values = zip(objectives, objective_values(shown.trials[number], objectives), strict=True)
        _line(
            "" if place else "unbeaten",
            f"trial {number}: " + ", ".join(f"{name} {value:.5g}" for name, value in values),
        )


def _print_costs(shown: _Study) -> None:
    from kagglerun.cli.jobs import duration

    summary, spent = shown.summary, shown.spent
    if summary.pruned:
        possible = summary.fits + summary.fits_saved
        _line("early stop", f"{summary.fits_saved:.0f} of {possible:.0f} fold fits saved ({summary.share_saved:.0%})")
    parts = [f"{duration(summary.fold_seconds)} of folds"]
    if spent.seconds:
        parts.append(f"{duration(spent.seconds)} of work over all attempts")
    if spent.gpu_seconds:
        parts.append(f"{spent.gpu_seconds / 3600:.2f} GPU-hours")
    if shown.seconds_left is not None:
        parts.append(f"about {duration(shown.seconds_left)} left")
    _line("time", ", ".join(parts))


def _print_failures(summary: StudySummary) -> None:
    for place, (kind, numbers) in enumerate(sorted(summary.failures.items(), key=lambda item: -len(item[1]))):
        more = ", ..." if len(numbers) > _SHOWN_NUMBERS else ""
        trials = ", ".join(map(str, numbers[:_SHOWN_NUMBERS])) + more
        _line("failures" if not place else "", f"{len(numbers)} x {kind}: trial {trials}")


def _print_importances(importances: Mapping[str, float]) -> None:
    if not importances:
        return
    out.print("\n[bold]what separates the best trials from the others[/]")
    width = max(map(len, importances))
    largest = max(importances.values())
    for key, share in importances.items():
        out.print(f"  {escape(key.ljust(width))}  {'█' * round(_BAR * share / largest):<{_BAR}}  {share:.0%}")


def _print_trials(shown: _Study, most: int) -> None:
    from rich.table import Table

    if not shown.trials:
        out.print("no trial yet")
        return
    keys = _shown_keys(shown)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("trial", "state", "score", "±", "folds", "seconds"):
        table.add_column(name, justify="right" if name != "state" else "left", no_wrap=True)
    for key in keys:
        table.add_column(key.rpartition(".")[2], overflow="fold")
    for trial in sorted(shown.trials, key=lambda trial: _rank(trial, shown.summary.greater_is_better))[:most]:
        table.add_row(*_cells(trial, shown), *(escape(_value(trial.params.get(key))) for key in keys))
    out.print("")
    out.print(table, soft_wrap=False)
    if len(shown.trials) > most:
        out.print(f"and {len(shown.trials) - most} more (--all shows them)")


def _shown_keys(shown: _Study) -> list[str]:
    """Parameters that get a column: the most important ones, as many as fit."""
    ranked = [*shown.importances, *(key for trial in shown.trials for key in trial.params)]
    room = min(_MOST_COLUMNS, max(1, (out.width - 48) // 14))
    return list(dict.fromkeys(ranked))[:room]


def _rank(trial: Trial, greater_is_better: bool) -> tuple[int, float, int]:
    """Trials with a score first, the best of them first; then those stopped early, in work, failed."""
    order = ("COMPLETE", "PRUNED", "RUNNING", "FAIL").index(str(trial.state))
    value = trial.value or 0.0
    return order, -value if greater_is_better else value, trial.number


def _cells(trial: Trial, shown: _Study) -> list[str]:
    error = shown.certainties[trial.number].standard_error if trial.number in shown.certainties else None
    mark = "★ " if shown.summary.best and trial.number == shown.summary.best.number else ""
    return [
        f"{mark}{trial.number}",
        f"[{_STYLES[trial.state]}]{_WORDS[trial.state]}[/]",
        "-" if trial.value is None else f"{trial.value:.5g}",
        "-" if error is None else f"{error:.2g}",
        str(len(trial.fold_scores)) if trial.is_finished else "-",
        "-" if trial.seconds is None else f"{trial.seconds:.0f}",
    ]


def _value(value: Any) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _print_race(shown: _Study) -> None:
    if not shown.race.finalists:
        return
    out.print("\n[bold]finalists[/]" + ("" if shown.race.done else ", the race goes on"))
    for one in shown.race.finalists:
        rounds = len(one.reruns)
        mean = f"{one.mean:.5g} over {rounds} rerun{'s' if rounds != 1 else ''}" if rounds else "no rerun yet"
        out.print(f"  trial {one.number}: {mean}{escape(f'; left: {one.why}' if one.why else '')}")


def _draw(shown: _Study) -> None:
    from kagglerun.sweep.review import draw_study

    files = draw_study(shown.paths, shown.spec, shown.trials)
    out.print("")
    for path in files:
        out.print(str(path), markup=False)
    if not files:
        out.print("nothing to draw before a trial is complete")


def _line(title: str, text: str) -> None:
    out.print(f"  {title:<10}  {escape(text)}")


def _as_values(shown: _Study) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "study": asdict(shown.summary),
        "state": _state(shown)[0],
        "job": shown.job.job_id if shown.job else None,
        "seconds_left": shown.seconds_left,
        "share_saved": shown.summary.share_saved,
        "spent": asdict(shown.spent),
        "importances": dict(shown.importances),
        "finalists": asdict(shown.race),
        "trials": [asdict(trial) for trial in shown.trials],
    }
