from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kagglerun.errors import SyncError
from kagglerun.experiment.sync.items import Kind
from kagglerun.experiment.sync.pull import pull
from kagglerun.experiment.sync.push import push
from kagglerun.experiment.sync.selection import Selection, Weights
from kagglerun.experiment.sync.store import FolderStore
from kagglerun.workspace import RunPaths, Workspace
from tests.experiment.sync.made_runs import SLUG, content, make_run, make_workspace, whole_runs

ALL = Selection(weights=Weights.ALL)
_ONE_SIDE = """
import sys, time
from pathlib import Path
from kagglerun.experiment.sync import parts, snapshot, version
for module in (parts, snapshot, version):
    module.PART_BYTES = 2000
from kagglerun.experiment.sync.pull import pull
from kagglerun.experiment.sync.push import push
from kagglerun.experiment.sync.selection import Selection, Weights
from kagglerun.experiment.sync.store import FolderStore
from kagglerun.workspace import Workspace
print("ready", flush=True)
do = {"push": push, "pull": pull}[sys.argv[1]]
do(Workspace(Path(sys.argv[2])), FolderStore(Path(sys.argv[3])), Selection(weights=Weights.ALL))
"""


def killed_at_random(direction: str, workspace: Workspace, target: Path, kills: int, seed: int) -> None:
    """Push or pull in a process that is killed again and again at random moments."""
    chance = random.Random(seed)
    for _ in range(kills):
        command = [sys.executable, "-c", _ONE_SIDE, direction, str(workspace.root), str(target)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None
            process.stdout.readline()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(chance.uniform(0.0, 0.15))
            process.send_signal(signal.SIGKILL)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("snapshot", "parts", "version"):
        monkeypatch.setattr(f"kagglerun.experiment.sync.{module}.PART_BYTES", 2000)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2))
def test_a_push_that_is_killed_again_and_again_leaves_whole_runs_and_ends(
    seed: int, tmp_path: Path, small_parts: None
) -> None:
    here = make_workspace(tmp_path / "here")
    for number in range(4):
        make_run(here, f"run-{number}", weights=20_000, folds=1)
    killed_at_random("push", here, tmp_path / "target", kills=6, seed=seed)
    store, between = FolderStore(tmp_path / "target"), make_workspace(tmp_path / "between")
    with contextlib.suppress(SyncError):  # nothing has come yet
        pull(between, store, ALL)
    whole_runs(between, here)
    push(here, store, ALL)
    there = make_workspace(tmp_path / "there")
    pull(there, store, ALL)
    whole_runs(there, here)
    assert len(list(there.all_runs())) == 4


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2))
def test_a_pull_that_is_killed_again_and_again_leaves_whole_runs_and_ends(
    seed: int, tmp_path: Path, small_parts: None
) -> None:
    here, there = make_workspace(tmp_path / "here"), make_workspace(tmp_path / "there")
    store = FolderStore(tmp_path / "target")
    for number in range(4):
        make_run(here, f"run-{number}", weights=20_000, folds=1)
    push(here, store, ALL)
    killed_at_random("pull", there, tmp_path / "target", kills=6, seed=seed)
    whole_runs(there, here)
    pull(there, store, ALL)
    whole_runs(there, here)
    assert len(list(there.all_runs())) == 4
    assert all(content(run.folder, Kind.WEIGHTS) for run in there.all_runs())
    assert not there.incoming_runs.exists()


class Killed(BaseException):
    """As if the process were gone at this point."""


@pytest.mark.parametrize("moves", range(8))
def test_moves_that_are_cut_off_are_finished_by_whoever_comes_next(
    moves: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = make_workspace(tmp_path / "here"), make_workspace(tmp_path / "there")
    store = FolderStore(tmp_path / "target")
    make_run(here, "one", state="PRUNED", folds=1, weights=0)
    push(here, store, ALL)
    pull(there, store, ALL)
    run = here.run(SLUG, "one")
    run.pruned.unlink()
    make_run(here, "one", score=0.9, folds=1, weights=0)
    push(here, store, ALL)
    cut_off_after(moves, monkeypatch)
    with contextlib.suppress(Killed):
        pull(there, store, ALL)
    monkeypatch.undo()
    pull(there, store, ALL)
    assert content(there.run(SLUG, "one").folder) == content(run.folder)
    assert not there.incoming_runs.exists()


def cut_off_after(moves: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop at the given move of a file to its place."""
    from kagglerun.experiment.sync.staging import Staging

    real, left = Staging._move_one, [moves]

    def move_one(self: Staging, path: str) -> None:
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        real(self, path)

    monkeypatch.setattr(Staging, "_move_one", move_one)


def test_a_run_that_begins_here_while_one_of_its_name_is_pulled_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kagglerun.experiment.sync.staging import Staging

    here, there = make_workspace(tmp_path / "here"), make_workspace(tmp_path / "there")
    store = FolderStore(tmp_path / "target")
    make_run(here, "one")
    push(here, store, ALL)
    real = Staging.move

    def begin_first(self: Staging) -> None:
        make_run(there, "one", state="RUNNING")
        real(self)

    monkeypatch.setattr(Staging, "move", begin_first)
    came = [each for each in pull(there, store, ALL) if each.item.kind is Kind.RUN]
    assert [each.why for each in came] == ["it has begun here meanwhile"]
    assert not RunPaths(there.run(SLUG, "one").folder).metrics.exists()
    assert not there.incoming_runs.exists()


def test_a_full_disk_ends_a_pull_with_whole_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    from kagglerun.errors import DiskFull
    from kagglerun.experiment.sync import parts

    here, there = make_workspace(tmp_path / "here"), make_workspace(tmp_path / "there")
    store = FolderStore(tmp_path / "target")
    make_run(here, "one")
    make_run(here, "two")
    push(here, store, ALL)
    real, left = parts.sync, [20]

    def full(path: Path) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path)

    monkeypatch.setattr(parts, "sync", full)
    with pytest.raises(DiskFull):
        pull(there, store, ALL)
    whole_runs(there, here)
    monkeypatch.undo()
    pull(there, store, ALL)
    assert len(list(there.all_runs())) == 2
