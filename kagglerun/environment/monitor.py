"""What happens on this machine's GPUs at this moment, and which job and trial of a workspace does it.

GPUs are asked by NVML; what a run does beside them (how long it waits for data, how fast it trains) it says itself, see
`experiment.watch.live`. What cannot be seen is said in words.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TypeVar

import psutil

from kagglerun.experiment.watch.live import Live, read_live
from kagglerun.files import read_json
from kagglerun.jobs.control import JobInfo, list_jobs
from kagglerun.jobs.gpus import are_foreign, held_bytes, process_tree
from kagglerun.jobs.reservations import Reservation, reservations
from kagglerun.nvml import Gpu, Look, NoGpus, Nvml
from kagglerun.workspace import RunPaths, Workspace

_ANSWER_SECONDS = 10.0
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Share:
    """What a piece of work has of a GPU; None is not told.

    Attributes:
        index: NVML's number of the GPU; "0.1" is slice 1 of GPU 0.
        memory_bytes: what its processes hold.
        utilisation: share of the GPU's time in the last seconds, 0 to 1; where the driver does not tell it of single
            processes, that of the whole GPU if nobody else computes on it.
    """

    index: str
    memory_bytes: int | None
    utilisation: float | None


@dataclass(frozen=True)
class Work:
    """A run in work, or a job that has none at this moment.

    Attributes:
        job: the job's id; None for a run in the foreground.
        run: the run's id; None for a job without one in work.
        study: the study whose trial the run is.
        progress: how far the job is, in its own words.
        host: the machine it runs on, where that is another one.
        pid: its process.
        gpus: those that it computes on.
        loader_wait: share of the updates' time that was spent waiting for data in the last ten seconds, 0 to 1.
        samples_per_second: trained in them.
        cores: cores that it kept busy in them.
        warning: what it warned of.
    """

    job: str | None
    run: str | None
    study: str | None
    progress: str
    host: str | None
    pid: int
    gpus: tuple[Share, ...]
    loader_wait: float | None
    samples_per_second: float | None
    cores: float | None
    warning: str | None


@dataclass(frozen=True)
class Stranger:
    """A process that computes on a GPU and is no work of this workspace.

    Attributes:
        pid: its number.
        user: whose it is; None where that cannot be seen.
        name: the program.
        memory_bytes: what it holds of the GPU.
    """

    pid: int
    user: str | None
    name: str | None
    memory_bytes: int | None


@dataclass(frozen=True)
class GpuNow:
    """A GPU, or a slice of one, at this moment.

    Attributes:
        index: NVML's number of it.
        uuid: its own name.
        name: the model.
        look: what it tells.
        reserved: who keeps it, in words.
        strangers: processes on it that are no work of this workspace.
    """

    index: str
    uuid: str
    name: str
    look: Look
    reserved: str | None
    strangers: tuple[Stranger, ...]


@dataclass(frozen=True)
class Snapshot:
    """The machine at this moment.

    Attributes:
        time: seconds since 1970.
        gpus: all GPUs, or the slices of those that are cut.
        work: the workspace's.
        unseen: what cannot be seen and why, one sentence each.
    """

    time: float
    gpus: tuple[GpuNow, ...]
    work: tuple[Work, ...]
    unseen: tuple[str, ...]


class Monitor:
    """Looks at GPUs and work, within a `with` block.

    Args:
        workspace: whose work is looked for.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._nvml: Nvml | None = None
        self._reason = ""

    def __enter__(self) -> Monitor:
        try:
            self._nvml = _in_time(Nvml.open)
        except NoGpus as reason:
            self._reason = str(reason)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._nvml is not None:
            self._nvml.close()
            self._nvml = None

    def take(self) -> Snapshot:
        """The machine as it is now."""
        nvml, seen = self._nvml, _Seen()
        if nvml is not None:
            try:
                seen = _in_time(lambda: _look(nvml))
            except NoGpus as reason:
                self._nvml, self._reason = None, str(reason)
        work, ours = self._work(seen)
        held = {one.uuid: one for one in reservations()}
        gpus = tuple(_now(gpu, look, held, ours | seen.foreign) for gpu, look in seen.looks)
        return Snapshot(time.time(), gpus, work, tuple(self._unseen(seen)))

    def _work(self, seen: _Seen) -> tuple[tuple[Work, ...], set[int]]:
        """The work, and all its processes on this machine."""
        jobs = [job for job in list_jobs(self._workspace) if job.state.is_alive]
        found, ours = [], set[int]()
        for run, live in _runs_in_work(self._workspace):
            tree = process_tree(live.pid) if _is_here(live) else set()
            job = _job_of(live, jobs)
            ours |= tree
            found.append(_work_of_run(run, live, job, _shares(seen, tree)))
        with_runs = {work.job for work in found}
        for job in jobs:
            tree = process_tree(job.pid) if job.pid is not None else set()
            ours |= tree
            if job.job_id not in with_runs:
                found.append(_work_of_job(job, _shares(seen, tree)))
        return tuple(sorted(found, key=lambda work: (work.job or "", work.run or ""))), ours

    def _unseen(self, seen: _Seen) -> Iterable[str]:
        if self._reason:
            yield f"GPUs cannot be seen: {self._reason}"
        cut = sorted({gpu.index.partition(".")[0] for gpu, _ in seen.looks if gpu.is_slice})
        if cut:
            yield (
                f"GPU {', '.join(cut)} is cut into slices (MIG), which tell their memory; utilisation, power and "
                "temperature of a slice cannot be seen, so no run on one is warned that it starves"
            )
        if seen.foreign:
            yield (
                "whose processes are on the GPUs cannot be seen: in this container they go by the numbers of the host; "
                "start it with --pid=host"
            )
        for gpu, look in seen.looks:
            if look.problem:
                yield f"GPU {gpu.index} does not answer: {look.problem}; `nvidia-smi` and `dmesg` may say more"
            elif look.utilisation is None and not gpu.is_slice:
                yield f"GPU {gpu.index} does not tell its utilisation"


