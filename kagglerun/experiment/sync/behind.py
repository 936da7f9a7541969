"""Pushing after each finished run, behind the work: `sync: s3://...` in .kagglerun/settings.yaml.

One process a workspace does it, of the lowest priority and in a session of its own, so that neither the end of a run
nor a target that is away touches the training. Whoever finishes a run only leaves a request. While the target cannot
be reached it tries again, later and later; what is owed when it gives up goes with the next request or
`kagglerun sync push`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from kagglerun.errors import ConfigError, DiskFull, KagglerunError, SyncError, TargetUnreachable
from kagglerun.files import read_json, write_json, write_text
from kagglerun.workspace import Workspace

_SETTLE_SECONDS = 2.0
"""After a run has ended, the study's line and the pictures follow."""
_LINGER_SECONDS = 30.0
"""So long it waits for the next run before it ends: a new process costs a second."""
_FIRST_PAUSE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 300.0
_MOST_FAILURES = 12
"""In a row; with the pauses between them more than half an hour."""
_LOG_BYTES = 1 << 20
_NICE = 19
_START_SECONDS = 5.0
_TICK_SECONDS = 0.5


@dataclass(frozen=True)
class BehindState:
    """How the pushes behind the work stand.

    Attributes:
        target: where they go.
        time: when that was noted, ISO 8601, UTC.
        problem: why the last one failed; None where it did not.
        conflicts: items that it could not push, in words.
    """

    target: str
    time: str
    problem: str | None = None
    conflicts: tuple[str, ...] = ()


def push_behind(workspace: Workspace) -> None:
    """Have what is finished pushed soon, where the settings name a target. It never raises, and never waits long."""
    if not workspace.settings.is_file():
        return
    with contextlib.suppress(ConfigError, OSError, KagglerunError):
        from kagglerun.config.settings import load_settings

        if load_settings(workspace.settings).sync:
            write_text(_wanted(workspace), uuid.uuid4().hex, durable=False)
            if not _is_running(workspace):
                _start(workspace)


def read_state(workspace: Workspace) -> BehindState | None:
    """How the pushes behind the work stand; None before the first."""
    try:
        values = read_json(_state(workspace))
        return BehindState(**{**values, "conflicts": tuple(values["conflicts"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def wait_until_pushed(workspace: Workspace, seconds: float) -> bool:
    """Wait until the last request was served, for at most so long; whether it was.

    For whoever ends what this process needs, as the end of a container does.
    """
    deadline = time.monotonic() + seconds
    seen = time.monotonic()
    while _is_owed(workspace):
        seen = time.monotonic() if _is_running(workspace) else seen
        if time.monotonic() > min(deadline, seen + _START_SECONDS):
            return False  # too slow, or it has given up
        time.sleep(_TICK_SECONDS)
    return True


def _is_owed(workspace: Workspace) -> bool:
    """Whether something was asked for after the last push began to be noted."""
    try:
        asked = _wanted(workspace).stat().st_mtime
    except OSError:
        return False
    try:
        return _state(workspace).stat().st_mtime < asked + _SETTLE_SECONDS
    except OSError:
        return True


def log_path(workspace: Workspace) -> Path:
    """What the process behind the work printed."""
    return workspace.syncs / "log.txt"


def _wanted(workspace: Workspace) -> Path:
    return workspace.syncs / "wanted"


def _state(workspace: Workspace) -> Path:
    return workspace.syncs / "state.json"


def _is_running(workspace: Workspace) -> bool:
    with _lock(workspace) as is_ours:
        return not is_ours


@contextlib.contextmanager
def _lock(workspace: Workspace) -> Iterator[bool]:
    """Try to be the one process; whether it is."""
    workspace.syncs.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(workspace.syncs / "behind.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(descriptor)


def _start(workspace: Workspace) -> None:
    """Start the process; the one that is waited for here only makes it nobody's child."""
    log = log_path(workspace)
    if log.exists() and log.stat().st_size > _LOG_BYTES:
        log.replace(log.with_name("log-1.txt"))
    # No GPU and one thread: it must not take anything from the training.
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with log.open("ab") as stream:
        starter = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__, str(workspace.root)],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            env=environment,
            cwd=workspace.root,
            start_new_session=True,
        )
    starter.wait()


def main(argv: list[str]) -> int:
    """Push until nobody has asked for it for a while.

    Args:
        argv: the workspace.
    """
    if os.fork():
        os._exit(0)
    os.setsid()
    os.nice(_NICE)
    workspace = Workspace(Path(argv[0]))
    while True:
        with _lock(workspace) as is_ours:
            if not is_ours:
                return 0
            served = _serve(workspace)
        if _request(workspace) == served:
            return 0  # else somebody asked while it was ending, and saw it as running still


def _serve(workspace: Workspace) -> str:
    """Push, and again for each further request; the last request that was seen."""
    failures = 0
    while True:
        request = _request(workspace)
        time.sleep(_SETTLE_SECONDS)
        problem = _push(workspace)
        if isinstance(problem, TargetUnreachable | DiskFull) and failures < _MOST_FAILURES:
            time.sleep(min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2**failures))
            failures += 1
            continue
        if problem is not None:
            return request
        failures = 0
        if not _another_request(workspace, request):
            _push(workspace)  # pictures that were drawn meanwhile
            return request


def _another_request(workspace: Workspace, request: str) -> bool:
    deadline = time.monotonic() + _LINGER_SECONDS
    while time.monotonic() < deadline:
        if _request(workspace) != request:
            return True
        time.sleep(_TICK_SECONDS)
    return False


def _request(workspace: Workspace) -> str:
    try:
        return _wanted(workspace).read_text("utf-8")
    except OSError:
        return ""


def _push(workspace: Workspace) -> KagglerunError | None:
    """Push what is finished; why that failed."""
    from kagglerun.config.settings import load_settings
    from kagglerun.experiment.sync.outcome import Outcome, Result
    from kagglerun.experiment.sync.push import push
    from kagglerun.experiment.sync.selection import Selection, Weights
    from kagglerun.experiment.sync.target import opened

    target, outcomes = "", list[Outcome]()
    problem: KagglerunError | None = None
    try:
        settings = load_settings(workspace.settings)
        if settings.sync:
            with opened(workspace, settings.sync) as store:
                target = store.label  # as the user wrote it, it may hold what must not be written elsewhere
                outcomes = push(workspace, store, Selection(weights=Weights(settings.sync_weights)))
    except KagglerunError as error:
        problem = error
    except OSError as error:
        problem = SyncError(f"{type(error).__name__}: {error}")
    conflicts = tuple(f"{each.item}: {each.why}" for each in outcomes if each.result is Result.CONFLICT)
    carried = sum(each.result is Result.CARRIED for each in outcomes)
    _note(workspace, BehindState(target, _now(), problem.message if problem else None, conflicts), carried)
    return problem


def _note(workspace: Workspace, state: BehindState, carried: int) -> None:
    before = read_state(workspace)
    with contextlib.suppress(DiskFull, OSError):
        write_json(_state(workspace), asdict(state), durable=False)
    if state.problem and (before is None or before.problem != state.problem):
        _say(f"not pushed: {state.problem}")
    elif carried:
        _say(f"{carried} items pushed to {state.target}")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _say(text: str) -> None:
    sys.stdout.write(f"{_now()} {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
