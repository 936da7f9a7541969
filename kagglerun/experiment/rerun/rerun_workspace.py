"""The workspace in which a run is made again: card and hooks as the run keeps them, all else as links.

It stands under .kagglerun/ of the run's own workspace, so no command lists what is made in it.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping

from kagglerun.experiment.exclusive import working_in
from kagglerun.files import read_json, write_bytes, write_json
from kagglerun.workspace import RunPaths, Workspace


@contextlib.contextmanager
def rerun_workspace(workspace: Workspace, run: RunPaths) -> Iterator[Workspace]:
    """Hold the workspace in which a run is made again; what an interrupted rerun left in it is still there.

    Raises:
        JobError: another process makes the same run again.
    """
    scratch = workspace.reproduction(run)
    with working_in(scratch.root, f"makes {run.run_id} again"):
        _lay_out(workspace, run, scratch)
        yield scratch


def go_on_or_begin(scratch: Workspace, run: RunPaths, fingerprint: Mapping[str, str]) -> RunPaths:
    """The rerun's folder: with what an interrupted one finished, if data, code, hooks and environment are the same."""
    rerun = scratch.run(run.slug, run.run_id)
    if not rerun.fingerprint.exists() or read_json(rerun.fingerprint) != fingerprint:
        shutil.rmtree(rerun.folder, ignore_errors=True)
        write_bytes(rerun.config, run.config.read_bytes())
        write_json(rerun.fingerprint, dict(fingerprint))
    return rerun


def finish(rerun: RunPaths) -> None:
    """The rerun was compared: no later one goes on with it, also where its folder is kept."""
    rerun.fingerprint.unlink(missing_ok=True)


def remove(scratch: Workspace) -> None:
    """Remove the rerun's workspace; what its links lead to stays."""
    shutil.rmtree(scratch.root, ignore_errors=True)
    for folder in (scratch.root.parent, scratch.root.parent.parent):
        with contextlib.suppress(OSError):
            folder.rmdir()  # only where no other rerun stands in it


def _lay_out(workspace: Workspace, run: RunPaths, scratch: Workspace) -> None:
    """Card and hooks as the run keeps them; data, files beside the hooks, and the cache by links."""
    own, copy = workspace.competition(run.slug), scratch.competition(run.slug)
    shutil.rmtree(copy.folder, ignore_errors=True)
    copy.folder.mkdir(parents=True)
    scratch.sweeps.mkdir(exist_ok=True)
    scratch.state.mkdir(exist_ok=True)
    for entry in own.folder.iterdir():
        if entry not in (own.card, own.hooks):
            (copy.folder / entry.name).symlink_to(entry.resolve())
    kept = run if run.record.exists() else own
    write_bytes(copy.card, kept.card.read_bytes())
    if kept.hooks.is_file():
        write_bytes(copy.hooks, kept.hooks.read_bytes())
    workspace.cache.mkdir(parents=True, exist_ok=True)
    for place, target in ((scratch.cache, workspace.cache), (scratch.settings, workspace.settings)):
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)  # by torch's compiler, which goes on with the folder of a rerun that is over
        place.unlink(missing_ok=True)
        place.symlink_to(target.resolve())
