"""The threads that bring MLflow up to the journals of runs at work and of runs that have just ended."""

from __future__ import annotations

import logging
import threading
import time

from kagglerun.errors import KagglerunError
from kagglerun.tracking.mlflow_store import Store, import_mlflow
from kagglerun.tracking.replay import Replay
from kagglerun.workspace import RunPaths, Workspace

_BATCH_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0

_log = logging.getLogger("kagglerun.tracking")


class Pusher(threading.Thread):
    """Brings MLflow up to the journal once a second, until told to finish."""

    def __init__(self, replay: Replay) -> None:
        super().__init__(name=f"tracking {replay.run.run_id}", daemon=True)
        self._replay = replay
        self._finishing = threading.Event()
        self._leaves = False
        self._told = False

    def run(self) -> None:
        """Push until `finish`; then once more."""
        pause = _BATCH_SECONDS
        while not self._finishing.wait(pause):
            pause = _BATCH_SECONDS if self._push() else min(pause * 2, _LONGEST_PAUSE_SECONDS)
        if not self._leaves:
            self._push()

    def leave(self) -> None:
        """Push no more: what is left is for `catch_up`."""
        self._leaves = True
        self._finishing.set()

    def finish_later(self) -> None:
        """Push what is left, once, without being waited for."""
        self._finishing.set()

    def finish(self, seconds: float) -> None:
        """Push what is left, for at most `seconds`."""
        self._finishing.set()
        self.join(seconds)
        if self.is_alive():
            self._tell(f"it did not catch up within {seconds:g} seconds")

    def _push(self) -> bool:
        try:
            self._replay.advance()
        except Exception as error:
            # Whatever goes wrong here must not reach the training; the journal has the values.
            self._tell(str(error))
            return False
        return True

    def _tell(self, problem: str) -> None:
        if not self._told:
            self._told = True
            _log.warning(
                "MLflow is behind: %s\n  the run goes on, its values are in %s; later: kagglerun track sync %s",
                problem,
                self._replay.run.journal,
                self._replay.run.run_id,
            )


def start_pusher(workspace: Workspace, run: RunPaths) -> Pusher | None:
    """The thread that writes to MLflow; None when MLflow is switched off or cannot be used at all.

    mlflow is imported here and not in the thread: loader workers forked while another thread imports could
    wait for ever for that import's lock.
    """
    try:
        store = Store(workspace)
        if store.switched_off:
            return None
        import_mlflow()
    except KagglerunError as error:
        _log.warning("MLflow is not used: %s", error)
        return None
    pusher = Pusher(Replay(workspace, run, store))
    pusher.start()
    return pusher


_MOST_LINGERING = 8
_ends_linger = False
_lingering: list[Pusher] = []


def end_pushing(pusher: Pusher, seconds: float) -> None:
    """Have a run that has ended pushed to its end: wait for that at most so long, or not at all where ends linger.

    Where a slow MLflow keeps many threads at work already, the rest is left to `catch_up`.
    """
    if not _ends_linger:
        pusher.finish(seconds)
        return
    _lingering[:] = [other for other in _lingering if other.is_alive()]
    if len(_lingering) < _MOST_LINGERING:
        pusher.finish_later()
        _lingering.append(pusher)
    else:
        pusher.leave()


def let_ends_linger() -> None:
    """From now on, runs of this process that end do not wait for MLflow; see `wait_for_ends`.

    For processes that execute one run after another: MLflow catches up while the next one trains. What a slow MLflow
    misses that way is brought by `catch_up`.
    """
    global _ends_linger
    _ends_linger = True


def wait_for_ends(seconds: float) -> bool:
    """Wait until MLflow has caught up with the runs that ended, for at most so long; whether it has."""
    deadline = time.monotonic() + seconds
    for pusher in _lingering:
        pusher.join(max(0.0, deadline - time.monotonic()))
    return not any(pusher.is_alive() for pusher in _lingering)
