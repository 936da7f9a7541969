"""Notebooks ("kernels" in Kaggle's API) that were pushed: watched, their logs and what they wrote told, submitted."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from kagglerun.errors import ConnectionFailed, KaggleError, KernelFailed, RateLimited
from kagglerun.kaggle_api.client import KaggleClient
from kagglerun.kaggle_api.owned import ask_owned
from kagglerun.kaggle_api.refusals import Asked

KIND = "notebook"
_FIRST_POLL_SECONDS, _LONGEST_POLL_SECONDS = 0.5, 60.0


class KernelState(StrEnum):
    """How far the run of a notebook is."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"
    CANCELLED = "cancelled"


_STATES = {
    "QUEUED": KernelState.QUEUED,
    "NEW_SCRIPT": KernelState.QUEUED,
    "RUNNING": KernelState.RUNNING,
    "COMPLETE": KernelState.COMPLETE,
    "ERROR": KernelState.FAILED,
    "CANCEL_REQUESTED": KernelState.CANCELLED,
    "CANCEL_ACKNOWLEDGED": KernelState.CANCELLED,
}


@dataclass(frozen=True)
class KernelVersion:
    """A version of a notebook.

    Attributes:
        ref: owner/slug.
        version: the version, counted from 1.
        pushed: whether it was sent now; False when it was there already.
    """

    ref: str
    version: int
    pushed: bool = True


@dataclass(frozen=True)
class KernelStatus:
    """How the run of a notebook's newest version is.

    Attributes:
        state: how far it is.
        failure: why it failed, where the server says so.
    """

    state: KernelState
    failure: str | None = None


def kernel_status(client: KaggleClient, ref: str) -> KernelStatus:
    """How the run of a notebook's newest version is.

    Raises:
        KaggleError: there is no such notebook, or the server could not be asked.
    """
    from kagglesdk.kernels.types.kernels_api_service import ApiGetKernelSessionStatusRequest

    request = ApiGetKernelSessionStatusRequest()
    request.user_name, request.kernel_slug = ref.split("/")
    said = ask_owned(
        client, KIND, ref, lambda kaggle: kaggle.kernels.kernels_api_client.get_kernel_session_status(request)
    )
    return KernelStatus(_STATES.get(said.status.name, KernelState.RUNNING), said.failure_message or None)


def wait_for_kernel(
    client: KaggleClient,
    ref: str,
    timeout_seconds: float,
    waiting: Callable[[float, KernelState], None] | None = None,
) -> KernelStatus:
    """Wait until the run of a notebook's newest version is over.

    Args:
        client: where it runs.
        ref: owner/slug.
        timeout_seconds: how long to wait at most.
        waiting: told the seconds waited so far and how far it is, before each further wait.

    Returns:
        How it ended; how it was when the time was over.

    Raises:
        ConnectionFailed, RateLimited: the server could not be asked until the time was over.
    """
    begin, pause = time.monotonic(), _FIRST_POLL_SECONDS
    state = KernelState.QUEUED
    while True:
        waited = time.monotonic() - begin
        try:
            status = kernel_status(client, ref)
            state = status.state
            if state not in (KernelState.QUEUED, KernelState.RUNNING) or waited >= timeout_seconds:
                return status
        except (ConnectionFailed, RateLimited):
            if waited >= timeout_seconds:
                raise
        if waiting:
            waiting(waited, state)
        time.sleep(min(pause, max(0.0, timeout_seconds - waited)))
        pause = min(pause * 1.4, _LONGEST_POLL_SECONDS)


def require_complete(client: KaggleClient, version: KernelVersion, status: KernelStatus, log_lines: int = 15) -> None:
    """Nothing, where a notebook's run is complete.

    Raises:
        KernelFailed: it failed, was cancelled or still runs; with the end of its log.
    """
    if status.state is KernelState.COMPLETE:
        return
    where = f"the notebook {version.ref}, version {version.version}"
    if status.state in (KernelState.QUEUED, KernelState.RUNNING):
        raise KernelFailed(f"{where}, is still {status.state}", hint="run the same command again: it goes on waiting")
    lines = kernel_log(client, version.ref).splitlines()
    last = "\n".join(f"  {line}" for line in lines[-log_lines:])
    why = f" ({status.failure.splitlines()[0]})" if status.failure else ""
    raise KernelFailed(
        f"{where}, {status.state}{why}" + (f"; its log ends so:\n{last}" if last else ""),
        hint=f"all of it: kaggle kernels logs {version.ref}",
    )


def kernel_log(client: KaggleClient, ref: str) -> str:
    """What a notebook's newest version printed, as text."""
    return log_text(_output_page(client, ref, "").log or "")


def log_text(log: str) -> str:
    """The text in a log as Kaggle keeps it, a list of {stream_name, time, data}; another form stays as it is."""
    try:
        return "".join(str(event["data"]) for event in json.loads(log))
    except (ValueError, KeyError, TypeError):
        return log


def _output_page(client: KaggleClient, ref: str, token: str) -> Any:
    from kagglesdk.kernels.types.kernels_api_service import ApiListKernelSessionOutputRequest

    request = ApiListKernelSessionOutputRequest()
    request.user_name, request.kernel_slug = ref.split("/")
    request.page_size = 200
    if token:
        request.page_token = token
    return ask_owned(
        client, KIND, ref, lambda kaggle: kaggle.kernels.kernels_api_client.list_kernel_session_output(request)
    )


def output_files(client: KaggleClient, ref: str) -> dict[str, str]:
    """Signed addresses of what a notebook's newest version wrote, by name.

    Raises:
        KaggleError: there is no such notebook, or the server could not be asked.
    """
    found: dict[str, str] = {}
    token = ""
    while True:
        page = _output_page(client, ref, token)
        found |= {str(file.file_name): str(file.url) for file in page.files or ()}
        if not page.next_page_token or page.next_page_token == token:
            return found
        token = page.next_page_token


def submit_kernel(client: KaggleClient, slug: str, kernel: KernelVersion, file_name: str, description: str) -> int:
    """Enter a version of a notebook as a submission. Never repeated: a lost reply may have spent the slot.

    Args:
        client: where the competition is.
        slug: the competition.
        kernel: the notebook; its run is complete.
        file_name: what it writes.
        description: the message shown beside it.

    Returns:
        The submission's number; 0 when the server does not say.

    Raises:
        ConnectionFailed: it is not known whether a submission was made.
        AllowanceUsedUp, RulesNotAccepted, KaggleError: the server refused.
    """
    from kagglesdk.competitions.types.competition_api_service import ApiCreateCodeSubmissionRequest

    request = ApiCreateCodeSubmissionRequest()
    request.competition_name = slug
    request.kernel_owner, request.kernel_slug = kernel.ref.split("/")
    request.kernel_version = kernel.version
    request.file_name = file_name
    request.submission_description = description
    official = client.official()
    said = client.ask(
        Asked(slug, client.endpoint, client.credentials),
        lambda: official.competitions.competition_api_client.create_code_submission(request),
        tries=1,
    )
    if not said.ref and said.message and "success" not in said.message.lower():
        raise KaggleError(f"{slug}: {said.message}")
    return int(said.ref or 0)
