"""The files of a job, read and written: spec.json, pid.json, status.json.

Plain dataclasses: `kagglerun jobs` answers without pydantic.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from kagglerun.errors import JobError
from kagglerun.files import read_json, write_json
from kagglerun.jobs.gpus import JobGpu
from kagglerun.workspace import JobPaths


class JobState(StrEnum):
    """How a job stands, derived from its files and the process table."""

    STARTING = "starting"
    """Its folder exists and its process is about to."""
    RUNNING = "running"
    STALE = "stale"
    """Its process exists and has given no sign of life for a while."""
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"
    """It ended because somebody asked it to."""
    KILLED = "killed"
    """Its process is gone without a word: kill -9, out of memory, power cut."""

    @property
    def is_alive(self) -> bool:
        """Whether a process works on it."""
        return self in (JobState.STARTING, JobState.RUNNING, JobState.STALE)


@dataclass(frozen=True)
class JobSpec:
    """What a job runs; enough to start it again.

    Attributes:
        argv: `-m`, a module that has `main(argv) -> int`, and its arguments. Never a secret.
        cwd: working folder, relative to the workspace.
        environment: names of environment variables that must be set when it starts; never their values.
        what: one line for people, e.g. "sweep of digits by baseline, 20 trials".
        created: seconds since 1970.
    """

    argv: tuple[str, ...]
    cwd: str
    environment: tuple[str, ...]
    what: str
    created: float


@dataclass(frozen=True)
class JobProcess:
    """The process of a job's last attempt.

    Attributes:
        pid: process id; also the id of its session and process group.
        identity: tells it from another process with this number; see `kagglerun.jobs.process`.
        host: the machine's name.
        attempt: counted from 1.
        started: seconds since 1970.
    """

    pid: int
    identity: str
    host: str
    attempt: int
    started: float


@dataclass(frozen=True)
class JobStatus:
    """What a job says of itself.

    Attributes:
        state: running, done, failed or stopped.
        attempt: the attempt that wrote it.
        heartbeat: when it was written, in seconds since 1970.
        progress: one line for people.
        numbers: the same for programs, e.g. trials_done, trials, best, eta_seconds.
        exit_code: set once the job has ended.
        error: the reason of a failure in one line.
        gpus: those that its processes compute on.
    """

    state: JobState
    attempt: int
    heartbeat: float
    progress: str = ""
    numbers: Mapping[str, Any] = field(default_factory=dict)
    exit_code: int | None = None
    error: str | None = None
    gpus: tuple[JobGpu, ...] = ()


def write_spec(paths: JobPaths, spec: JobSpec) -> None:
    """Write spec.json."""
    write_json(paths.spec, asdict(spec))


def read_spec(paths: JobPaths) -> JobSpec:
    """Read spec.json.

    Raises:
        JobError: it is missing or damaged.
    """
    values = _read(paths, paths.spec.name)
    if values is None:
        raise JobError(f"the job {paths.job_id} has no {paths.spec.name}", hint="kagglerun jobs")
    with _damage_named(paths, paths.spec.name):
        return JobSpec(
            argv=tuple(map(str, values["argv"])),
            cwd=str(values["cwd"]),
            environment=tuple(map(str, values["environment"])),
            what=str(values["what"]),
            created=float(values["created"]),
        )


def write_process(paths: JobPaths, process: JobProcess) -> None:
    """Write pid.json."""
    write_json(paths.pid, asdict(process))


def read_process(paths: JobPaths) -> JobProcess | None:
    """Read pid.json; None when no process has started yet."""
    values = _read(paths, paths.pid.name)
    if values is None:
        return None
    with _damage_named(paths, paths.pid.name):
        process = JobProcess(**values)
        return replace(process, pid=int(process.pid), attempt=int(process.attempt), started=float(process.started))


def write_status(paths: JobPaths, status: JobStatus, durable: bool) -> None:
    """Write status.json. Heartbeats need no fsync; the last word does."""
    write_json(paths.status, asdict(status), durable)


def read_status(paths: JobPaths) -> JobStatus | None:
    """Read status.json; None when the job has not said anything yet."""
    values = _read(paths, paths.status.name)
    if values is None:
        return None
    with _damage_named(paths, paths.status.name):
        gpus = tuple(JobGpu(**gpu) for gpu in values.pop("gpus", ()))
        changed = {"state": JobState(values["state"]), "numbers": dict(values["numbers"]), "gpus": gpus}
        status = JobStatus(**{**values, **changed})
        return replace(status, attempt=int(status.attempt), heartbeat=float(status.heartbeat))


def _read(paths: JobPaths, name: str) -> dict[str, Any] | None:
    with _damage_named(paths, name):
        try:
            return dict(read_json(paths.folder / name))
        except FileNotFoundError:
            return None


@contextlib.contextmanager
def _damage_named(paths: JobPaths, name: str) -> Iterator[None]:
    """Turn what goes wrong where a record is not as it was written into an error that names the file."""
    try:
        yield
    except (ValueError, TypeError, KeyError) as error:
        why = f"it lacks {error}" if isinstance(error, KeyError) else error
        raise JobError(
            f"{paths.folder / name} is damaged: {why}", hint=f"remove the job's folder: rm -r {paths.folder}"
        ) from error
