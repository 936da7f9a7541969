"""`kagglerun sweep`."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kagglerun.cli.console import err, out
from kagglerun.cli.forecast import show_forecast, tell_forecast
from kagglerun.cli.remote import On, RemoteGpu, RemotePackages, train_on

if TYPE_CHECKING:
    from rich.status import Status

    from kagglerun.config.schema import Config
    from kagglerun.jobs.notify import Event
    from kagglerun.sweep.study import StudySpec
    from kagglerun.workspace import JobPaths, StudyPaths, Workspace

_DATABASE_ENVIRONMENT = ("KAGGLERUN_STUDIES_URL", "PGPASSWORD", "PGPASSFILE")
"""What a sweep reads from the environment besides what its runs do: a resume from another shell needs it too."""


Follow = Annotated[bool, typer.Option("--follow", help="Follow the job until it ends; Ctrl-C leaves it running.")]


def sweep(
    config: Annotated[str, typer.Argument(help="The config: a file, or a name in sweeps/.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Changes to the config, e.g. sweep.trials=20 competition=titanic")
    ] = None,
    foreground: Annotated[
        bool, typer.Option("--foreground", "-F", help="Stay in this terminal; Ctrl-C saves and stops.")
    ] = False,
    follow: Follow = False,
    until: Annotated[
        str | None, typer.Option(help="End at this time: 08:00 (the next one) or '2026-12-01 08:00'.")
    ] = None,
    hours: Annotated[float | None, typer.Option(help="End after this many hours of work.")] = None,
    gpu_hours: Annotated[float | None, typer.Option(help="End after this many hours of GPUs.")] = None,
    forecast: Annotated[
        bool, typer.Option("--forecast", help="Only say what it will take: profiles one fold, starts nothing.")
    ] = False,
    ray: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Trials run on this Ray cluster: auto, HOST:6379, ray://HOST:10001."),
    ] = None,
    ray_submit: Annotated[
        bool, typer.Option("--ray-submit", help="The whole sweep runs on the cluster, as a Ray job; --ray says which.")
    ] = False,
    new: Annotated[bool, typer.Option("--new", help="Begin another study even if one of this name exists.")] = False,
    on: On = None,
    gpu: RemoteGpu = None,
    packages: RemotePackages = "locked",
    objective: Annotated[
        str | None, typer.Option(hidden=True, help="What a trial does, as package.module:Class; for tests.")
    ] = None,
) -> None:
    """Search for a better config: an Optuna study whose trials are runs over all folds.

    Starts a detached job, which survives logout and kill -9, and returns at once. The same command again goes
    on with the study; with a larger sweep.trials=N it adds trials. Ctrl-C, `kagglerun stop` and a power cut lose no
    finished trial. --until, --hours and --gpu-hours end it after the trials that fit; with more of them it goes on.
    With --ray a cluster executes the trials; a node that is lost costs time and nothing else. With --on kaggle it runs
    in a notebook on Kaggle's machines, and its runs come here when it is done.
    """
    from kagglerun.config.load import load_config
    from kagglerun.sweep.budget import settle_until
    from kagglerun.sweep.objective import EXPERIMENT
    from kagglerun.workspace import Workspace

    if ray is not None:
        _check_ray(ray, ray_submit)
    workspace = Workspace.find()
    limits = {"until": until, "hours": hours, "gpu_hours": gpu_hours}
    given = [f"sweep.{name}={value}" for name, value in limits.items() if value is not None]
    parsed = settle_until(load_config(workspace.config_file(config), [*(overrides or ()), *given]))
    if on is not None:
        train_on(on, workspace, parsed, "sweep", gpu, packages)
        return
    if forecast:
        show_forecast(workspace, parsed, objective or EXPERIMENT)
        return
    way = _Way(foreground and not ray_submit, follow, ray, ray_submit)
    _begin(workspace, parsed, objective or EXPERIMENT, new, way)


@dataclass(frozen=True)
class _Way:
    """How a sweep is to be run.

    Attributes:
        here: in this terminal, not as a job.
        follow: show the job until it ends.
        ray: address of the cluster that executes the trials; None: this machine.
        ray_submit: the coordinator runs there as well.
    """

    here: bool
    follow: bool
    ray: str | None
    ray_submit: bool


def _begin(workspace: Workspace, config: Config, objective: str, new: bool, way: _Way) -> None:
    from kagglerun.sweep.lock import one_start_at_a_time
    from kagglerun.sweep.study import prepare_study

    with one_start_at_a_time(workspace):
        paths, spec = prepare_study(workspace, config, new=new, objective=objective)
        if _is_finished(paths, spec):
            return
        _choose_workers(paths, way.ray, way.ray_submit)
        job = None if way.here else _begin_job(workspace, paths, spec, way.ray_submit)
    if job is None:
        _run_here(workspace, paths, _what(spec))
        return
    if way.ray_submit:
        _submit(workspace, job, way.ray or "auto")
    _tell_of(job, way.follow, "runs on the cluster alone" if way.ray_submit else "goes on when you log out")


def _check_ray(address: str, ray_submit: bool) -> None:
    """Refuse what is no address before anything begins."""
    from kagglerun.sweep.ray.connection import check_address

    if not ray_submit or not address.startswith(("http://", "https://")):
        check_address(address)


def _what(spec: StudySpec) -> str:
    return f"sweep {spec.name} ({spec.config.sweep.trials} trials)"


def _choose_workers(paths: StudyPaths, ray: str | None, ray_submit: bool) -> None:
    """Write down who executes the trials; a coordinator that is a Ray job finds its cluster by itself."""
    from kagglerun.sweep.choose_workers import choose_ray

    choose_ray(paths, "auto" if ray_submit else ray)


def _is_finished(paths: StudyPaths, spec: StudySpec) -> bool:
    """Whether nothing is left to do; then say so."""
    from kagglerun.sweep.finalists import race_is_missing
    from kagglerun.sweep.trials import best_trial, n_done, read_trials

    trials = read_trials(paths)
    done, wanted = n_done(trials), spec.config.sweep.trials
    best = best_trial(trials, spec.greater_is_better)
    if (
        best is None
        or done < wanted
        or not all(trial.is_finished for trial in trials)
        or race_is_missing(paths, spec, trials)
    ):
        return False
    out.print(f"the study {spec.name} has its {done} trials; best {best.value:.5g}: run {spec.run_id(best.number)}")
    out.print(f"more trials: the same command with sweep.trials={done + wanted}; another study: --new")
    return True


def _begin_job(workspace: Workspace, paths: StudyPaths, spec: StudySpec, ray_submit: bool) -> JobPaths:
    """The job, running; one for a cluster has its folder and nothing else."""
    from kagglerun.jobs.launch import WORK_ENVIRONMENT, launch, new_job
    from kagglerun.sweep.study import coordinator_argv

    tell_forecast(workspace, paths, spec)
    name, argv = f"sweep-{spec.name}", coordinator_argv(paths)
    if ray_submit:
        return new_job(workspace, name, argv, _what(spec), ())
    return launch(workspace, name, argv, what=_what(spec), environment=(*WORK_ENVIRONMENT, *_DATABASE_ENVIRONMENT))


def _tell_of(job: JobPaths, follow: bool, where: str) -> None:
    """Say that a job has started, and follow it where that is wanted."""
    from kagglerun.cli.logs import exit_code, show_until_end

    out.print(f"started [bold]{job.job_id}[/], which {where}")
    if follow:
        raise typer.Exit(exit_code(show_until_end(job, 1000)))
    out.print(f"  kagglerun logs -f {job.job_id}    follow it")
    out.print("  kagglerun jobs    how all jobs stand")
    out.print(f"  kagglerun stop {job.job_id}    end it; `kagglerun resume` goes on")


def _submit(workspace: Workspace, job: JobPaths, cluster: str) -> None:
    """Send a job to a cluster; one that never got there leaves no job behind that seems to start."""
    import shutil

    from kagglerun.errors import KagglerunError
    from kagglerun.sweep.ray.submit import submit

    try:
        submit(workspace, job, cluster)
    except KagglerunError:
        if not job.cluster.is_file():
            shutil.rmtree(job.folder, ignore_errors=True)
        raise


def _run_here(workspace: Workspace, paths: StudyPaths, what: str) -> None:
    from kagglerun.errors import KagglerunError
    from kagglerun.jobs.notify import Event
    from kagglerun.sweep.coordinator import run_study
    from kagglerun.sweep.dispatch import End

    with out.status("starting") as status:
        terminal = _Terminal(status)
        with terminal.signals():
            try:
                end = run_study(workspace, paths, terminal)
            except KagglerunError as error:
                terminal.tell(Event.FAILED, f"{what} failed: {error.message}")
                raise
            if end is not End.STOPPED:
                terminal.tell(Event.DONE, f"{what} is done. {terminal.text}".rstrip(". "))
    if end is End.STOPPED:
        err.print("stopped; the same command goes on")
        raise typer.Exit(130)


class _Terminal:
    """Shows a sweep in this terminal. The first Ctrl-C asks it to end, the second ends it at once."""

    def __init__(self, status: Status) -> None:
        self._status = status
        self._asked = False
        self._numbers: Mapping[str, Any] = {}
        self.text = ""
        """How far it is."""

    @property
    def stop_requested(self) -> bool:
        """Whether Ctrl-C or SIGTERM came."""
        return self._asked

    def say(self, text: str) -> None:
        """Print a line; a terminal that was closed takes none, and the trials still save."""
        with suppress(OSError):
            out.print(text, markup=False)

    def progress(self, text: str, numbers: Mapping[str, Any]) -> None:
        """Show the line that changes, with the time left."""
        from rich.markup import escape

        from kagglerun.cli.jobs import duration

        self.text, self._numbers = text, numbers
        eta = numbers.get("eta_seconds")
        with suppress(OSError):
            self._status.update(escape(text) + (f"  about {duration(eta)} left" if eta else ""))

    def tell(self, event: Event, text: str) -> None:
        """Notify whoever is to be told, and wait until that is done."""
        from kagglerun.jobs.notify import notify, wait_until_told

        notify(event, text, self._numbers)
        wait_until_told()

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Take Ctrl-C, SIGTERM and the end of the terminal as requests to end."""
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, self._on_signal) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, *_: object) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
