"""What a sweep will take, said before it starts: `kagglerun sweep CONFIG --forecast`, and a line at its start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape

from kagglerun.cli.console import err, out

if TYPE_CHECKING:
    from kagglerun.config.schema import Config
    from kagglerun.sweep.forecast import Forecast
    from kagglerun.sweep.study import StudySpec
    from kagglerun.workspace import StudyPaths, Workspace

_PROFILE_SECONDS = 20.0


def show_forecast(workspace: Workspace, config: Config, objective: str) -> None:
    """Print what a sweep with this config will take; trains a part of one fold, starts and writes nothing.

    Args:
        workspace: where the competition lives.
        config: as the user wrote it.
        objective: dotted path of what a trial does.
    """
    from kagglerun.sweep.forecast import earlier_fold_seconds, forecast, gpus_of_a_trial, profiled_fold_seconds
    from kagglerun.sweep.objective import load_objective
    from kagglerun.sweep.study import study_name
    from kagglerun.sweep.trials import n_done, read_trials

    slug = workspace.resolve_competition(config.competition)
    resolved = load_objective(objective).resolve(workspace, config.model_copy(update={"competition": slug}))
    paths = workspace.study(slug, study_name(slug, config.name or "sweep"))
    done = n_done(read_trials(paths)) if paths.spec.exists() else 0
    gpus = gpus_of_a_trial(resolved)
    with err.status("profiling") as status:
        profiled = profiled_fold_seconds(workspace, resolved, _PROFILE_SECONDS, status.update)
    found = forecast(resolved, profiled, done, gpus)
    out.print(f"{found.trials} trials of {found.n_folds} folds, {found.at_the_same_time} at the same time")
    out.print(f"  a fold takes about {_duration(profiled.seconds)} ({escape(profiled.source)})")
    earlier = earlier_fold_seconds(workspace, resolved)
    if earlier:
        out.print(f"  and took {_duration(earlier.seconds)} before ({escape(earlier.source)})")
    out.print(f"  {_whole(found)}, if no trial is stopped early and each takes as long as the base config")
    fitting = _fitting(resolved, found)
    if fitting is not None:
        out.print(f"  {fitting} of them fit into the budget")


def tell_forecast(workspace: Workspace, paths: StudyPaths, spec: StudySpec) -> None:
    """Print a line on what a sweep that starts now will take, where earlier runs tell."""
    from kagglerun.sweep.forecast import earlier_fold_seconds, forecast, gpus_of_a_trial
    from kagglerun.sweep.trials import n_done, read_trials

    earlier = earlier_fold_seconds(workspace, spec.config)
    if earlier is None:
        return
    found = forecast(spec.config, earlier, n_done(read_trials(paths)), gpus_of_a_trial(spec.config))
    out.print(f"{_whole(found)} at most: {_duration(earlier.seconds)} a fold ({escape(earlier.source)})")


def _whole(found: Forecast) -> str:
    gpus = f", {found.gpu_hours:.1f} GPU-hours" if found.gpu_hours else ""
    return f"about {_duration(found.seconds)}{gpus}"


def _fitting(config: Config, found: Forecast) -> int | None:
    """Trials that the budget of hours or GPU-hours allows; None where all fit."""
    sweep = config.sweep
    each = found.n_folds * found.fold.seconds
    limits = []
    if sweep.hours:
        limits.append(int(sweep.hours * 3600 / each) * found.at_the_same_time)
    if sweep.gpu_hours and found.gpu_hours:
        limits.append(int(found.trials * sweep.gpu_hours / found.gpu_hours))
    fitting = min(limits, default=found.trials)
    return fitting if fitting < found.trials else None


def _duration(seconds: float) -> str:
    from kagglerun.cli.jobs import duration

    return duration(seconds) if seconds >= 10 else f"{seconds:.1f} s"
