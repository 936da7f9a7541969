"""Fetching what a notebook wrote: each file whole or not at all, and none outside the folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import requests

from kagglerun.errors import KaggleError
from kagglerun.files import atomic_path
from kagglerun.kaggle_api.client import KaggleClient
from kagglerun.kaggle_api.failures import as_error, seconds_before_retry
from kagglerun.kaggle_api.kernels import KIND, output_files
from kagglerun.kaggle_api.owned import about

_TRIES = 5
_CHUNK_BYTES = 1 << 20


def kernel_output(
    client: KaggleClient, ref: str, folder: Path, wanted: Callable[[str], bool] = lambda _name: True
) -> tuple[Path, ...]:
    """Fetch what a notebook's newest version wrote.

    Args:
        client: where it ran.
        ref: owner/slug.
        folder: where to.
        wanted: which files, by their names with forward slashes.

    Returns:
        The files.

    Raises:
        KaggleError: a name leads out of the folder, or a file could not be fetched.
    """
    fetched = []
    for name, address in sorted(output_files(client, ref).items()):
        if wanted(name):
            place = _inside(folder, name)
            _fetch(client, ref, address, place)
            fetched.append(place)
    return tuple(fetched)


def _inside(folder: Path, name: str) -> Path:
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\\" in name or "\0" in name:
        raise KaggleError(f"the notebook's output has a file {name!r}, which would lie outside {folder}")
    return folder.joinpath(*parts)


def _fetch(client: KaggleClient, ref: str, address: str, place: Path) -> None:
    """From its signed address; a transfer that breaks off is begun again."""
    asked = about(client, KIND, ref)
    for attempt in range(1, _TRIES + 1):
        try:
            _receive(client, address, place)
            return
        except requests.RequestException as error:
            wait = seconds_before_retry(error, attempt)
            if attempt == _TRIES or wait is None:
                raise as_error(error, asked) from None
            time.sleep(wait)


def _receive(client: KaggleClient, address: str, place: Path) -> None:
    with client.anonymous() as session, session.get(address, stream=True) as response:
        response.raise_for_status()
        with atomic_path(place, durable=False) as temporary:
            with temporary.open("wb") as file:
                count = sum(file.write(chunk) for chunk in response.iter_content(_CHUNK_BYTES))
            told = response.headers.get("Content-Length", "")
            if told.isdigit() and count != int(told) and "Content-Encoding" not in response.headers:
                raise requests.ConnectionError(f"{count} of {told} bytes")
