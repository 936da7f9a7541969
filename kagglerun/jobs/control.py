"""What any shell can do with jobs: list, find, stop.

A job's state is derived from its files and the process table, so it is right after a kill -9 or a reboot too.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kagglerun.errors import ConfigError, JobError
from kagglerun.files import write_text
from kagglerun.jobs.cluster import ask_to_end, read_cluster_job
from kagglerun.jobs.gpus import JobGpu
from kagglerun.jobs.process import is_alive
from kagglerun.jobs.records import (
    JobProcess,
    JobState,
    JobStatus,
    read_process,
    read_spec,
    read_status,
)
from kagglerun.jobs.run import STOP_SECONDS
from kagglerun.workspace import JobPaths, Workspace

STALE_SECONDS = 60.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class JobInfo:
    """A job as it stands.

    Attributes:
        job_id: its id.
        what: one line for people.
        state: derived from files and process table.
        progress: its own words on how far it is.
        numbers: the same for programs.
        created: when it was first started, in seconds since 1970.
        attempts: how often it was started.
        heartbeat_age: seconds since its last sign of life; None when it gave none.
        eta_seconds: how long it will still take, as it last said; None where it does not know, or has ended.
        gpus: those that it computes on.
        exit_code: of a job that ended with a word.
        error: why it failed.
        pid: process of the last attempt.
        was_asked_to_stop: somebody asked it to end by `kagglerun stop`, not the machine by a shutdown.
    """

    job_id: str
    what: str
    argv: tuple[str, ...]
    state: JobState
    progress: str
    numbers: Mapping[str, Any]
    created: float
    attempts: int
    heartbeat_age: float | None
    eta_seconds: float | None
    gpus: tuple[JobGpu, ...]
    exit_code: int | None
    error: str | None
    pid: int | None
    was_asked_to_stop: bool


def job_info(paths: JobPaths) -> JobInfo:
    """The job as it stands now."""
    spec, process, status = read_spec(paths), read_process(paths), read_status(paths)
    if status and process and status.attempt != process.attempt:
        status = None  # of an earlier attempt
    state = _state(paths, spec.created, process, status)
    return JobInfo(
        job_id=paths.job_id,
        what=spec.what,
        argv=spec.argv,
        state=state,
        progress=status.progress if status else "",
        numbers=status.numbers if status else {},
        created=spec.created,
        attempts=process.attempt if process else 0,
        heartbeat_age=max(0.0, time.time() - status.heartbeat) if status else None,
        eta_seconds=_eta_seconds(status) if status and state.is_alive else None,
        gpus=status.gpus if status and state.is_alive else (),
        exit_code=status.exit_code if status else None,
        error=status.error if status else None,
        pid=process.pid if process else None,
        was_asked_to_stop=paths.stop.exists(),
    )


def _eta_seconds(status: JobStatus) -> float | None:
    """What was left when it last said so, less the time since."""
    left = status.numbers.get("eta_seconds")
    return None if left is None else max(0.0, float(left) - max(0.0, time.time() - status.heartbeat))


def list_jobs(workspace: Workspace) -> list[JobInfo]:
    """All jobs of the workspace whose records can be read, the newest first; of the others see `damaged_jobs`."""
    jobs = []
    for paths in workspace.all_jobs():
        # One damaged folder keeps nobody from the other jobs.
        with contextlib.suppress(JobError):
            jobs.append(job_info(paths))
    return sorted(jobs, key=lambda job: (job.created, job.job_id), reverse=True)


def damaged_jobs(workspace: Workspace) -> list[JobError]:
    """What is wrong with the jobs that `list_jobs` leaves out."""
    found = []
    for paths in workspace.all_jobs():
        try:
            job_info(paths)
        except JobError as error:
            found.append(error)
    return found


def find_job(workspace: Workspace, name: str | None) -> JobPaths:
    """The job with this id, or whose id starts so, ends so or holds it; the newest one when no name is given.

    Raises:
        ConfigError: no job, or several, match.
    """
    ids = [job.job_id for job in list_jobs(workspace)]
    if not ids:
        raise ConfigError(f"there are no jobs in {workspace.root}", hint="kagglerun sweep baseline.yaml")
    if name is None:
        return workspace.job(ids[0])
    matches: tuple[Callable[[str], bool], ...] = (
        lambda job_id: job_id == name,
        lambda job_id: job_id.startswith(name),
        lambda job_id: job_id.endswith(name),
        lambda job_id: name in job_id,
    )
    for match in matches:
        found = [job_id for job_id in ids if match(job_id)]
        if len(found) == 1:
            return workspace.job(found[0])
        if found:
            raise ConfigError(f"several jobs match {name!r}: {', '.join(found[:8])}", hint="give more of the id")
    raise ConfigError(f"there is no job {name!r}; the newest: {', '.join(ids[:5])}", hint="kagglerun jobs")


def running_job(workspace: Workspace, argv: Sequence[str]) -> JobInfo | None:
    """The job that does this now; argv without `-m`, or the beginning of it."""
    begins = ("-m", *argv)
    jobs = (job for job in list_jobs(workspace) if job.argv[: len(begins)] == begins)
    return next((job for job in jobs if job.state.is_alive), None)


def interrupted_jobs(workspace: Workspace) -> list[JobInfo]:
    """Those of `resumable_jobs` that the end of this machine, or kill -9, ended: neither their user nor an error."""
    states = (JobState.KILLED, JobState.STOPPED)
    found = [job for job in resumable_jobs(workspace) if job.state in states and not job.was_asked_to_stop]
    return [job for job in found if _ran_here(workspace.job(job.job_id))]


def _ran_here(paths: JobPaths) -> bool:
    """Whether this machine is where the job was last; one that never began counts."""
    process = read_process(paths)
    return process is None or process.host == socket.gethostname()


def resumable_jobs(workspace: Workspace) -> list[JobInfo]:
    """Jobs that did not finish and are not under way, oldest first; of several with the same argv the newest."""
    newest: dict[tuple[str, ...], JobInfo] = {}
    for job in list_jobs(workspace):
        if job.state.is_alive:
            newest[job.argv] = job
        newest.setdefault(job.argv, job)
    unfinished = (JobState.STOPPED, JobState.KILLED, JobState.FAILED)
    found = [job for job in newest.values() if job.state in unfinished]
    return sorted(found, key=lambda job: (job.created, job.job_id))


def stop_job(paths: JobPaths, *, now: bool = False, seconds: float = STOP_SECONDS + 5) -> JobInfo:
    """Ask a job to end and wait for it.

    Args:
        paths: the job.
        now: do not ask; end it and all its processes at once.
        seconds: how long to wait.

    Returns:
        The job as it stands afterwards; one that had ended before is left as it is.

    Raises:
        JobError: it runs on another machine, or has not ended in time.
    """
    job, process = job_info(paths), read_process(paths)
    if not job.state.is_alive or process is None:
        return job
    if (cluster := read_cluster_job(paths)) is not None:
        ask_to_end(paths, cluster, now)
    elif process.host != socket.gethostname():
        raise JobError(f"the job {job.job_id} runs on {process.host}", hint=f"run `kagglerun stop` on {process.host}")
    else:
        write_text(paths.stop, "")
        with contextlib.suppress(ProcessLookupError):
            _send(process, now)
    deadline = time.monotonic() + seconds
    while job_info(paths).state.is_alive if cluster else is_alive(process.pid, process.identity):
        if time.monotonic() > deadline:
            raise JobError(f"the job {job.job_id} has not ended in time", hint=f"kagglerun stop {job.job_id} --now")
        time.sleep(_POLL_SECONDS)
    return job_info(paths)


def _send(process: JobProcess, now: bool) -> None:
    if now:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        os.kill(process.pid, signal.SIGTERM)


def _state(paths: JobPaths, created: float, process: JobProcess | None, status: JobStatus | None) -> JobState:
    if process is None:
        return JobState.STARTING if time.time() - created < STALE_SECONDS else JobState.KILLED
    if status and status.state is not JobState.RUNNING:
        return status.state
    silent = time.time() - (status.heartbeat if status else process.started) > STALE_SECONDS
    # The process table of another machine cannot be seen from here: there the heartbeat decides.
    here = process.host == socket.gethostname()
    if is_alive(process.pid, process.identity) if here else not silent:
        return JobState.STALE if silent else JobState.RUNNING
    return JobState.STOPPED if paths.stop.exists() else JobState.KILLED
