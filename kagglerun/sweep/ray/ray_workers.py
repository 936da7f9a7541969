"""Workers that are actors on a Ray cluster, one a trial slot.

An actor reserves what a trial needs and keeps its worker process warm from trial to trial. Trials wait here until an
actor has begun, so a cluster with less room than the study has slots is slower and nothing else. An actor that is
lost gives its trial back; another takes it up.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import IO, Any

from kagglerun.config.schema import Config
from kagglerun.errors import KagglerunError
from kagglerun.sweep.objective import TrialTask, load_objective
from kagglerun.sweep.ray.connection import (
    connect,
    disconnect,
    node_is_alive,
    require_ray,
    reserved_by,
)
from kagglerun.sweep.ray.exchange import Exchange
from kagglerun.sweep.ray.home import make_home
from kagglerun.sweep.ray.make_up import make_up
from kagglerun.sweep.ray.slot import Begun, Heard, TrialSlot
from kagglerun.sweep.ray.tracking_behind import TrackingBehind
from kagglerun.sweep.ray.words import Words, require_weights_everywhere
from kagglerun.sweep.room import StoppedWaiting, with_room, written_folders
from kagglerun.sweep.worker_process import task_to_json
from kagglerun.sweep.workers import EpochDone, Event, FoldDone, TrialInterrupted, WorkerLost
from kagglerun.workspace import StudyPaths, Workspace

MOST_NODE_LOSSES = 10
"""A trial whose node was lost so often may be what takes nodes down: from then on it is counted as a lost worker."""
_HEAR_SECONDS = 20.0
_LOOK_SECONDS = 0.02
_TRANSFERS_AT_ONCE = 8
_LEAVE_SECONDS = 30.0
_LEAVE_SECONDS_WHEN_STOPPED = 4.0


class RayWorkers:
    """Trial slots on a cluster, begun when there is work for them, replaced when they are lost.

    Args:
        workspace: where runs are written, or fetched to.
        paths: the study.
        objective: dotted path of what a trial does.
        config: the study's base config, which says what a trial reserves.
        count: largest number of slots.
        address: see `connection.connect`.
        say: writes a line to the log.
        log: file for what trials print; None is standard error.

    Raises:
        JobError: no cluster answers.
    """

    def __init__(
        self,
        workspace: Workspace,
        paths: StudyPaths,
        objective: str,
        config: Config,
        count: int,
        address: str,
        say: Callable[[str], None],
        log: IO[bytes] | None = None,
    ) -> None:
        connect(address)
        self._ray = require_ray()
        self._workspace = workspace
        self._paths = paths
        self._is_tracked = load_objective(objective).is_tracked
        self._config = config
        self._count = count
        self._say = say
        self._log = log
        self._reserved = reserved_by(config)
        self._start_arguments = (make_home(workspace, paths), objective, "OMP_NUM_THREADS" in os.environ)
        self._exchange = Exchange(workspace, paths.slug)
        self._tracking = TrackingBehind(workspace)
        self._movers = ThreadPoolExecutor(_TRANSFERS_AT_ONCE, "transfer")
        self._slots: list[_Slot] = []
        self._queue: deque[TrialTask] = deque()
        self._told: list[Event] = []
        self._node_losses: Counter[int] = Counter()
        self._words = Words(self._reserved, say)
        self._is_stopping = False

    @property
    def free(self) -> int:
        """Slots without a trial, and those that may still be begun."""
        return self._count - len(self._queue) - sum(slot.task is not None for slot in self._slots)

    def submit(self, task: TrialTask) -> None:
        """Give a task to an idle slot, or keep it until one has begun."""
        self._queue.append(task)
        self._hand_out()

    def wait(self, seconds: float) -> Sequence[Event]:
        """Events of all slots; see `kagglerun.sweep.workers`."""
        deadline = time.monotonic() + seconds
        while not (events := self._news(deadline)) and time.monotonic() < deadline:
            self._hand_out()
        self._hand_out()
        self._words.waiting(bool(self._queue) and not any(slot.task for slot in self._slots))
        return events

    def ask_to_stop(self) -> None:
        """Ask all trials to end; those that no slot has yet are interrupted at once."""
        self._is_stopping = True
        self._told += [TrialInterrupted(task.number) for task in self._queue]
        self._queue.clear()
        for slot in self._slots:
            if slot.task is not None:
                slot.asked_to_stop = True
                slot.actor.ask_to_stop.remote()

    def close(self) -> None:
        """End all slots that have a trial; the others draw and track what they still owe. Then leave the cluster."""
        owing = [slot.actor.leave.remote() for slot in self._slots if slot.is_idle]
        if owing:
            seconds = _LEAVE_SECONDS_WHEN_STOPPED if self._is_stopping else _LEAVE_SECONDS
            self._ray.wait(owing, num_returns=len(owing), timeout=seconds)
        for slot in self._slots:
            self._ray.kill(slot.actor)
        self._movers.shutdown(wait=True, cancel_futures=True)
        self._tracking.close()
        disconnect()
        if self._is_tracked:
            make_up(self._workspace, self._paths, _LEAVE_SECONDS_WHEN_STOPPED if self._is_stopping else _LEAVE_SECONDS)

    def _news(self, deadline: float) -> list[Event]:
        """What was told until a moment; waits only while there is nothing."""
        events, self._told = self._told, []
        for slot in self._answered(0.0 if events else deadline - time.monotonic()):
            events += self._take_answer(slot)
        for slot in [slot for slot in self._slots if slot.moving is not None and slot.moving.done()]:
            events += self._moved(slot)
        return events

    def _answered(self, seconds: float) -> list[_Slot]:
        """Slots whose answer is here, waiting at most so long for the first one."""
        asked = {slot.answer: slot for slot in self._slots if slot.answer is not None}
        moving = any(slot.moving is not None for slot in self._slots)
        seconds = max(0.0, min(seconds, _LOOK_SECONDS) if moving else seconds)
        if not asked:
            time.sleep(seconds)
            return []
        self._ray.wait(list(asked), num_returns=1, timeout=seconds)
        ready, _ = self._ray.wait(list(asked), num_returns=len(asked), timeout=0, fetch_local=False)
        return [asked[reference] for reference in ready]

    def _take_answer(self, slot: _Slot) -> list[Event]:
        reference, slot.answer = slot.answer, None
        try:
            said: Begun | Heard = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            return self._lost(slot, error)
        if isinstance(said, Begun):
            self._begun(slot, said)
            return []
        self._print(said.printed)
        return self._heard(slot, said.events)

    def _begun(self, slot: _Slot, begun: Begun) -> None:
        slot.begun = begun
        self._words.begun(begun)
        if not begun.shares:
            require_weights_everywhere(self._config)
            slot.moving = self._movers.submit(self._exchange.send_competition, slot.call, begun.node)

    def _heard(self, slot: _Slot, events: Sequence[Event]) -> list[Event]:
        assert slot.task is not None
        assert slot.begun is not None
        passed: list[Event] = []
        for event in events:
            if isinstance(event, EpochDone | FoldDone):
                passed.append(event)
                if isinstance(event, FoldDone) and not slot.begun.shares:
                    self._movers.submit(self._exchange.fetch_fold, slot.call, slot.task.run_id, event.fold)
            elif slot.begun.shares:
                passed.append(self._ended(slot, event))
            else:
                slot.end = event
                slot.moving = self._movers.submit(self._fetch, slot, slot.task.run_id)
        if slot.task is not None and slot.end is None:
            slot.answer = slot.actor.hear.remote(_HEAR_SECONDS)
        return passed

    def _fetch(self, slot: _Slot, run_id: str) -> None:
        """Fetch a run; while the disk is full, wait.

        Raises:
            StoppedWaiting: the sweep is to end.
        """
        fetch = partial(self._exchange.fetch_run, slot.call, run_id)
        with_room(fetch, written_folders(self._workspace), _Waiter(self))

    def _moved(self, slot: _Slot) -> list[Event]:
        """Files have been sent or fetched: begin the trial, or tell of its end."""
        assert slot.moving is not None
        moving, slot.moving = slot.moving, None
        error = moving.exception()
        if isinstance(error, self._ray.exceptions.RayActorError):
            return self._lost(slot, error)
        if isinstance(error, StoppedWaiting) and slot.task is not None:
            slot.end = TrialInterrupted(slot.task.number)
        elif error is not None:
            raise _own_error(error)
        if slot.end is not None:
            return [self._ended(slot, slot.end)]
        if slot.task is not None:
            self._execute(slot)
        return []

    def _ended(self, slot: _Slot, event: Event) -> Event:
        assert slot.task is not None
        self._tracking.ended(self._workspace.run(self._paths.slug, slot.task.run_id))
        slot.task = slot.end = None
        slot.asked_to_stop = False
        return event

    def _hand_out(self) -> None:
        """Give waiting tasks to idle slots, and begin further slots for what is left."""
        for slot in self._slots:
            if self._queue and slot.is_idle:
                self._give(slot, self._queue.popleft())
        beginning = sum(slot.is_beginning for slot in self._slots)
        while beginning < len(self._queue) and len(self._slots) < self._count:
            self._slots.append(self._new_slot())
            beginning += 1

    def _give(self, slot: _Slot, task: TrialTask) -> None:
        slot.task = task
        assert slot.begun is not None
        if slot.begun.shares:
            self._execute(slot)
        else:
            slot.moving = self._movers.submit(self._exchange.send_task, slot.call, task)

    def _execute(self, slot: _Slot) -> None:
        assert slot.task is not None
        slot.answer = slot.actor.execute.remote(task_to_json(slot.task), _HEAR_SECONDS)
        if slot.asked_to_stop:
            slot.actor.ask_to_stop.remote()

    def _new_slot(self) -> _Slot:
        actor_class = self._ray.remote(
            num_gpus=self._reserved.gpus, num_cpus=self._reserved.cpus, max_concurrency=2, max_restarts=0
        )(TrialSlot)
        return _Slot(self._ray, actor_class.remote(*self._start_arguments))

    def _lost(self, slot: _Slot, error: BaseException) -> list[Event]:
        """Give the trial of a slot that is gone back; a node's end is not the trial's fault."""
        self._slots.remove(slot)
        self._ray.kill(slot.actor)  # one that only seems to be gone must not go on
        reason = _first_line(error)
        node_is_gone = slot.begun is not None and not node_is_alive(slot.begun.node)
        if slot.task is None:
            return [] if slot.begun or _is_nodes_fault(error) else [WorkerLost(None, reason, was_ready=False)]
        number = slot.task.number
        self._node_losses[number] += node_is_gone
        if not node_is_gone or self._node_losses[number] > MOST_NODE_LOSSES:
            return [WorkerLost(number, reason, was_ready=True)]
        assert slot.begun is not None
        self._say(f"trial {number}: the node {slot.begun.host} was lost; another one takes the trial up")
        return [TrialInterrupted(number)]

    def _print(self, printed: bytes) -> None:
        stream = self._log or sys.stderr.buffer
        if printed:
            stream.write(printed)
            stream.flush()


class _Waiter:
    """Waits for room on the coordinator's disk."""

    def __init__(self, workers: RayWorkers) -> None:
        self._workers = workers

    def say(self, text: str) -> None:
        self._workers._say(text)

    @property
    def stop_requested(self) -> bool:
        return self._workers._is_stopping


