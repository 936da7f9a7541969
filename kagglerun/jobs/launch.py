"""Starting jobs, and starting them again."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from io import SEEK_END

from kagglerun.errors import DiskFull, JobError
from kagglerun.jobs.control import job_info
from kagglerun.jobs.records import JobSpec, read_spec, write_spec
from kagglerun.jobs.run import READY
from kagglerun.workspace import JobPaths, Workspace

WORK_ENVIRONMENT = (
    "KAGGLERUN_MLFLOW_URI",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
)
"""What runs read from the environment: a resume from another shell needs it too."""
_LOG_LINES_IN_ERROR = 12
_LEAST_FREE_BYTES = 1 << 16


def launch(
    workspace: Workspace,
    name: str,
    argv: Sequence[str],
    *,
    what: str,
    environment: Sequence[str] = (),
) -> JobPaths:
    """Start a detached job and return once it has written its pid.

    Args:
        workspace: where its folder is made; also its working folder.
        name: begins its id, e.g. "sweep-digits-baseline".
        argv: a module that has `main(argv) -> int`, and its arguments. They are written down: no secrets.
        what: one line for people.
        environment: names of environment variables that it needs; those that are set now must be set at a resume.

    Raises:
        JobError: it died before it could write its pid; the message ends with its log.
    """
    paths = new_job(workspace, name, argv, what, environment)
    _start(workspace, paths, read_spec(paths))
    return paths


def new_job(workspace: Workspace, name: str, argv: Sequence[str], what: str, environment: Sequence[str]) -> JobPaths:
    """The folder of a job that somebody else starts; see `launch`."""
    paths = _new_folder(workspace, name)
    needed = tuple(variable for variable in environment if variable in os.environ)
    write_spec(paths, JobSpec(("-m", *argv), ".", needed, what, time.time()))
    return paths


def relaunch(workspace: Workspace, paths: JobPaths) -> None:
    """Start the same argv again in the same folder, as a new attempt.

    Raises:
        JobError: the job runs, or an environment variable it needs is not set.
    """
    if job_info(paths).state.is_alive:
        raise JobError(f"the job {paths.job_id} is running", hint=f"kagglerun logs -f {paths.job_id}")
    spec = read_spec(paths)
    missing = [variable for variable in spec.environment if variable not in os.environ]
    if missing:
        raise JobError(
            f"the job {paths.job_id} was started with {', '.join(missing)} set, and now it is not",
            hint=f"export {missing[0]}=...    then: kagglerun resume {paths.job_id}",
        )
    paths.stop.unlink(missing_ok=True)
    _start(workspace, paths, spec)


def _new_folder(workspace: Workspace, name: str) -> JobPaths:
    """A folder whose name nobody else has: mkdir decides."""
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "job"
    stem = f"{readable[:80]}-{time.strftime('%m%d-%H%M')}"
    workspace.jobs.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        paths = workspace.job(stem if number == 1 else f"{stem}-{number}")
        try:
            paths.folder.mkdir()
        except FileExistsError:
            number += 1
        else:
            return paths


def _start(workspace: Workspace, paths: JobPaths, spec: JobSpec) -> None:
    folder = workspace.root / spec.cwd
    if not folder.is_dir():
        raise JobError(f"the working folder {folder} of the job {paths.job_id} is gone")
    environment = {**os.environ, "KAGGLERUN_WORKSPACE": str(workspace.root), "PYTHONUNBUFFERED": "1"}
    read_fd, write_fd = os.pipe()
    try:
        with paths.log.open("ab") as log:
            said_before = log.tell()
            starter = subprocess.Popen(
                # -P: a file of the workspace must not stand in for a module of Python.
                [sys.executable, "-P", "-m", "kagglerun.jobs", str(paths.folder), str(write_fd)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=environment,
                pass_fds=(write_fd,),
            )
    finally:
        os.close(write_fd)
    starter.wait()
    _wait_until_ready(paths, read_fd, said_before)


def _wait_until_ready(paths: JobPaths, read_fd: int, said_before: int) -> None:
    """Read what the job says; the pipe ends when the job closes it or dies."""
    with os.fdopen(read_fd, "rb") as stream:
        answer = stream.read()
    if answer == READY:
        return
    if shutil.disk_usage(paths.folder).free < _LEAST_FREE_BYTES:
        raise DiskFull(f"the disk is full: the job {paths.job_id} could not start", hint="free some space, then again")
    with paths.log.open("rb") as log:
        log.seek(said_before if said_before <= log.seek(0, SEEK_END) else 0)  # another file, where the log was full
        said = log.read().decode("utf-8", errors="replace").splitlines()[-_LOG_LINES_IN_ERROR:]
    text = "\n".join(said) or "(it said nothing)"
    raise JobError(f"the job {paths.job_id} did not start:\n{text}", hint=f"kagglerun logs {paths.job_id}")
