"""`kagglerun sync`: runs, studies and weights to and from another place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from kagglerun.cli.console import err, out

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from kagglerun.experiment.sync.behind import BehindState
    from kagglerun.experiment.sync.outcome import Outcome
    from kagglerun.experiment.sync.selection import Selection
    from kagglerun.workspace import Workspace

sync = typer.Typer(
    name="sync",
    help="Keep runs, studies and weights at another place: S3, Google's storage, another machine, a folder.",
    no_args_is_help=True,
)

Target = Annotated[
    str | None,
    typer.Argument(
        help="s3://BUCKET/FOLDER, gs://..., ssh://[USER@]HOST/FOLDER, or a folder; else `sync` of settings."
    ),
]
Runs = Annotated[bool, typer.Option("--runs/--no-runs", help="Runs that are finished or were stopped early.")]
Studies = Annotated[bool, typer.Option("--studies/--no-studies", help="Studies: their trials, budget and pictures.")]
WhoseWeights = Annotated[
    str, typer.Option("--weights", help="best (of each study and of all comparable runs), all, or none.")
]
Competition = Annotated[str | None, typer.Option("--competition", help="Slug of the only competition.")]
Only = Annotated[str | None, typer.Option("--only", help="Names of runs and studies as a pattern: 'baseline-*'.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]


@sync.command()
def push(
    target: Target = None,
    runs: Runs = True,
    studies: Studies = True,
    weights: WhoseWeights = "best",
    competition: Competition = None,
    only: Only = None,
    dry_run: DryRun = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Where both sides differ, what is here replaces what is there.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read back what is there, and write again what is damaged.")
    ] = False,
) -> None:
    """Bring a target up to date with this workspace. Doing so twice changes nothing.

    Only what the target lacks is sent, told by SHA-256; what is cut off goes on with the next push. With a line
    `sync: s3://...` in .kagglerun/settings.yaml each finished run is pushed by itself.
    """
    from kagglerun.experiment.sync.push import PushOptions
    from kagglerun.experiment.sync.push import push as push_to
    from kagglerun.experiment.sync.selection import items_here
    from kagglerun.experiment.sync.target import opened, target_of
    from kagglerun.workspace import Workspace

    workspace = Workspace.find()
    selection = _selection(runs, studies, weights, competition, only)
    _check_replacing(replace, only)
    named = target_of(workspace, target)
    with opened(workspace, named) as store:
        outcomes = push_to(workspace, store, selection, PushOptions(dry_run, replace, verify), _print_outcome)
    unfinished = items_here(workspace, selection).unfinished
    if unfinished:
        err.print(f"{len(unfinished)} not pushed before they are finished: {escape(', '.join(unfinished[:4]))}")
    _conclude(outcomes, "would be pushed" if dry_run else "pushed", store.label)


@sync.command()
def pull(
    target: Target = None,
    runs: Runs = True,
    studies: Studies = True,
    weights: WhoseWeights = "best",
    competition: Competition = None,
    only: Only = None,
    dry_run: DryRun = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Where both sides differ, what is there replaces what is here.")
    ] = False,
) -> None:
    """Bring this workspace up to date with a target. Doing so twice changes nothing.

    A run appears when all of it has come and was checked. Two runs of the same name that differ are named and left
    as they are. Pulled runs stand in MLflow, and can be shown, reproduced and submitted like your own.
    """
    from kagglerun.experiment.sync.after_pull import replay
    from kagglerun.experiment.sync.pull import PullOptions
    from kagglerun.experiment.sync.pull import pull as pull_from
    from kagglerun.experiment.sync.target import opened, target_of
    from kagglerun.workspace import Workspace

    workspace = Workspace.find()
    selection = _selection(runs, studies, weights, competition, only)
    _check_replacing(replace, only)
    named = target_of(workspace, target)
    with opened(workspace, named) as store:
        outcomes = pull_from(workspace, store, selection, PullOptions(dry_run, replace), _print_outcome)
    if not dry_run:
        problem = replay(workspace, outcomes)
        if problem:
            err.print(f"MLflow does not know them yet: {escape(problem)}; later: kagglerun track sync --all")
    _conclude(outcomes, "would be pulled" if dry_run else "pulled", store.label)
    _name_missing_data(workspace, outcomes)


@sync.command()
def status() -> None:
    """Show how the pushes after each finished run stand, and what they owe."""
    from kagglerun.experiment.sync.behind import log_path, read_state
    from kagglerun.experiment.sync.outcome import Result
    from kagglerun.experiment.sync.push import PushOptions
    from kagglerun.experiment.sync.push import push as push_to
    from kagglerun.experiment.sync.selection import Selection
    from kagglerun.experiment.sync.target import opened, target_of
    from kagglerun.workspace import Workspace

    workspace = Workspace.find()
    named = target_of(workspace, None)
    state = read_state(workspace)
    with opened(workspace, named) as store:
        out.print(f"each finished run is pushed to {escape(store.label)}")
        if state is not None:
            _print_state(state, log_path(workspace))
        outcomes = push_to(workspace, store, Selection(), PushOptions(dry_run=True))
    owed = [each for each in outcomes if each.result is Result.CARRIED]
    out.print(f"  {len(owed)} items are owed" if owed else "  nothing is owed")
    if owed:
        out.print("[bold]  →[/] kagglerun sync push")


def _print_state(state: BehindState, log: Path) -> None:
    said = escape(state.problem) if state.problem else "it worked"
    out.print(f"  last tried {state.time}: {said}; see {escape(str(log))}")
    for conflict in state.conflicts:
        out.print(f"  [yellow]{escape(conflict)}[/]")


def _selection(runs: bool, studies: bool, weights: str, competition: str | None, only: str | None) -> Selection:
    from kagglerun.competition_ref import CompetitionRef
    from kagglerun.errors import unknown_name
    from kagglerun.experiment.sync.selection import Selection, Weights

    if weights not in set(Weights):
        raise unknown_name("value of --weights", weights, [each.value for each in Weights])
    slug = CompetitionRef.parse(competition).slug if competition else None
    return Selection(runs, studies, Weights(weights), slug, only)


def _check_replacing(replace: bool, only: str | None) -> None:
    from kagglerun.errors import ConfigError

    if replace and not only:
        raise ConfigError("--replace overwrites, so it wants the names", hint="--replace --only 'baseline-0003'")


def _print_outcome(outcome: Outcome) -> None:
    from kagglerun.experiment.sync.outcome import Result

    name = escape(f"{outcome.item}")
    match outcome.result:
        case Result.CARRIED:
            out.print(f"  {name}: {_count(outcome.files, 'file')}, {_megabytes(outcome.size)}")
        case Result.CONFLICT:
            err.print(f"  [red]{name}: {escape(outcome.why or '')}; neither side was changed[/]")
        case Result.DAMAGED:
            err.print(f"  [red]{name}: {escape(outcome.why or '')}[/]")
        case Result.LEFT | Result.OTHER_IS_NEWER:
            err.print(f"  {name}: {escape(outcome.why or '')}")
        case Result.SAME:
            return


def _conclude(outcomes: Sequence[Outcome], done: str, label: str) -> None:
    """Sum up; items that cannot be joined are an error, cards apart: each machine may have its own."""
    import shlex

    from kagglerun.errors import SyncError
    from kagglerun.experiment.sync.items import Kind
    from kagglerun.experiment.sync.outcome import Result

    carried = [each for each in outcomes if each.result is Result.CARRIED]
    same = sum(each.result is Result.SAME for each in outcomes)
    where = shlex.quote(label)
    counts = _counted(carried) or "nothing new"
    size = _megabytes(sum(each.size for each in carried))
    out.print(f"{counts} {done}, {size}; {same} were up to date ({escape(label)})")
    damaged = [each for each in outcomes if each.result is Result.DAMAGED]
    if damaged:
        raise SyncError(
            f"{_count(len(damaged), 'item')} of {label} damaged there: {damaged[0].item}",
            hint=f"where it still is: kagglerun sync push {where} --verify",
        )
    conflicts = [each for each in outcomes if each.result is Result.CONFLICT and each.item.kind is not Kind.COMPETITION]
    if conflicts:
        first, side = conflicts[0].item, "push" if "pushed" in done else "pull"
        raise SyncError(
            f"{_count(len(conflicts), 'item')} differ at both places and stayed as they are: {first}",
            hint=f"keep that of one side: kagglerun sync {side} {where} --replace --only {shlex.quote(first.name)}",
        )


def _counted(outcomes: Sequence[Outcome]) -> str:
    from kagglerun.experiment.sync.items import Kind

    names = {Kind.RUN: "run", Kind.STUDY: "study", Kind.WEIGHTS: "run's weights", Kind.COMPETITION: "card"}
    plurals = {Kind.RUN: "runs", Kind.STUDY: "studies", Kind.WEIGHTS: "runs' weights", Kind.COMPETITION: "cards"}
    parts = []
    for kind in names:
        count = sum(each.item.kind is kind for each in outcomes)
        if count:
            parts.append(f"{count} {(names if count == 1 else plurals)[kind]}")
    return ", ".join(parts)


def _name_missing_data(workspace: Workspace, outcomes: Sequence[Outcome]) -> None:
    """Say which competitions must be fetched before their runs can be reproduced or submitted."""
    from kagglerun.experiment.sync.items import Kind

    slugs = sorted({each.item.slug for each in outcomes if each.item.kind is Kind.RUN})
    for slug in slugs:
        paths = workspace.competition(slug)
        if not paths.manifest.is_file():
            out.print(
                f"[bold]  →[/] kagglerun fetch {escape(_ref(workspace, slug))}    (to reproduce and submit its runs)"
            )


def _ref(workspace: Workspace, slug: str) -> str:
    from kagglerun.config.load import load_card

    card = workspace.competition(slug).card
    return load_card(card).ref if card.is_file() else slug


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.1f} kB"
