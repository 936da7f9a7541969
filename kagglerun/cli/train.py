"""`kagglerun train`: one config over all folds."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kagglerun.cli.console import err, out
from kagglerun.cli.remote import On, RemoteGpu, RemotePackages, train_on
from kagglerun.workspace import Workspace

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from kagglerun.config.schema import Config


Detach = Annotated[
    bool, typer.Option("--detach", "-d", help="As a job, which goes on when you log out; returns at once.")
]
Follow = Annotated[
    bool, typer.Option("--follow", help="With --detach: follow the job until it ends; Ctrl-C leaves it running.")
]


def train(
    config: Annotated[str, typer.Argument(help="A config: a name in sweeps/, or a path.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value, e.g. optimizer.lr=3e-4")] = None,
    run: Annotated[
        str | None, typer.Option("--run", help="Id of the run; the id of an unfinished run goes on with it.")
    ] = None,
    gpus: Annotated[
        int | None,
        typer.Option("--gpus", min=1, help="GPUs that train each fold together (DDP by torchrun); = training.gpus=N."),
    ] = None,
    folds_parallel: Annotated[
        bool, typer.Option("--folds-parallel", help="Folds side by side: one a GPU; on a CPU two, or --processes.")
    ] = False,
    processes: Annotated[
        int | None, typer.Option("--processes", min=1, help="How many folds --folds-parallel trains at once.")
    ] = None,
    detach: Detach = False,
    follow: Follow = False,
    on: On = None,
    gpu: RemoteGpu = None,
    packages: RemotePackages = "locked",
) -> None:
    """Train one config over all folds: OOF score, test predictions, plots, MLflow.

    The config's `sweep` section is ignored. Ctrl-C saves a checkpoint; the same command with --run ID goes on, with
    the same result as without the stop. So does --folds-parallel: it changes the time, never the result.
    With --detach it is a job: `kagglerun jobs`, `logs`, `stop` and `resume` work on it. With --on kaggle it trains in a
    notebook on Kaggle's machines, and the run comes here when it is done.
    """
    from kagglerun.config.load import load_config
    from kagglerun.experiment.reserved_gpus import leave_reserved_gpus
    from kagglerun.experiment.run import RunStopped, new_run_id, resolve_config, run_experiment

    workspace = Workspace.find()
    given = [*(overrides or ()), *([f"training.gpus={gpus}"] if gpus else [])]
    parsed = load_config(workspace.config_file(config), given)
    if on is not None:
        train_on(on, workspace, parsed, "train", gpu, packages)
        return
    if run:
        parsed = _as_settled(workspace, parsed, run)
    leave_reserved_gpus(parsed)
    resolved = resolve_config(workspace, parsed, _tell)
    count = _processes(resolved, folds_parallel or processes is not None, processes)
    run_id = run or new_run_id(resolved)
    out.print(_first_line(run_id, resolved, count), markup=False)
    if detach or follow:
        _launch(workspace, resolved, run_id, count, follow)
        return
    try:
        with _progress() as bars, _stop_signals(_Watcher(bars)) as watcher:
            result = run_experiment(workspace, resolved, run_id, observer=watcher, processes=count)
    except (RunStopped, KeyboardInterrupt):
        err.print(f"stopped; go on with: {_again(config, given, run_id, count)}", markup=False)
        raise KeyboardInterrupt from None
    folds = " ".join(f"{score:.5f}" for score in result.fold_scores)
    raw = f" (raw {result.raw_score:.5f})" if result.raw_score is not None else ""
    out.print(f"OOF score {result.score:.5f}{raw}   folds {folds}   {result.seconds:.1f} s")
    out.print(f"next: kagglerun show {run_id}    or    kagglerun submit {run_id}", markup=False)


def _launch(workspace: Workspace, config: Config, run_id: str, count: int | None, follow: bool) -> None:
    from kagglerun.cli.logs import exit_code, say_started, show_until_end
    from kagglerun.experiment.job import launch_run

    job = launch_run(workspace, config, run_id, count)
    say_started(job)
    if follow:
        raise typer.Exit(exit_code(show_until_end(job, 1000)))


def _as_settled(workspace: Workspace, config: Config, run: str) -> Config:
    """The config with what the run of this id settled when it began, wherever it goes on."""
    from kagglerun.config.load import load_config
    from kagglerun.config.settled import keep_settled

    frozen = workspace.run(workspace.resolve_competition(config.competition), run).config
    return keep_settled(config, load_config(frozen)) if frozen.exists() else config


def _tell(line: str) -> None:
    err.print(line, markup=False)


def _processes(config: Config, parallel: bool, wanted: int | None) -> int | None:
    """Folds at once; None trains them one after another."""
    from kagglerun.errors import ConfigError
    from kagglerun.experiment.parallel.gpus import fold_processes_for

    if not parallel:
        return None
    if config.training.gpus > 1:
        raise ConfigError(
            f"--folds-parallel and training.gpus={config.training.gpus} both share out the GPUs: choose one",
            hint="--folds-parallel gives each fold a GPU, --gpus gives all to one fold after another",
        )
    return min(wanted or fold_processes_for(config), len(config.cv.folds or range(config.cv.n_splits)))


def _first_line(run_id: str, config: Config, count: int | None) -> str:
    line = f"run {run_id}: {config.model.kind} on {config.competition}"
    if config.model.kind in ("image", "tabular_neural"):
        from kagglerun.training.batching import describe_update

        line += f"; {describe_update(config.training, config.optimizer)}"
    return line + (f"; {count} fold{'s' * (count != 1)} at once" if count else "")


def _again(config: str, overrides: list[str], run_id: str, count: int | None) -> str:
    parallel = ["--processes", str(count)] if count else []
    return shlex.join(["kagglerun", "train", config, *overrides, "--run", run_id, *parallel])


def _progress() -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[values]}"),
    )
    return Progress(*columns, console=err, transient=True)


@contextmanager
def _stop_signals(watcher: _Watcher) -> Iterator[_Watcher]:
    """The first Ctrl-C or SIGTERM asks the training to save and end, the second ends it at once."""
    before = {number: signal.signal(number, watcher.on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield watcher
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Watcher:
    """A bar for the epochs (or trees) of each fold under way, and a line for each finished fold."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[int, TaskID] = {}
        self._is_asked = self._stops = False

    def epoch(self, fold: int, epoch: int, epochs: int, values: Mapping[str, float]) -> None:
        """Show the epoch's values."""
        shown = "  ".join(f"{name} {value:.4f}" for name, value in values.items() if name != "lr")
        if fold not in self._tasks:
            self._tasks[fold] = self._bars.add_task(f"fold {fold}", total=epochs, values="")
        self._bars.update(self._tasks[fold], completed=epoch + 1, values=shown)

    def fold(self, fold: int, n_folds: int, score: float) -> None:  # noqa: ARG002
        """Show the fold's score."""
        self._bars.console.print(f"fold {fold}: {score:.5f}")
        if fold in self._tasks:
            self._bars.remove_task(self._tasks.pop(fold))

    def should_stop(self) -> bool:
        """Whether a signal came."""
        self._is_asked = True
        return self._stops

    def on_signal(self, *_: Any) -> None:
        """Ask for an end where somebody asks `should_stop`; else, and at the second time, end at once."""
        if self._stops or not self._is_asked:
            raise KeyboardInterrupt
        self._stops = True
        self._bars.console.print("stopping: the training saves where it is (once more ends it at once)")
