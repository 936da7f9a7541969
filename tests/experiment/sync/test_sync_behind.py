from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kagglerun.experiment.sync import behind
from kagglerun.experiment.sync.behind import log_path, push_behind, read_state, wait_until_pushed
from kagglerun.experiment.sync.items import Kind
from kagglerun.experiment.sync.store import FolderStore
from kagglerun.experiment.sync.version import list_versions
from kagglerun.files import write_text
from kagglerun.workspace import Workspace
from tests.experiment.sync.made_runs import SLUG, make_run, make_study, run_item

_LONGEST_SECONDS = 60.0


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + _LONGEST_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)


@pytest.fixture
def target(tmp_path: Path, workspace: Workspace) -> FolderStore:
    write_text(workspace.settings, f"sync: {tmp_path / 'target'}\n")
    return FolderStore(tmp_path / "target")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that wait for nothing long."""
    real = subprocess.Popen

    def start(command: list[str], **options: object) -> subprocess.Popen[bytes]:
        code = (
            "import sys; from kagglerun.experiment.sync import behind;"
            "behind._SETTLE_SECONDS = 0.05; behind._LINGER_SECONDS = 0.5; behind._FIRST_PAUSE_SECONDS = 0.2;"
            "behind._TICK_SECONDS = 0.05; sys.exit(behind.main(sys.argv[1:]))"
        )
        return real([sys.executable, "-P", "-c", code, *command[4:]], **options)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(behind.subprocess, "Popen", start)


def is_over(workspace: Workspace) -> bool:
    return not behind._is_running(workspace)


def test_nothing_happens_without_a_target(workspace: Workspace) -> None:
    push_behind(workspace)
    write_text(workspace.settings, "image_cache_gb: 1\n")
    push_behind(workspace)
    write_text(workspace.settings, "sync: [not, a, target]\n")
    push_behind(workspace)
    assert not workspace.syncs.exists()


def test_the_end_of_a_container_waits_for_what_is_being_pushed(
    workspace: Workspace, target: FolderStore, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert wait_until_pushed(workspace, 60)
    monkeypatch.setattr(behind, "_SETTLE_SECONDS", 0.05)
    make_run(workspace, "one")
    push_behind(workspace)
    assert wait_until_pushed(workspace, 60)
    assert run_item("one") in list_versions(target, [Kind.RUN])
    wait_until(lambda: is_over(workspace))
    # Nobody is at work on a request that was given up.
    monkeypatch.setattr(behind, "_START_SECONDS", 0.1)
    monkeypatch.setattr(behind, "_start", lambda _: None)
    push_behind(workspace)
    assert not wait_until_pushed(workspace, 60)


def test_a_finished_run_is_pushed_behind_the_work(workspace: Workspace, target: FolderStore, quick: None) -> None:
    make_run(workspace, "one")
    make_study(workspace)
    push_behind(workspace)
    wait_until(lambda: (state := read_state(workspace)) and state.problem is None)
    kinds = {item.kind for item in list_versions(target, Kind)}
    assert kinds == {Kind.RUN, Kind.WEIGHTS, Kind.STUDY}
    make_run(workspace, "two")
    push_behind(workspace)
    wait_until(lambda: run_item("two") in list_versions(target, [Kind.RUN]))
    wait_until(lambda: is_over(workspace))


@pytest.mark.long
def test_one_process_serves_many_requests(workspace: Workspace, target: FolderStore, quick: None) -> None:
    for number in range(6):
        make_run(workspace, f"run-{number}", weights=0)
        push_behind(workspace)
    wait_until(lambda: len(list_versions(target, [Kind.RUN])) == 6)
    wait_until(lambda: is_over(workspace))


@pytest.mark.long
def test_a_target_that_is_away_is_tried_again_until_it_is_back(
    workspace: Workspace, tmp_path: Path, quick: None
) -> None:
    write_text(workspace.settings, f"sync: {tmp_path / 'mount/target'}\n")
    write_text(tmp_path / "mount", "a file, where a folder will be")
    make_run(workspace, "one")
    push_behind(workspace)
    wait_until(lambda: (state := read_state(workspace)) and state.problem)
    assert "not pushed" in log_path(workspace).read_text()
    wait_until(lambda: is_over(workspace))
    (tmp_path / "mount").unlink()
    make_run(workspace, "two")
    push_behind(workspace)
    wait_until(lambda: (state := read_state(workspace)) and state.problem is None)
    assert len(list_versions(FolderStore(tmp_path / "mount/target"), [Kind.RUN])) == 2
    wait_until(lambda: is_over(workspace))


@pytest.mark.long
def test_what_differs_at_the_target_is_noted(workspace: Workspace, target: FolderStore, quick: None) -> None:
    from kagglerun.experiment.sync.push import push
    from kagglerun.experiment.sync.selection import Selection

    make_run(workspace, "one", score=0.1)
    push(workspace, target, Selection())
    for memory in workspace.syncs.glob("*.json"):
        memory.unlink()
    make_run(workspace, "one", score=0.2)
    push_behind(workspace)
    wait_until(lambda: (state := read_state(workspace)) and state.conflicts)
    wait_until(lambda: is_over(workspace))
    assert workspace.run(SLUG, "one").metrics.exists()


@pytest.mark.long
def test_a_run_that_trains_is_pushed_when_it_is_done(
    workspace: Workspace, competition: object, target: FolderStore, quick: None
) -> None:
    from kagglerun.config.load import parse_config
    from kagglerun.experiment.run import resolve_config, run_experiment

    model = {"kind": "tabular_boosting", "n_estimators": 5, "min_child_samples": 5}
    values = {"name": "made", "model": model, "cv": {"n_splits": 2}, "training": {"cpu_threads": 1, "device": "cpu"}}
    run_experiment(workspace, resolve_config(workspace, parse_config(values, "test")), "trained")
    wait_until(lambda: run_item("trained") in list_versions(target, [Kind.RUN]))
    wait_until(lambda: is_over(workspace))