@dataclass(frozen=True)
class _Seen:
    """What NVML told.

    Attributes:
        looks: the GPUs.
        busy: UUID to process id to its share of the GPU's time.
        foreign: process ids that mean nothing here.
    """

    looks: tuple[tuple[Gpu, Look], ...] = ()
    busy: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    foreign: frozenset[int] = frozenset()


def _look(nvml: Nvml) -> _Seen:
    looks = tuple((gpu, nvml.look(gpu)) for gpu in nvml.gpus())
    numbers = {pid for _, look in looks for pid in look.processes or {}}
    busy = {gpu.uuid: nvml.busy_processes(gpu) for gpu, _ in looks}
    return _Seen(looks, busy, frozenset(numbers) if are_foreign(numbers) else frozenset())


def _in_time(ask: Callable[[], Answer]) -> Answer:
    """The answer of a driver that may hang.

    Raises:
        NoGpus: it did, or there is none.
    """
    answers: list[Answer] = []
    errors: list[NoGpus] = []

    def work() -> None:
        try:
            answers.append(ask())
        except NoGpus as error:
            errors.append(error)

    thread = threading.Thread(target=work, name="nvml", daemon=True)
    thread.start()
    thread.join(_ANSWER_SECONDS)
    if errors:
        raise errors[0]
    if not answers:
        raise NoGpus(f"NVIDIA's driver has not answered for {_ANSWER_SECONDS:.0f} seconds: a reboot may be needed")
    return answers[0]


def _runs_in_work(workspace: Workspace) -> Iterable[tuple[RunPaths, Live]]:
    for path in sorted(workspace.runs.glob("*/*/live.json")):
        run = RunPaths(path.parent)
        live = read_live(run)
        if live is not None:
            yield run, live


def _is_here(live: Live) -> bool:
    return psutil.pid_exists(live.pid) and bool(live.identity) and _other_host(live) is None


def _other_host(live: Live) -> str | None:
    return None if live.host == socket.gethostname() else live.host


def _job_of(live: Live, jobs: Iterable[JobInfo]) -> JobInfo | None:
    """The job whose process, or whose child, the run's process is."""
    if not _is_here(live):
        return None
    try:
        process = psutil.Process(live.pid)
        above = {process.pid, *(parent.pid for parent in process.parents())}
    except psutil.Error:
        return None
    return next((job for job in jobs if job.pid in above), None)


def _work_of_run(run: RunPaths, live: Live, job: JobInfo | None, gpus: tuple[Share, ...]) -> Work:
    try:
        study = read_json(run.status).get("study")
    except (OSError, ValueError):
        study = None
    return Work(
        job=job.job_id if job else None,
        run=run.run_id,
        study=study,
        progress=job.progress if job else "",
        host=_other_host(live),
        pid=live.pid,
        # In a container its own words are all there is, and on another machine too.
        gpus=gpus or tuple(Share(index, None, None) for index in live.gpus),
        loader_wait=live.loader_wait,
        samples_per_second=live.samples_per_second,
        cores=live.cores,
        warning=live.warning,
    )


def _work_of_job(job: JobInfo, gpus: tuple[Share, ...]) -> Work:
    shares = gpus or tuple(Share(gpu.index, gpu.memory_bytes, None) for gpu in job.gpus)
    return Work(job.job_id, None, None, job.progress, None, job.pid or 0, shares, None, None, None, None)


def _shares(seen: _Seen, tree: set[int]) -> tuple[Share, ...]:
    found = []
    for gpu, look in seen.looks:
        processes = look.processes or {}
        mine = tree & processes.keys()
        if not mine:
            continue
        told = [seen.busy[gpu.uuid][pid] for pid in mine if pid in seen.busy[gpu.uuid]]
        alone = look.utilisation if mine == processes.keys() else None
        found.append(Share(gpu.index, held_bytes(processes, mine), sum(told) if told else alone))
    return tuple(found)


def _now(gpu: Gpu, look: Look, held: Mapping[str, Reservation], known: set[int] | frozenset[int]) -> GpuNow:
    one = held.get(gpu.uuid) or held.get(gpu.whole_uuid)
    strangers = tuple(_stranger(pid, size) for pid, size in (look.processes or {}).items() if pid not in known)
    reserved = None if one is None else str(one).partition(" by ")[2]
    return GpuNow(gpu.index, gpu.uuid, gpu.name, look, reserved, strangers)


def _stranger(pid: int, memory_bytes: int | None) -> Stranger:
    try:
        process = psutil.Process(pid)
        return Stranger(pid, process.username(), process.name(), memory_bytes)
    except psutil.Error:
        return Stranger(pid, None, None, memory_bytes)
