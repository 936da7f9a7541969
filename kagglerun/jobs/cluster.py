"""Jobs whose process runs on a Ray cluster that shares the workspace.

All but the process is as for every job: its folder holds spec, status, log and the request to stop. The cluster is
asked over HTTP, by Ray's jobs API, and only where the files do not say enough; Ray itself is not imported here.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

from kagglerun.errors import JobError
from kagglerun.files import read_json, write_json, write_text
from kagglerun.jobs.records import JobState, read_status, write_status
from kagglerun.workspace import JobPaths

_SECONDS = 10.0
_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class ClusterJob:
    """Where a job's last attempt runs.

    Attributes:
        url: address of the cluster's jobs API, e.g. http://127.0.0.1:8265.
        submission: Ray's name of it.
    """

    url: str
    submission: str


def write_cluster_job(paths: JobPaths, job: ClusterJob) -> None:
    """Write down where a job runs."""
    write_json(paths.cluster, asdict(job))


def read_cluster_job(paths: JobPaths) -> ClusterJob | None:
    """Where a job runs; None for one of this machine."""
    return ClusterJob(**read_json(paths.cluster)) if paths.cluster.is_file() else None


def ask_to_end(paths: JobPaths, job: ClusterJob, now: bool) -> None:
    """Ask a job on a cluster to end; its heartbeat finds the request in its folder.

    Args:
        paths: the job.
        job: where it runs.
        now: have the cluster end it as well, without waiting for a checkpoint.

    Raises:
        JobError: the cluster does not answer; only with `now`.
    """
    write_text(paths.stop, "")
    if not now:
        return
    _request(job, "/stop", method="POST")
    deadline = time.monotonic() + _SECONDS
    while not is_over(job) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    status = read_status(paths)
    if status is not None and status.state is JobState.RUNNING and is_over(job):
        # It had no time for a last word, and its process cannot be seen from here.
        write_status(paths, replace(status, state=JobState.STOPPED, exit_code=130), durable=True)


def is_over(job: ClusterJob) -> bool:
    """Whether Ray says that a job has ended.

    Raises:
        JobError: the cluster does not answer.
    """
    return state_on_cluster(job)[0] in ("SUCCEEDED", "FAILED", "STOPPED")


def state_on_cluster(job: ClusterJob) -> tuple[str, str]:
    """Ray's own word for its state (PENDING, RUNNING, SUCCEEDED, FAILED, STOPPED) and its message.

    Raises:
        JobError: the cluster does not answer.
    """
    said = _request(job, "")
    return str(said.get("status")), str(said.get("message") or "")


def printed_on_cluster(job: ClusterJob) -> str:
    """What the process printed before it could write into the job's folder.

    Raises:
        JobError: the cluster does not answer.
    """
    return str(_request(job, "/logs").get("logs", ""))


def _request(job: ClusterJob, path: str, method: str = "GET") -> dict[str, Any]:
    import urllib.error  # here, since every list of jobs imports this module
    import urllib.request

    if not job.url.startswith(("http://", "https://")):
        raise JobError(f"{job.url} is no address of a Ray cluster", hint="for example http://127.0.0.1:8265")
    request = urllib.request.Request(  # noqa: S310
        f"{job.url}/api/jobs/{job.submission}{path}", method=method, data=b"" if method == "POST" else None
    )
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
            said: dict[str, Any] = json.loads(answer.read())
            return said
    except urllib.error.HTTPError as error:
        raise JobError(f"the Ray cluster at {job.url} does not know {job.submission}: HTTP {error.code}") from None
    except (OSError, ValueError) as error:
        raise JobError(f"the Ray cluster at {job.url} does not answer: {error}") from error
