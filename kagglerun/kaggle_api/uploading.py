"""Sending a file to a signed address, in the place of the official upload, which prints its errors and returns them."""

from __future__ import annotations

import time
from pathlib import Path

import requests

from kagglerun.errors import UploadFailed
from kagglerun.kaggle_api.failures import seconds_before_retry
from kagglerun.kaggle_api.transport import Session

COMPLETE = 1  # kaggle's ResumableUploadResult.COMPLETE
_TRIES = 3


def upload_file(session: Session, file: Path, url: str, consequence: str = "no submission was made") -> int:
    """Upload a file in one piece; a try that fails is repeated.

    Args:
        session: without credentials, since the address is signed.
        file: the file.
        url: where to.
        consequence: what it means when it does not arrive, for the message.

    Returns:
        What the official client takes for a complete upload.

    Raises:
        UploadFailed: it did not arrive.
    """
    for attempt in range(1, _TRIES + 1):
        try:
            return _put(session, url, file)
        except requests.RequestException as error:
            wait = seconds_before_retry(error, attempt)
            if attempt == _TRIES or wait is None:
                raise _failed(error, file, consequence) from None
            time.sleep(wait)
    raise AssertionError("the last try returns or raises")


def _put(session: Session, url: str, file: Path) -> int:
    """Upload in one piece, as the official client does: a type of content would not fit the address's signature."""
    with file.open("rb") as content:
        response = session.put(url, data=content, headers={"Content-Type": None})
    if response.status_code not in (200, 201):
        raise requests.HTTPError("not accepted", response=response)
    return COMPLETE


def _failed(error: requests.RequestException, file: Path, consequence: str) -> UploadFailed:
    status = f" (status {error.response.status_code})" if error.response is not None else ""
    return UploadFailed(
        f"{file.name} could not be uploaded{status}; {consequence}",
        hint="check the network, then run the same command again",
    )
