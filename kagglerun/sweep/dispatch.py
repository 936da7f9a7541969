"""Hands pieces of work to workers until there is no more, the budget is spent, or somebody asks to stop.

What the pieces are (trials of a study, reruns of its finalists) is the business of a `Work`; what happens to
workers is settled here: a lost one costs nothing, a stop lets everything save.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Sequence
from enum import Enum
from typing import Protocol

from kagglerun.errors import ConfigError, JobError
from kagglerun.jobs.run import Reporter
from kagglerun.sweep.budget import Budget
from kagglerun.sweep.objective import TrialScore, TrialTask
from kagglerun.sweep.trials import Failure
from kagglerun.sweep.workers import (
    EpochDone,
    Event,
    FoldDone,
    TrialDone,
    TrialFailed,
    TrialInterrupted,
    TrialSays,
    WorkerLost,
    Workers,
)

MOST_LOSSES = 5
"""A piece whose worker died so often without getting any further has failed; few kills from outside do that."""
_MOST_STILLBORN = 3
_WAIT_SECONDS = 0.5
_STOP_SECONDS = 25.0


class End(Enum):
    """How it ended."""

    DONE = "done"
    SPENT = "the budget is spent"
    STOPPED = "stopped"


class Work(Protocol):
    """Pieces of work, told apart by numbers."""

    def unfinished(self) -> Sequence[int]:
        """Pieces that an earlier attempt began, in the order in which they go on."""

    def wants_more(self) -> bool:
        """Whether another piece may begin now."""

    def more(self) -> int:
        """Begin another piece."""

    def task(self, number: int) -> TrialTask:
        """What a worker needs for a piece.

        Raises:
            ConfigError: it cannot be executed.
        """

    def ended(self, number: int, outcome: TrialScore | Failure) -> None:
        """Take up the result of a piece."""

    def note(self, event: EpochDone | FoldDone) -> None:
        """Take notice of progress."""

    def report(self, running: Sequence[int]) -> None:
        """Tell whoever follows how far it is."""

    def closing(self) -> str | None:
        """Why no further piece is to begin, or None."""


class Dispatcher:
    """Runs a `Work` on workers.

    Args:
        work: the pieces.
        workers: who executes them.
        reporter: is told what happens, and may ask to stop.
        budget: what may be spent.
    """

    def __init__(self, work: Work, workers: Workers, reporter: Reporter, budget: Budget) -> None:
        self._work = work
        self._workers = workers
        self._reporter = reporter
        self._budget = budget
        self._waiting: deque[int] = deque()
        self._running: list[int] = []
        self._losses: Counter[int] = Counter()
        self._furthest: dict[int, tuple[int, float]] = {}
        self._stillborn = 0
        self._closed: str | None = None

    def run(self) -> End:
        """Work until everything is done, the budget is spent, or a stop was requested.

        Raises:
            JobError: no worker can be started.
            TrainingError: the work itself says that it makes no sense to go on.
        """
        self._waiting.extend(self._work.unfinished())
        while not self._reporter.stop_requested:
            over = self._budget.is_over()
            if over:
                self._reporter.say(f"{over}: trials in work save where they are")
                return self._wind_down(End.SPENT)
            self._hand_out()
            self._work.report(self._running)
            if not self._running:
                return End.SPENT if self._closed else End.DONE
            self._take_events()
        self._reporter.say("stopping: trials in work save where they are")
        return self._wind_down(End.STOPPED)

    def _hand_out(self) -> None:
        while self._workers.free and not self._reporter.stop_requested:
            number = self._next()
            if number is None:
                return
            try:
                task = self._work.task(number)
            except ConfigError as error:
                self._work.ended(number, Failure("ConfigError", error.message))
                continue
            self._workers.submit(task)
            self._running.append(number)

    def _next(self) -> int | None:
        """A piece that waits to go on, else a new one; None when there is none, or no time left for one."""
        if not self._waiting and not self._work.wants_more():
            return None
        closed = self._work.closing()
        if closed and not self._closed:
            self._reporter.say(f"{closed}: no further trial is started")
        self._closed = closed
        if closed:
            return None
        return self._waiting.popleft() if self._waiting else self._work.more()

    def _take_events(self) -> None:
        running = len(self._running)
        for event in self._workers.wait(_WAIT_SECONDS):
            self._handle(event)
        self._budget.tick(running)

    def _handle(self, event: Event) -> None:
        match event:
            case EpochDone() | FoldDone():
                self._got_further(event)
                self._work.note(event)
            case TrialSays(_, text):
                self._reporter.say(text)
            case TrialDone(number, score):
                self._end(number, score)
            case TrialFailed(number, kind, message):
                self._end(number, Failure(kind, message))
            case TrialInterrupted(number):
                self._put_back(number)
            case WorkerLost():
                self._lost(event)

    def _got_further(self, event: EpochDone | FoldDone) -> None:
        """Forget a piece's losses where it is past the point that it has reached before."""
        point = (event.fold, event.epoch if isinstance(event, EpochDone) else math.inf)
        if point > self._furthest.get(event.number, (-1, -1.0)):
            self._furthest[event.number] = point
            del self._losses[event.number]

    def _end(self, number: int, outcome: TrialScore | Failure) -> None:
        self._stillborn = 0
        self._running.remove(number)
        self._work.ended(number, outcome)

    def _put_back(self, number: int) -> None:
        self._running.remove(number)
        self._waiting.appendleft(number)

    def _lost(self, event: WorkerLost) -> None:
        """Go on with a piece whose worker died, from its checkpoint, unless that happens again and again."""
        number = event.number
        if number is not None:
            self._put_back(number)
        if not event.was_ready:
            self._count_stillborn(event.reason)
        elif number is not None:
            self._count_loss(number, event.reason)

    def _count_loss(self, number: int, reason: str) -> None:
        self._losses[number] += 1
        if self._losses[number] < MOST_LOSSES:
            self._reporter.say(f"trial {number}: its worker was lost ({reason}); it goes on from its checkpoint")
            return
        self._waiting.remove(number)
        died = f"its worker died {MOST_LOSSES} times without getting any further: {reason}"
        self._work.ended(number, Failure("WorkerLost", died))

    def _count_stillborn(self, reason: str) -> None:
        self._stillborn += 1
        if self._stillborn >= _MOST_STILLBORN:
            raise JobError(f"the workers cannot start: {reason}", hint="the log above says why: kagglerun logs")

    def _wind_down(self, end: End) -> End:
        """Let pieces in work save where they are."""
        self._workers.ask_to_stop()
        deadline = time.monotonic() + _STOP_SECONDS
        while self._running and time.monotonic() < deadline:
            self._take_events()
        self._budget.tick(0, save=True)
        return end
