"""From the workspace to a target."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from kagglerun.errors import ContentDamaged
from kagglerun.experiment.sync.compare import compare
from kagglerun.experiment.sync.items import Item, Kind, has_ended
from kagglerun.experiment.sync.memory import Memory, one_at_a_time, recalled
from kagglerun.experiment.sync.outcome import Outcome, Result, Tell, nobody
from kagglerun.experiment.sync.parts import Parts, read_file
from kagglerun.experiment.sync.selection import Selection, items_here
from kagglerun.experiment.sync.snapshot import ChangedUnderWay, FileEntry, Snapshot, by_path, digest_of, sign, take
from kagglerun.experiment.sync.staging import finish_moves
from kagglerun.experiment.sync.store import Store
from kagglerun.experiment.sync.version import (
    Version,
    are_two,
    list_versions,
    mark,
    newest,
    read_version,
    remove_version,
    versions_of,
    write_version,
)
from kagglerun.workspace import RunPaths, Workspace

_ATTEMPTS = 3


@dataclass(frozen=True)
class PushOptions:
    """How to push.

    Attributes:
        dry_run: only say what would be done.
        replace: where both sides differ, the state here replaces that of the target.
        verify: read back what the target has already, and write it again where it is damaged.
    """

    dry_run: bool = False
    replace: bool = False
    verify: bool = False


def push(
    workspace: Workspace,
    store: Store,
    selection: Selection,
    options: PushOptions | None = None,
    tell: Tell = nobody,
) -> list[Outcome]:
    """Bring a target up to date; doing so twice changes nothing.

    Args:
        workspace: from where.
        store: to where.
        selection: what.
        options: how.
        tell: is told of each item.

    Raises:
        TargetUnreachable: the connection broke; what is there is whole, and the next push goes on.
        SyncError: the target refuses.
    """
    options = options or PushOptions()
    with one_at_a_time(workspace):
        finish_moves(workspace)
        there = list_versions(store, selection.kinds())
        if not options.dry_run:
            mark(store)
        with recalled(workspace, store.label, keep=not options.dry_run) as memory:
            pusher = _Pusher(workspace, store, memory, options)
            outcomes = []
            for item in items_here(workspace, selection).items:
                outcomes.append(pusher.push(item, there.get(item, [])))
                tell(outcomes[-1])
    return outcomes


class _Pusher:
    """Pushes one item after another."""

    def __init__(self, workspace: Workspace, store: Store, memory: Memory, options: PushOptions) -> None:
        self._workspace, self._store, self._memory, self._options = workspace, store, memory, options
        self._parts = Parts(store, options.verify)

    def push(self, item: Item, there: Sequence[Version]) -> Outcome:
        """Push an item, of which the target has these versions."""
        folder = item.folder(self._workspace)
        known = newest(there)
        for _ in range(_ATTEMPTS):
            digest = self._memory.digest_of(item, sign(item, folder))
            if known and known.digest == digest and not are_two(there) and not self._options.verify:
                return self._same(item, known)
            try:
                return self._push(take(item, folder), known, there)
            except ChangedUnderWay:
                continue
            except ContentDamaged as error:
                return Outcome(item, Result.DAMAGED, why=error.message)
        return Outcome(item, Result.LEFT, why="it keeps changing at the moment")

    def _push(self, here: Snapshot, known: Version | None, there: Sequence[Version]) -> Outcome:
        item = here.item
        if not here.files or (item.kind is Kind.RUN and not has_ended(RunPaths(here.folder))):
            return Outcome(item, Result.LEFT, why="it is in work again")
        self._memory.note_read(item, here.signature, here.digest)
        if known is None or self._options.replace or (self._options.verify and not self._is_readable(item, known)):
            return self._send(here, here.files, there)
        if are_two(there):
            return Outcome(item, Result.CONFLICT, why="two machines pushed it at the same time")
        if known.digest == here.digest and not self._options.verify:
            return self._same(item, known)
        last = self._memory.last_same(item)
        if last == known.digest or known.digest == here.digest:
            return self._send(here, here.files, there)
        if last == here.digest:
            return Outcome(item, Result.OTHER_IS_NEWER, why="the target has a newer state of it")
        return self._join(here, known, there)

    def _is_readable(self, item: Item, known: Version) -> bool:
        try:
            read_version(self._store, item, known)
        except ContentDamaged:
            return False
        return True

    def _same(self, item: Item, known: Version) -> Outcome:
        self._memory.note_same(item, known.digest)
        return Outcome(item, Result.SAME)

    def _join(self, here: Snapshot, known: Version, there: Sequence[Version]) -> Outcome:
        """Push an item of which nothing is remembered, so that the contents must tell who is ahead."""
        item, ours = here.item, by_path(here.files)
        theirs = read_version(self._store, item, known)
        found = compare(item.kind, here.folder, here.files, theirs, lambda entry: read_file(self._store, entry))
        if found.conflicts:
            return Outcome(item, Result.CONFLICT, why=differ(found.conflicts))
        if found.there and (not found.here or any(path in ours for path in found.there)):
            return Outcome(item, Result.OTHER_IS_NEWER, why="the target has more of it")
        return self._send(here, [*here.files, *(entry for entry in theirs if entry.path not in ours)], there)

    def _send(self, here: Snapshot, files: Sequence[FileEntry], there: Sequence[Version]) -> Outcome:
        """Write the parts that the target lacks, and then the version that names them.

        Args:
            here: what is read.
            files: those of the version; what is not here the target has already.
            there: the versions that the target has.
        """
        item, known = here.item, newest(there)
        if known is not None and not self._options.verify:
            self._note_there(item, known)
        missing = self._parts.missing(here.files)
        done = Outcome(item, Result.CARRIED, len({part.entry.path for part in missing}), sum(p.size for p in missing))
        if self._options.dry_run:
            return done
        self._parts.write(here.folder, missing)
        if known is not None and known.digest == digest_of(files) and not are_two(there):
            if self._options.verify:
                write_version(self._store, item, known, files)
            return done if missing else self._same(item, known)
        if item.kind is Kind.RUN and not has_ended(RunPaths(here.folder)):
            raise ChangedUnderWay(str(item))
        version = Version(known.number + 1 if known else 1, digest_of(files))
        write_version(self._store, item, version, files)
        return self._settled(version, done, is_same=version.digest == here.digest)

    def _note_there(self, item: Item, known: Version) -> None:
        with contextlib.suppress(ContentDamaged):
            self._parts.note_there(read_version(self._store, item, known))

    def _settled(self, version: Version, done: Outcome, is_same: bool) -> Outcome:
        """See whether another machine wrote a version at the same time; if not, forget the earlier ones.

        Of two that did, the one whose digest comes first stays, and the other machine is told.
        """
        item = done.item
        now = versions_of(self._store, item)
        if any(each.number > version.number or (each.number == version.number and each < version) for each in now):
            remove_version(self._store, item, version)
            return Outcome(item, Result.CONFLICT, why="another machine pushed it at the same time")
        for earlier in now:
            if earlier.number < version.number:
                remove_version(self._store, item, earlier)
        if is_same:  # and not joined with files that only the target has
            self._memory.note_same(item, version.digest)
        return done


def differ(paths: Sequence[str]) -> str:
    """Names of files that differ, in a few words; those of the whole before those of its folds."""
    paths = sorted(paths, key=lambda path: (path.count("/"), path))
    more = f" and {len(paths) - 3} more files" if len(paths) > 3 else ""
    return f"{', '.join(paths[:3])}{more} differ{'s' if len(paths) == 1 else ''}"
