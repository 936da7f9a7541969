"""A whole sweep as a Ray job: its coordinator runs on the cluster, so the machine that sent it may be switched off."""

from __future__ import annotations

import logging
import shlex
import sys
import time

from kagglerun.errors import JobError
from kagglerun.jobs.cluster import (
    ClusterJob,
    is_over,
    printed_on_cluster,
    read_cluster_job,
    state_on_cluster,
    write_cluster_job,
)
from kagglerun.jobs.cluster_process import NOT_SHARED_EXIT_CODE
from kagglerun.jobs.control import job_info
from kagglerun.jobs.records import read_process
from kagglerun.sweep.ray.connection import package_folder, require_ray
from kagglerun.tracking import tracking_uri, without_password
from kagglerun.workspace import JobPaths, Workspace

START_SECONDS = 300.0
"""How long the cluster may take to start the process: it may have to make the runtime environment first."""
_POLL_SECONDS = 0.5
_LINES_IN_ERROR = 12
_MLFLOW_VARIABLE = "KAGGLERUN_MLFLOW_URI"


def submit(workspace: Workspace, paths: JobPaths, address: str) -> None:
    """Have a cluster run a job, and return once it has begun.

    Args:
        workspace: the workspace, which the cluster's head must see at the same path.
        paths: the job; it has a spec.
        address: of the cluster: `auto`, `host:port`, `ray://host:port`, or its jobs API, `http://host:8265`.

    Raises:
        JobError: the cluster does not answer, does not see the workspace, or the job died at once.
        ConfigError: Ray is not installed.
    """
    before = read_process(paths)
    attempt = before.attempt + 1 if before else 1
    job = _send(workspace, paths, address, f"kagglerun-{paths.job_id}-{attempt}-{time.time_ns() // 1_000_000:x}")
    write_cluster_job(paths, job)
    _wait_until_begun(workspace, paths, job, attempt)


def submit_again(workspace: Workspace, paths: JobPaths) -> None:
    """Have the cluster go on with a job that it ran before.

    Raises:
        JobError: the job runs; else as `submit`.
    """
    job = read_cluster_job(paths)
    assert job is not None, "it ran on a cluster before"
    if job_info(paths).state.is_alive:
        raise JobError(f"the job {paths.job_id} is running", hint=f"kagglerun logs -f {paths.job_id}")
    paths.stop.unlink(missing_ok=True)
    submit(workspace, paths, job.url)


def _send(workspace: Workspace, paths: JobPaths, address: str, submission: str) -> ClusterJob:
    require_ray()
    from ray.job_submission import JobSubmissionClient

    logging.getLogger("ray").setLevel(logging.ERROR)
    try:
        client = JobSubmissionClient(address)
        client.submit_job(
            entrypoint=_command(workspace, paths),
            submission_id=submission,
            runtime_env={
                "py_modules": [package_folder()],
                "env_vars": _environment(workspace),
                "excludes": ["**/__pycache__"],
            },
            metadata={"kagglerun": paths.job_id},
        )
        return ClusterJob(client.get_address().rstrip("/"), submission)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise JobError(
            f"the Ray cluster at {address!r} does not take the job: {str(error).strip().splitlines()[0]}",
            hint="its jobs API answers at the dashboard's address: --ray http://HOST:8265",
        ) from error


def _command(workspace: Workspace, paths: JobPaths) -> str:
    """What the cluster's shell runs: with this Python where the head has it too, else with its own."""
    arguments = shlex.join(["-P", "-m", "kagglerun.jobs.cluster_process", str(paths.folder), str(workspace.root)])
    return f'P={shlex.quote(sys.executable)}; [ -x "$P" ] || P=python; exec "$P" {arguments}'


def _environment(workspace: Workspace) -> dict[str, str]:
    """MLflow's address, unless it holds a password: what a Ray job gets can be read in Ray's dashboard."""
    uri = tracking_uri(workspace)
    return {_MLFLOW_VARIABLE: uri} if not uri.startswith("sqlite:") and without_password(uri) == uri else {}


def _wait_until_begun(workspace: Workspace, paths: JobPaths, job: ClusterJob, attempt: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        process = read_process(paths)
        if process is not None and process.attempt >= attempt:
            return
        if is_over(job):
            raise _did_not_begin(workspace, paths, job, state_on_cluster(job)[1])
        time.sleep(_POLL_SECONDS)
    raise JobError(
        f"the cluster has not started the job {paths.job_id} within {START_SECONDS:.0f} s",
        hint=f"kagglerun logs -f {paths.job_id}    or see {job.url}",
    )


def _did_not_begin(workspace: Workspace, paths: JobPaths, job: ClusterJob, message: str) -> JobError:
    if f"code {NOT_SHARED_EXIT_CODE}" in message:
        return JobError(
            f"the cluster's head does not see the workspace {workspace.root}; a sweep that is sent there needs one on "
            "storage that both share",
            hint="leave out --ray-submit: `--ray ADDRESS` sends data to the nodes and fetches the runs",
        )
    said = "\n".join((printed_on_cluster(job) or message).splitlines()[-_LINES_IN_ERROR:])
    return JobError(f"the job {paths.job_id} did not start on the cluster:\n{said}", hint=f"see {job.url}")
