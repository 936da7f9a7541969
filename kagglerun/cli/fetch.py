"""`kagglerun fetch`: a competition's files and what they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from kagglerun.cli.console import err, out
from kagglerun.workspace import Workspace

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from kagglerun.cli.connect import Target
    from kagglerun.config.card import Card, CompetitionFacts
    from kagglerun.kaggle_api.manifest import Manifest


def fetch(
    competition: Annotated[
        str, typer.Argument(help="The slug from the competition's address, e.g. titanic, or practice/digits.")
    ],
    force: Annotated[bool, typer.Option("--force", help="Download again, even what is there.")] = False,
) -> None:
    """Download a competition's files, verify them, and find out what is to be predicted.

    A download that was interrupted goes on where it stopped; a second fetch downloads nothing. What was found out
    is written to competition.yaml with its evidence; what you wrote there is kept.
    """
    from kagglerun.cli.connect import client_for, target
    from kagglerun.kaggle_api.fetch import fetch_files, is_fetched

    workspace = Workspace.find()
    about = target(workspace, competition)
    _check_source(about, force)
    client = client_for(workspace, about.source)
    facts = client.facts(about.slug)
    there = is_fetched(about.paths) and not force
    with _Bar() as bar:
        manifest = fetch_files(client, about.paths, about.slug, progress=bar, force=force)
    card = _understand(about, facts)
    workspace.set_current(about.slug)
    _print_summary(about, card, manifest, there)
    card.require_resolved(about.paths.card)
    out.print("next: kagglerun sweep baseline.yaml", markup=False)


def _check_source(about: Target, force: bool) -> None:
    """Files of one source are not mixed with, or replaced by, those of another without being told to."""
    from kagglerun.errors import ConfigError, DataError
    from kagglerun.kaggle_api.fetch import read_manifest

    if force or not about.paths.manifest.is_file():
        return
    try:
        there = read_manifest(about.paths).source
    except DataError:
        return  # damaged; fetching mends it
    if there != about.source:
        names = {"practice": f"practice/{about.slug}", "kaggle": f"kaggle/{about.slug}"}
        raise ConfigError(
            f"the data in {about.paths.data} came from {names[there]}, not from {names[about.source]}",
            hint=f"kagglerun fetch {names[about.source]} --force    (replaces the data; runs on the old data stay)",
        )


def _understand(about: Target, facts: CompetitionFacts) -> Card:
    """Write the card: what the user wrote, and what the files and the server tell."""
    from kagglerun.config.load import dump_yaml
    from kagglerun.data.understand import understand
    from kagglerun.files import write_text

    card = understand(about.paths, facts, about.card, about.source)
    write_text(about.paths.card, dump_yaml(card))
    return card


def _print_summary(about: Target, card: Card, manifest: Manifest, there: bool) -> None:
    from kagglerun.kaggle_api.unpack import in_units

    count = len(manifest.files)
    word = "was there already" if there else "fetched and verified"
    out.print(f"{card.ref}: {count} file{'s' * (count != 1)}, {in_units(manifest.bytes)}, {word}", markup=False)
    what = ", ".join(card.targets[:4]) + (", ..." if len(card.targets) > 4 else "")
    out.print(f"  {card.modality or '?'}, {card.task or 'task ?'}: predicts {what or '?'}", markup=False)
    direction = {True: "greater is better", False: "smaller is better", None: "direction ?"}[card.greater_is_better]
    out.print(f"  metric {card.metric or '?'} ({direction})", markup=False)
    if card.limits.max_daily_submissions:
        out.print(f"  {card.limits.max_daily_submissions} submissions a day", markup=False)
    out.print(f"  card: {about.paths.card}", markup=False)


class _Bar:
    """A progress bar on standard error: bytes, rate and time left."""

    def __init__(self) -> None:
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        columns = (TextColumn("{task.description:<9}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        self._progress: Progress = Progress(
            *columns, TimeRemainingColumn(), console=err, transient=True, disable=not err.is_terminal
        )
        self._stage: tuple[str, TaskID] | None = None

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """Show how far the stage is."""
        if self._stage is None or self._stage[0] != stage:
            self._stage = (stage, self._progress.add_task(stage, total=total))
        self._progress.update(self._stage[1], completed=done, total=total)
