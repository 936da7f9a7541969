"""`kagglerun train`: one config over all folds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from kagglerun.cli.console import err, out
from kagglerun.workspace import Workspace

if TYPE_CHECKING:
    from rich.progress import Progress

    from kagglerun.config.schema import Config


def train(
    config: Annotated[str, typer.Argument(help="A config: a name in sweeps/, or a path.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value, e.g. optimizer.lr=3e-4")] = None,
    run: Annotated[
        str | None, typer.Option("--run", help="Id of the run; the id of an unfinished run goes on with it.")
    ] = None,
) -> None:
    """Train one config over all folds: OOF score, test predictions, plots, MLflow.

    The config's `sweep` section is ignored. Ctrl-C saves a checkpoint; the same command with --run ID goes on.
    """
    from kagglerun.config.load import load_config
    from kagglerun.experiment.run import RunStopped, new_run_id, resolve_config, run_experiment

    workspace = Workspace.find()
    parsed = load_config(workspace.config_file(config), overrides or ())
    if run:
        parsed = _as_settled(workspace, parsed, run)
    resolved = resolve_config(workspace, parsed, lambda text: out.print(text, markup=False))
    run_id = run or new_run_id(resolved)
    out.print(f"run {run_id}: {resolved.model.kind} on {resolved.competition}")
    try:
        with _progress() as bars:
            result = run_experiment(workspace, resolved, run_id, observer=_Watcher(bars))
    except (RunStopped, KeyboardInterrupt):
        again = " ".join(["kagglerun train", config, *(overrides or ()), "--run", run_id])
        err.print(f"stopped; go on with: {again}", markup=False)
        raise KeyboardInterrupt from None
    folds = " ".join(f"{score:.5f}" for score in result.fold_scores)
    out.print(f"OOF score {result.score:.5f}   folds {folds}   {result.seconds:.1f} s")
    out.print(f"next: kagglerun show {run_id}    or    kagglerun submit {run_id}", markup=False)


def _as_settled(workspace: Workspace, config: Config, run: str) -> Config:
    """The config with what the run of this id settled when it began, wherever it goes on."""
    from kagglerun.config.load import load_config
    from kagglerun.config.settled import keep_settled

    frozen = workspace.run(workspace.resolve_competition(config.competition), run).config
    return keep_settled(config, load_config(frozen)) if frozen.exists() else config


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


class _Watcher:
    """A bar for the epochs (or trees) of the fold, and a line for each finished fold."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._task = bars.add_task("fold 0", total=None, values="")

    def epoch(self, fold: int, epoch: int, epochs: int, values: Mapping[str, float]) -> None:
        """Show the epoch's values."""
        shown = "  ".join(f"{name} {value:.4f}" for name, value in values.items() if name != "lr")
        self._bars.update(self._task, description=f"fold {fold}", completed=epoch + 1, total=epochs, values=shown)

    def fold(self, fold: int, n_folds: int, score: float) -> None:
        """Show the fold's score."""
        self._bars.console.print(f"fold {fold}: {score:.5f}")
        self._bars.reset(self._task, description=f"fold {min(fold + 1, n_folds - 1)}", values="")

    def should_stop(self) -> bool:
        """Ctrl-C arrives as KeyboardInterrupt."""
        return False
