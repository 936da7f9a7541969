"""A process that trains folds of a run for the process that owns the run.

`python -m kagglerun.experiment.parallel.fold_worker SLUG RUN` reads which folds to train and writes how far it is, one
JSON object a line. Started by torchrun, it is one of several that train each fold together: the first one speaks, the
others are silent unless they fail. It dies with its parent.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

import torch

from kagglerun.config.load import load_config
from kagglerun.errors import KagglerunError
from kagglerun.experiment.fold import run_fold
from kagglerun.experiment.prepare import prepare
from kagglerun.jobs.child import PARENT, Channel, die_with
from kagglerun.training.loop import Stopped
from kagglerun.training.memory import TeamOutOfMemory
from kagglerun.training.pace import counted
from kagglerun.training.process_team import has_lost_peer, join_team, leave_team
from kagglerun.workspace import Workspace

LOGS = "KAGGLERUN_RANK_LOGS"
"""Environment variable: folder for what the silent processes print."""
OUT_OF_MEMORY, PEER_LOST = "OutOfMemory", "PeerLost"
"""Kinds of failure that are no error of their own."""
_PACE_SECONDS = 2.0


def main(argv: list[str]) -> NoReturn:
    """Train the folds that the parent names until it says that there are no more, and end this process.

    Its exit code is 0, or 1 after a failure that the parent was told of.

    Args:
        argv: slug of the competition; id of the run, whose config is frozen.
    """
    slug, run_id = argv
    die_with(int(os.environ[PARENT]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches all; the parent decides
    rank = int(os.environ.get("RANK", "0"))
    if rank:
        _be_silent(rank)
    channel = Channel(listens=rank == 0)
    try:
        _FoldWorker(slug, run_id, channel).work()
    except KagglerunError as error:
        _tell(channel, rank, type(error).__name__, error.message, error.hint)
    except Exception as error:
        kind, message = _kind(error), (str(error).splitlines() or [""])[0][:500]
        if kind is None:
            traceback.print_exc()
        _tell(channel, rank, kind or "TrainingError", f"{type(error).__name__}: {message}", None)
    else:
        leave_team()
    # The other processes of the team may be dead: nothing can be closed in order.
    sys.stderr.flush()
    os._exit(1)


class _FoldWorker:
    def __init__(self, slug: str, run_id: str, channel: Channel) -> None:
        workspace = Workspace.find()
        self._paths = workspace.run(slug, run_id)
        self._channel = channel
        config = load_config(self._paths.config)
        if config.training.cpu_threads:
            torch.set_num_threads(config.training.cpu_threads)
        self._team = join_team(config.training.device)
        self._prepared = prepare(workspace, config)

    def work(self) -> None:
        """Train fold after fold."""
        if self._team.is_first:
            threading.Thread(target=self._tell_pace, name="pace", daemon=True).start()
        while (fold := self._next_fold()) >= 0:
            try:
                self._train(fold)
            except Stopped:
                self._say({"event": "stopped", "fold": fold})

    def _next_fold(self) -> int:
        """The parent's word, the same in every process of the team; -1 when there is none left."""
        asked = self._channel.receive().get("fold", -1) if self._team.is_first else -1
        return self._team.number_of_first(asked)

    def _train(self, fold: int) -> None:
        def report(step: int, values: dict[str, float]) -> None:
            self._say({"event": "epoch", "fold": fold, "step": step, "values": values})

        run_fold(self._prepared, fold, self._paths.fold(fold), report, lambda _: self._channel.stop.is_set())
        self._say({"event": "done", "fold": fold})

    def _tell_pace(self) -> None:
        """Now and then, what was trained since the last time; of a team the first process speaks for all."""
        before = counted()
        while True:
            time.sleep(_PACE_SECONDS)
            now = counted()
            before, more = now, now.since(before)
            if more.updates:
                self._channel.send({"event": "pace", **asdict(more)})

    def _say(self, message: dict[str, object]) -> None:
        if self._team.is_first:
            self._channel.send(message)


def _kind(error: Exception) -> str | None:
    if isinstance(error, TeamOutOfMemory):
        return OUT_OF_MEMORY
    return PEER_LOST if has_lost_peer(error) else None


def _tell(channel: Channel, rank: int, kind: str, message: str, hint: str | None) -> None:
    # One write of less than PIPE_BUF bytes: what several processes say at once does not mix.
    said = {"event": "failed", "rank": rank, "kind": kind, "message": message[:1500], "hint": hint and hint[:500]}
    channel.send(said)


def _be_silent(rank: int) -> None:
    """Let what this process prints go to a file, which the parent shows should the process die without a word."""
    folder = os.environ.get(LOGS)
    target = Path(folder) / f"{rank}.txt" if folder else Path(os.devnull)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 2)
    os.close(descriptor)


if __name__ == "__main__":
    main(sys.argv[1:])
