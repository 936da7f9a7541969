"""`kagglerun reproduce`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from kagglerun.cli.console import err, out
from kagglerun.workspace import RunPaths, Workspace

if TYPE_CHECKING:
    from kagglerun.experiment.rerun.reproduce import Reproduction


def reproduce(
    run: Annotated[str, typer.Argument(help="The run's id or its beginning.")],
    folds: Annotated[
        str | None, typer.Option("--folds", help="Only these folds, e.g. 0 or 0,2: a quick check.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the rerun's folder, to look into it.")] = False,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="As a job, which goes on when you log out; its log says what came.")
    ] = False,
) -> None:
    """Make a run again from its own folder and compare every bit: folds, curves, weights, OOF and test predictions.

    Prints `equal`, or the first place that differs, by how much, and what has changed since. Exit code 1 when it
    differs. Interrupted, the same command goes on.
    """
    workspace = Workspace.find()
    paths = workspace.find_run(run)
    if paths.ensemble.is_file():
        _make_ensemble_again(workspace, paths)
        return
    chosen = _fold_numbers(folds)
    if detach:
        _launch(workspace, paths, chosen, keep, as_json)
        return
    from kagglerun.experiment.rerun.reproduce import reproduce as make_again
    from kagglerun.training.loop import Stopped

    try:
        found = make_again(workspace, paths, chosen, keep=keep, observer=_Watcher())
    except (Stopped, KeyboardInterrupt):
        err.print(f"stopped; the same command goes on: kagglerun reproduce {paths.run_id}", markup=False)
        raise KeyboardInterrupt from None
    _print_json(found) if as_json else _print(found)
    if not found.equal:
        raise typer.Exit(1)


def _make_ensemble_again(workspace: Workspace, paths: RunPaths) -> None:
    """An ensemble is made again from its members' predictions, whole: it takes seconds to minutes."""
    from kagglerun.ensemble.again import make_again
    from kagglerun.experiment.rerun.report import EQUAL, NOT_EQUAL

    with err.status("reading the members") as status:
        differences = make_again(workspace, paths, tell=lambda line: status.update(line))
    for difference in differences:
        out.print(difference, markup=False)
    out.print(NOT_EQUAL if differences else EQUAL, style="bold red" if differences else "bold green")
    if differences:
        raise typer.Exit(1)


def _launch(workspace: Workspace, paths: RunPaths, folds: tuple[int, ...] | None, keep: bool, as_json: bool) -> None:
    from kagglerun.cli.logs import say_started
    from kagglerun.errors import ConfigError
    from kagglerun.experiment.rerun.job import launch_rerun

    if as_json:
        raise ConfigError("--json is for this terminal, --detach leaves it: choose one", hint="kagglerun logs -f")
    say_started(launch_rerun(workspace, paths, folds, keep))


def _fold_numbers(text: str | None) -> tuple[int, ...] | None:
    from kagglerun.errors import ConfigError

    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--folds is {text!r}; it takes numbers of folds, e.g. 0 or 0,2") from None


def _print(found: Reproduction) -> None:
    from kagglerun.experiment.rerun.report import EQUAL, NOT_EQUAL, report_lines

    styles = {EQUAL: "bold green", NOT_EQUAL: "bold red"}
    for line in report_lines(found):
        out.print(line, markup=False, style=styles.get(line))


def _print_json(found: Reproduction) -> None:
    import json
    from dataclasses import asdict

    folds = [asdict(fold) | {"equal": fold.equal} for fold in found.folds]
    values = asdict(found) | {"folds": folds, "largest": found.largest, "kept": str(found.kept) if found.kept else None}
    out.out(json.dumps(values, indent=2), highlight=False)


class _Watcher:
    """A line for each fold that is made again."""

    def epoch(self, fold: int, epoch: int, epochs: int, values: Mapping[str, float]) -> None:
        """Nothing: the comparison is what counts."""

    def fold(self, fold: int, n_folds: int, score: float) -> None:
        """Say that one of `n_folds` folds is made."""
        err.print(f"made again, of {n_folds}: fold {fold}, {score:.5f}", markup=False)

    def should_stop(self) -> bool:
        """Ctrl-C arrives as KeyboardInterrupt."""
        return False
