"""`kagglerun train`: one config over all folds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from kagglerun.cli.console import err, out
from kagglerun.workspace import Workspace


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
    resolved = resolve_config(workspace, load_config(workspace.config_file(config), overrides or ()))
    run_id = run or new_run_id(resolved)
    out.print(f"run {run_id}: {resolved.model.kind} on {resolved.competition}")
    try:
        result = run_experiment(workspace, resolved, run_id, observer=_Progress())
    except (RunStopped, KeyboardInterrupt):
        err.print(f"stopped; go on with: kagglerun train {config} --run {run_id}", markup=False)
        raise KeyboardInterrupt from None
    folds = " ".join(f"{score:.5f}" for score in result.fold_scores)
    out.print(f"OOF score {result.score:.5f}   folds {folds}   {result.seconds:.1f} s")
    out.print(f"next: kagglerun show {run_id}    or    kagglerun submit {run_id}", markup=False)


class _Progress:
    """One line an epoch, rewritten on a terminal; one line a fold."""

    def epoch(self, fold: int, epoch: int, epochs: int, values: Mapping[str, float]) -> None:
        """Show the epoch's values."""
        shown = "  ".join(f"{name} {value:.4f}" for name, value in values.items() if name != "lr")
        line = f"fold {fold}  step {epoch + 1}/{epochs}  {shown}"
        err.print(line, end="\r" if err.is_terminal else "\n", markup=False)

    def fold(self, fold: int, n_folds: int, score: float) -> None:
        """Show the fold's score."""
        out.print(f"fold {fold} of {n_folds}: {score:.5f}{' ' * 60 if err.is_terminal else ''}")

    def should_stop(self) -> bool:
        """Ctrl-C arrives as KeyboardInterrupt."""
        return False
