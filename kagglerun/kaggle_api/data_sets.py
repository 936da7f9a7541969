"""Data sets of the user's own: uploaded from a folder, found again by their digest, waited for until they are ready."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kagglerun.errors import ConnectionFailed, KaggleError, UploadFailed
from kagglerun.files import read_json, sha256_of_file, sha256_of_json
from kagglerun.kaggle_api.client import KaggleClient
from kagglerun.kaggle_api.owned import NotThere, about, ask_owned, user_of
from kagglerun.kaggle_api.uploading import upload_file

DATA_SET_METADATA = "dataset-metadata.json"
READY_SECONDS = 3600.0
_READ_BACK_SECONDS = (0.0, 2.0, 5.0, 10.0)
_FIRST_POLL_SECONDS, _LONGEST_POLL_SECONDS = 0.5, 20.0
_KIND = "data set"


@dataclass(frozen=True)
class DataSetVersion:
    """A data set that is ready.

    Attributes:
        ref: owner/slug.
        version: the version, counted from 1.
        uploaded: whether it was sent now; False when it was there already.
    """

    ref: str
    version: int
    uploaded: bool


def push_data_set(
    client: KaggleClient,
    folder: Path,
    tell: Callable[[str], None] | None = None,
    timeout_seconds: float = READY_SECONDS,
) -> DataSetVersion:
    """Upload a folder as a data set, or as a new version of it, and wait until it is ready.

    The digest of its files stands in its subtitle, so that the same files are not sent twice, whoever sent them.

    Args:
        client: where to.
        folder: dataset-metadata.json (id, title, licenses) and the files, in folders too.
        tell: takes one line for each step.
        timeout_seconds: how long to wait until the server has taken it apart.

    Raises:
        UploadFailed: a file did not arrive; no version was made.
        KaggleError: the server refused, could not be reached, or did not get it ready.
    """
    say = tell or (lambda _: None)
    said = read_json(folder / DATA_SET_METADATA)
    ref = f"{user_of(client)}/{str(said['id']).split('/')[-1]}"
    files = files_of(folder)
    mark = mark_of(folder, files)
    found = _find(client, ref)
    uploaded = found is None or mark not in str(found.subtitle)
    if uploaded:
        total = sum((folder / name).stat().st_size for name in files)
        say(f"uploading {len(files)} files, {total / 1e6:.1f} MB, as the data set {ref}")
        content = _Content(said, mark, _upload(client, ref, folder, files))
        found = _create(client, ref, content) if found is None else _add_version(client, ref, content)
    assert found is not None
    _wait_until_ready(client, ref, timeout_seconds)
    return DataSetVersion(ref, int(found.current_version_number or 1), uploaded)


def files_of(folder: Path) -> list[str]:
    """The files that are uploaded, by name with forward slashes, sorted."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in found if name != DATA_SET_METADATA)


def mark_of(folder: Path, files: Sequence[str]) -> str:
    """What the subtitle of a data set with these files contains."""
    return f"sha256:{sha256_of_json([[name, sha256_of_file(folder / name)] for name in files])[:16]}"


@dataclass(frozen=True)
class _Content:
    """What a version is made of: its description, its mark, and tokens of the uploaded files by name."""

    said: dict[str, Any]
    mark: str
    tokens: dict[str, str]

    @property
    def subtitle(self) -> str:
        """Kaggle takes 20 to 80 characters."""
        return f"made by kagglerun, {self.mark}"

    def fill(self, request: Any) -> Any:
        """Put the files, in their folders, and the subtitle into a request of the official client."""
        request.subtitle = self.subtitle
        request.files = [_new_file(token) for name, token in self.tokens.items() if "/" not in name]
        request.directories = _directories(self.tokens)
        return request


def _new_file(token: str) -> Any:
    from kagglesdk.datasets.types.dataset_api_service import ApiDatasetNewFile

    file = ApiDatasetNewFile()
    file.token = token
    return file


def _directories(tokens: dict[str, str]) -> list[Any]:
    """The folders of `tokens` as the official client sends them, one inside the other."""
    from kagglesdk.datasets.types.dataset_api_service import ApiUploadDirectoryInfo

    inside: dict[str, dict[str, str]] = {}
    for name, token in tokens.items():
        first, separator, rest = name.partition("/")
        if separator:
            inside.setdefault(first, {})[rest] = token
    found = []
    for name, children in inside.items():
        directory = ApiUploadDirectoryInfo()
        directory.name = name
        directory.files = [_new_file(token) for child, token in children.items() if "/" not in child]
        directory.directories = _directories(children)
        found.append(directory)
    return found


