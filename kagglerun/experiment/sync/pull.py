"""From a target to the workspace."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kagglerun.errors import ConfigError, ContentDamaged, SyncError
from kagglerun.experiment.runs import list_runs
from kagglerun.experiment.sync.after_pull import settle
from kagglerun.experiment.sync.compare import Sort, compare, joined_lines, sort_of
from kagglerun.experiment.sync.items import Item, Kind
from kagglerun.experiment.sync.memory import Memory, one_at_a_time, recalled
from kagglerun.experiment.sync.outcome import Outcome, Result, Tell, nobody
from kagglerun.experiment.sync.parts import fetch_files, read_file
from kagglerun.experiment.sync.push import differ
from kagglerun.experiment.sync.selection import Selection, Weights, best_runs
from kagglerun.experiment.sync.snapshot import (
    ChangedUnderWay,
    FileEntry,
    Signature,
    Snapshot,
    by_path,
    read_entry,
    sign,
    take,
)
from kagglerun.experiment.sync.staging import InWork, Staging, finish_moves
from kagglerun.experiment.sync.store import Store
from kagglerun.experiment.sync.version import Version, are_two, is_marked, list_versions, newest, read_version
from kagglerun.files import write_bytes
from kagglerun.workspace import Workspace

_ATTEMPTS = 3


@dataclass(frozen=True)
class PullOptions:
    """How to pull.

    Attributes:
        dry_run: only say what would be done.
        replace: where both sides differ, the state of the target replaces that here.
    """

    dry_run: bool = False
    replace: bool = False


def pull(
    workspace: Workspace,
    store: Store,
    selection: Selection,
    options: PullOptions | None = None,
    tell: Tell = nobody,
) -> list[Outcome]:
    """Bring the workspace up to date; doing so twice changes nothing.

    Args:
        workspace: to where.
        store: from where.
        selection: what.
        options: how.
        tell: is told of each item.

    Raises:
        TargetUnreachable: the connection broke; what is here is whole, and the next pull goes on.
        SyncError: there is nothing at the target, or it refuses.
    """
    options = options or PullOptions()
    with one_at_a_time(workspace):
        finish_moves(workspace)
        if not is_marked(store):
            hint = f"kagglerun sync push {shlex.quote(store.label)}    (where the runs are)"
            raise SyncError(f"nothing was ever pushed to {store.label}", hint=hint)
        there = list_versions(store, selection.kinds())
        outcomes: list[Outcome] = []
        try:
            with recalled(workspace, store.label, keep=not options.dry_run) as memory:
                puller = _Puller(workspace, store, memory, options)
                for kind in selection.kinds():
                    wanted = sorted(item for item in there if item.kind is kind and selection.allows(item))
                    for item in _chosen(workspace, selection, kind, wanted):
                        outcomes.append(puller.pull(item, there[item]))
                        tell(outcomes[-1])
        finally:
            if not options.dry_run:
                settle(workspace, store.label, outcomes)
                finish_moves(workspace)
    return outcomes


def _chosen(workspace: Workspace, selection: Selection, kind: Kind, items: list[Item]) -> list[Item]:
    """Of weights those that are asked for; by now the runs are here, so that the best are known."""
    if kind is not Kind.WEIGHTS:
        return items
    here = {(run.slug, run.run_id) for run in list_runs(workspace, selection.competition)}
    wanted = here if selection.weights is Weights.ALL else best_runs(workspace, selection.competition)
    return [item for item in items if (item.slug, item.name) in wanted]


@dataclass(frozen=True)
class _Plan:
    """What is to be done with an item.

    Attributes:
        take: files of the target that come as they are.
        join: files whose lines are joined.
        remove: files here that go.
    """

    take: tuple[FileEntry, ...]
    join: tuple[FileEntry, ...] = ()
    remove: tuple[str, ...] = ()


class _Puller:
    """Pulls one item after another."""

    def __init__(self, workspace: Workspace, store: Store, memory: Memory, options: PullOptions) -> None:
        self._workspace, self._store, self._memory, self._options = workspace, store, memory, options

    def pull(self, item: Item, there: Sequence[Version]) -> Outcome:
        """Pull an item, of which the target has these versions."""
        try:
            folder = item.folder(self._workspace)
        except ConfigError as error:
            return Outcome(item, Result.LEFT, why=error.message)
        if are_two(there):
            return Outcome(item, Result.CONFLICT, why="two machines pushed it at the same time")
        known = newest(there)
        assert known is not None, "it is listed because it has a version"
        for _ in range(_ATTEMPTS):
            try:
                return self._pull(item, folder, known)
            except ChangedUnderWay:
                continue
            except InWork as error:
                return Outcome(item, Result.LEFT, why=str(error))
            except ContentDamaged as error:
                return Outcome(item, Result.DAMAGED, why=error.message)
        return Outcome(item, Result.LEFT, why="it keeps changing at the moment")

    def _pull(self, item: Item, folder: Path, known: Version) -> Outcome:
        signature, last = sign(item, folder), self._memory.last_same(item)
        digest = self._memory.digest_of(item, signature)
        if not signature:
            return self._fetch(item, folder, known, _Plan(read_version(self._store, item, known)), signature)
        if digest is None:
            here = take(item, folder)
            signature, digest = here.signature, here.digest
            self._memory.note_read(item, signature, digest)
        if digest == known.digest:
            Staging(self._workspace, item).drop()  # of an attempt that was overtaken
            self._memory.note_same(item, digest)
            return Outcome(item, Result.SAME)
        if last == known.digest and not self._options.replace:
            return Outcome(item, Result.OTHER_IS_NEWER, why="it has gone on here; push it")
        here = take(item, folder)
        theirs = read_version(self._store, item, known)
        if last == here.digest or self._options.replace:
            plan: _Plan | Outcome = _replacing(here, theirs)
        else:
            plan = self._joined(here, theirs)
        return plan if isinstance(plan, Outcome) else self._fetch(item, folder, known, plan, here.signature)

    def _joined(self, here: Snapshot, theirs: Sequence[FileEntry]) -> _Plan | Outcome:
        """What to do with an item of which nothing is remembered, so that the contents must tell who is ahead."""
        item = here.item
        found = compare(item.kind, here.folder, here.files, theirs, lambda entry: read_file(self._store, entry))
        if found.conflicts:
            return Outcome(item, Result.CONFLICT, why=differ(found.conflicts))
        ours, others = by_path(here.files), by_path(theirs)
        if any(sort_of(item.kind, path) is Sort.GROWING for path in found.here if path in others):
            return Outcome(item, Result.OTHER_IS_NEWER, why="it has gone on here; push it")
        lines = [path for path in found.there if path in ours and sort_of(item.kind, path) is Sort.LINES]
        wanted = [path for path in (*found.there, *found.either) if path not in lines]
        if not wanted and not lines:
            return Outcome(item, Result.OTHER_IS_NEWER, why="it has gone on here; push it")
        return _Plan(tuple(others[path] for path in wanted), tuple(others[path] for path in lines))

    def _fetch(self, item: Item, folder: Path, known: Version, plan: _Plan, signature: Signature) -> Outcome:
        """Fetch the files, put them together beside the place, and move them there."""
        size = sum(entry.size for entry in (*plan.take, *plan.join))
        done = Outcome(item, Result.CARRIED, len(plan.take) + len(plan.join), size)
        if self._options.dry_run:
            return done
        staging = Staging(self._workspace, item)
        paths = [entry.path for entry in (*plan.take, *plan.join)]
        staging.keep_only(paths)
        fetch_files(self._store, {staging.files / entry.path: entry for entry in plan.take})
        for entry in plan.take:
            if read_entry(staging.files / entry.path, entry.path) != entry:
                raise ContentDamaged(f"{entry.path} is not what {self._store.label} says of it")
        for entry in plan.join:
            ours = (folder / entry.path).read_bytes()
            write_bytes(staging.files / entry.path, joined_lines(ours, read_file(self._store, entry)))
        if sign(item, folder) != signature:
            raise ChangedUnderWay(str(item))
        staging.plan(paths, plan.remove, is_new=not folder.exists())
        try:
            staging.move()
        except InWork:
            staging.drop()  # nothing was moved, and what is here may change before the next attempt
            raise
        self._memory.note_same(item, known.digest)
        return done


def _replacing(here: Snapshot, theirs: Sequence[FileEntry]) -> _Plan:
    """Make the state here that of the target."""
    ours, others = by_path(here.files), by_path(theirs)
    changed = tuple(entry for path, entry in others.items() if path not in ours or ours[path].sha256 != entry.sha256)
    return _Plan(changed, remove=tuple(sorted(ours.keys() - others.keys())))