class _Slot:
    """The coordinator's end of one actor. At most one of `answer` and `moving` is set."""

    def __init__(self, ray: Any, actor: Any) -> None:
        self.actor = actor
        self.begun: Begun | None = None
        self.task: TrialTask | None = None
        self.end: Event | None = None
        """How the trial ended, while its files are being fetched."""
        self.asked_to_stop = False
        self.answer: Any = actor.begin.remote()
        self.moving: Future[None] | None = None
        self._ray = ray

    @property
    def is_beginning(self) -> bool:
        """Whether it waits for room, starts, or gets the competition's files."""
        return self.task is None and not self.is_idle

    @property
    def is_idle(self) -> bool:
        """Whether it can take a trial."""
        return self.begun is not None and self.task is None and self.moving is None

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the actor and wait for its answer."""
        return self._ray.get(getattr(self.actor, method).remote(*arguments))


def _is_nodes_fault(error: BaseException) -> bool:
    """Whether an actor ended before it began because its node did."""
    return "node" in str(error).lower() and "died" in str(error).lower()


def _first_line(error: BaseException) -> str:
    """What happened, of Ray's many lines."""
    cause = getattr(error, "cause", None)
    if cause is not None:
        return f"{type(cause).__name__}: {cause}".splitlines()[0]
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if "died because" in line or "failed to" in line.lower()), lines[0])


def _own_error(error: BaseException) -> BaseException:
    """What a node raised, as it was raised there."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, KagglerunError) else error