def _upload(client: KaggleClient, ref: str, folder: Path, files: Sequence[str]) -> dict[str, str]:
    """Tokens of the files by name, once all have arrived."""
    return {name: _upload_one(client, ref, folder / name) for name in files}


def _upload_one(client: KaggleClient, ref: str, path: Path) -> str:
    from kagglesdk.blobs.types.blob_api_service import ApiBlobType, ApiStartBlobUploadRequest

    request = ApiStartBlobUploadRequest()
    request.type = ApiBlobType.DATASET
    request.name = path.name
    request.content_length = path.stat().st_size
    request.last_modified_epoch_seconds = int(path.stat().st_mtime)
    nothing = f"no version of {ref} was made"
    try:
        started = ask_owned(client, _KIND, ref, lambda kaggle: kaggle.blobs.blob_api_client.start_blob_upload(request))
    except ConnectionFailed as error:
        raise UploadFailed(f"{error.message}; {nothing}", hint=error.hint) from None
    upload_file(client.anonymous(), path, started.create_url, nothing)
    return str(started.token)


def _create(client: KaggleClient, ref: str, content: _Content) -> Any:
    from kagglesdk.datasets.types.dataset_api_service import ApiCreateDatasetRequest

    request = content.fill(ApiCreateDatasetRequest())
    request.owner_slug, request.slug = ref.split("/")
    request.title = str(content.said.get("title", request.slug))
    request.license_name = str((content.said.get("licenses") or [{"name": "other"}])[0]["name"])
    request.is_private = True
    return _made(client, ref, content, lambda kaggle: kaggle.datasets.dataset_api_client.create_dataset(request))


def _add_version(client: KaggleClient, ref: str, content: _Content) -> Any:
    from kagglesdk.datasets.types.dataset_api_service import (
        ApiCreateDatasetVersionRequest,
        ApiCreateDatasetVersionRequestBody,
    )

    request = ApiCreateDatasetVersionRequest()
    request.owner_slug, request.dataset_slug = ref.split("/")
    request.body = content.fill(ApiCreateDatasetVersionRequestBody())
    request.body.version_notes = content.mark
    return _made(
        client, ref, content, lambda kaggle: kaggle.datasets.dataset_api_client.create_dataset_version(request)
    )


def _made(client: KaggleClient, ref: str, content: _Content, call: Callable[[Any], Any]) -> Any:
    """Make a version, once: after a lost reply it is looked for by its mark.

    Returns:
        The data set as the server has it then.
    """
    lost: ConnectionFailed | None = None
    try:
        said = ask_owned(client, _KIND, ref, call, tries=1)
        if said.error or (said.status or "ok").lower() != "ok":
            server = about(client, _KIND, ref).server
            raise KaggleError(f"{server} did not take the data set {ref}: {said.error or said.status}")
    except ConnectionFailed as error:
        lost = error
    for wait in _READ_BACK_SECONDS:
        time.sleep(wait)
        found = _find(client, ref)
        if found is not None and content.mark in str(found.subtitle):
            return found
    if lost is not None:
        raise lost
    raise KaggleError(f"{ref} was sent, but is not there yet", hint="run the same command again in a few minutes")


def _find(client: KaggleClient, ref: str) -> Any:
    """The data set as the server has it; None where there is none."""
    from kagglesdk.datasets.types.dataset_api_service import ApiGetDatasetRequest

    request = ApiGetDatasetRequest()
    request.owner_slug, request.dataset_slug = ref.split("/")
    try:
        return ask_owned(client, _KIND, ref, lambda kaggle: kaggle.datasets.dataset_api_client.get_dataset(request))
    except NotThere:
        return None


def _wait_until_ready(client: KaggleClient, ref: str, timeout_seconds: float) -> None:
    from kagglesdk.datasets.types.dataset_api_service import ApiGetDatasetStatusRequest

    request = ApiGetDatasetStatusRequest()
    request.owner_slug, request.dataset_slug = ref.split("/")
    begin, pause = time.monotonic(), _FIRST_POLL_SECONDS
    while True:
        said = ask_owned(
            client, _KIND, ref, lambda kaggle: kaggle.datasets.dataset_api_client.get_dataset_status(request)
        )
        state = said.status.name
        if state == "READY":
            return
        if state in ("FAILED", "DELETED"):
            raise KaggleError(f"the data set {ref} could not be processed ({state.lower()})", hint="send it again")
        if time.monotonic() - begin > timeout_seconds:
            raise KaggleError(
                f"the data set {ref} is not ready after {timeout_seconds:.0f} s ({state.lower()})",
                hint="run the same command again later: it goes on from there",
            )
        time.sleep(pause)
        pause = min(pause * 1.6, _LONGEST_POLL_SECONDS)
