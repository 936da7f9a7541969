"""Calls about data sets, and the uploads of what they are made of."""

from __future__ import annotations

import re
import secrets
import zlib
from collections.abc import Iterator

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse

from kagglerun.practice import deposit_wire as wire
from kagglerun.practice.answers import page_of
from kagglerun.practice.deposits import Arrived, Deposit, Kind
from kagglerun.practice.host import USER, Host
from kagglerun.practice.routes import HostOf, absolute, authenticated
from kagglerun.practice.state import Upload
from kagglerun.practice.storage import signed_address, upload_address
from kagglerun.practice.wire import ApiError, StartUploadResponse

router = APIRouter(dependencies=[Depends(authenticated)])

_DATA_SETS = "/datasets.DatasetApiService"
_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_MAX_BYTES = 1 << 38
NO_COMPETITION = ""
"""Stands for the competition of an upload that is none's."""


@router.post("/blobs.BlobApiService/StartBlobUpload")
def start_blob_upload(message: wire.StartBlobUploadRequest, host: HostOf, request: Request) -> StartUploadResponse:
    """Announce a file of a data set or model; answers with the address to send it to."""
    if not 0 <= message.content_length <= _MAX_BYTES:
        raise ApiError(400, f"Content length {message.content_length} is not between 0 and {_MAX_BYTES}")
    upload = Upload(secrets.token_urlsafe(24), NO_COMPETITION, message.name or "file", message.content_length)
    host.store.add_upload(upload, host.clock())
    return StartUploadResponse(token=upload.token, create_url=absolute(request, upload_address(upload.token)))


def arrived(host: Host, content: wire.Content) -> list[Arrived]:
    """The uploaded files that a version shall consist of.

    Raises:
        ApiError: 400 when one was never announced or is not all there.
    """
    found = []
    for folder, file in _named(content.files, content.directories, ""):
        upload = host.store.upload(file.token or "")
        path = host.paths.upload(upload.token) if upload else None
        if upload is None or path is None or not path.is_file() or path.stat().st_size != upload.bytes:
            raise ApiError(400, "An uploaded file was not found or is not complete")
        found.append(Arrived(folder, upload.file_name, path))
    return found


def _named(
    files: tuple[wire.NewFile, ...], directories: tuple[wire.Directory, ...], folder: str
) -> Iterator[tuple[str, wire.NewFile]]:
    yield from ((folder, file) for file in files)
    for directory in directories:
        check_slug_like(directory.name, "folder")
        yield from _named(directory.files, directory.directories, f"{folder}{directory.name}/")


def check_slug_like(name: str, what: str) -> None:
    """Refuse a name that would be more than one part of a path.

    Raises:
        ApiError: 400.
    """
    if not name or name in (".", "..") or "/" in name or "\\" in name or "\0" in name:
        raise ApiError(400, f"{name!r} cannot be the name of a {what}")


def used_up(files: list[Arrived]) -> None:
    """Uploads that became part of a version are copied and no longer needed."""
    for file in files:
        file.path.unlink(missing_ok=True)


def check_ref(*parts: str) -> str:
    """owner/slug and the like, in the user's own name.

    Raises:
        ApiError: a part is no slug (400), or the owner is somebody else (403).
    """
    bad = next((part for part in parts if not _SLUG.fullmatch(part)), None)
    if bad is not None:
        raise ApiError(400, f"{bad!r} is not a slug")
    if parts[0] != USER:
        raise ApiError(403, f"You are {USER}, so nothing of {parts[0]} can be changed")
    return "/".join(parts)


@router.post(_DATA_SETS + "/CreateDataset")
def create_dataset(message: wire.CreateDatasetRequest, host: HostOf) -> wire.CreateDatasetResponse:
    """Make a data set."""
    ref = check_ref(message.owner_slug or USER, message.slug or "")
    if host.deposits.find(Kind.DATA_SET, ref) is not None:
        return wire.CreateDatasetResponse(
            status="error", error=f'The requested title "{message.title}" is already in use by a dataset.'
        )
    return _add(host, ref, message)


@router.post(_DATA_SETS + "/CreateDatasetVersion")
def create_dataset_version(message: wire.CreateDatasetVersionRequest, host: HostOf) -> wire.CreateDatasetResponse:
    """Make another version of a data set; what is not said anew stays."""
    ref = check_ref(message.owner_slug, message.dataset_slug)
    before = _dataset(host, message)
    said = {**before.about, **wire.about(message.body)}
    return _add(host, ref, message.body, said)


def _add(
    host: Host, ref: str, content: wire.Content, said: dict[str, object] | None = None
) -> wire.CreateDatasetResponse:
    files = arrived(host, content)
    if not files:
        return wire.CreateDatasetResponse(status="error", error="The dataset has no files")
    host.deposits.add(Kind.DATA_SET, ref, said or wire.about(content), files, host.clock())
    used_up(files)
    return wire.CreateDatasetResponse(ref=ref, url=_url(ref))


@router.post(_DATA_SETS + "/GetDatasetStatus")
def get_dataset_status(message: wire.DatasetRequest, host: HostOf) -> wire.DatasetStatus:
    """How far a data set is. Here it is ready at once."""
    _dataset(host, message)
    return wire.DatasetStatus(status="READY")


@router.post(_DATA_SETS + "/GetDataset")
def get_dataset(message: wire.DatasetRequest, host: HostOf) -> wire.Dataset:
    """One data set."""
    return _answer(host, _dataset(host, message))


@router.post(_DATA_SETS + "/GetDatasetMetadata")
def get_dataset_metadata(message: wire.DatasetRequest, host: HostOf) -> wire.DatasetMetadataResponse:
    """What is said of a data set."""
    found = _dataset(host, message)
    said = wire.DatasetInfo(
        dataset_id=number_of(found.ref),
        dataset_slug=found.slug,
        owner_user=found.owner,
        title=str(found.about.get("title", found.slug)),
        subtitle=str(found.about.get("subtitle", "")),
        description=str(found.about.get("description", "")),
        is_private=bool(found.about.get("is_private", True)),
        licenses=(wire.License(name=str(found.about.get("license_name", "other"))),),
    )
    return wire.DatasetMetadataResponse(info=said)


@router.post(_DATA_SETS + "/ListDatasets")
def list_datasets(message: wire.ListDatasetsRequest, host: HostOf) -> wire.ListDatasetsResponse:
    """One page of data sets: all are the user's own."""
    searched = (message.search or "").casefold()
    found = [one for one in host.deposits.newest(Kind.DATA_SET) if searched in one.ref.casefold()]
    page, token = page_of(found, message)
    return wire.ListDatasetsResponse(datasets=tuple(_answer(host, one) for one in page), next_page_token=token)


@router.post(_DATA_SETS + "/ListDatasetFiles")
def list_dataset_files(message: wire.DatasetPageRequest, host: HostOf) -> wire.ListDatasetFilesResponse:
    """One page of a data set's files."""
    found = _dataset(host, message)
    page, token = page_of(_files(found), message)
    return wire.ListDatasetFilesResponse(dataset_files=tuple(page), next_page_token=token)


@router.post(_DATA_SETS + "/DownloadDataset")
def download_dataset(message: wire.DatasetRequest, host: HostOf, request: Request) -> RedirectResponse:
    """Send the client to a data set's address, or to that of one file of it."""
    found = _dataset(host, message)
    place = f"/storage/deposits/{found.kind}/{found.ref}/{found.number}"
    if not message.file_name:
        return RedirectResponse(absolute(request, signed_address(host, f"{place}/archive.zip")), 302)
    if message.file_name not in {file.name for file in found.files}:
        raise ApiError(404, "Not found")
    return RedirectResponse(absolute(request, signed_address(host, f"{place}/files/{message.file_name}")), 302)


@router.post(_DATA_SETS + "/DeleteDataset")
def delete_dataset(message: wire.DatasetRequest, host: HostOf) -> dict[str, str]:
    """Delete a data set with all its versions."""
    if not host.deposits.remove(Kind.DATA_SET, check_ref(message.owner_slug, message.dataset_slug)):
        raise ApiError(404, "Not found")
    return {}


def _dataset(host: Host, message: wire.DatasetRequest) -> Deposit:
    """A data set; Kaggle says of one that is not there that it may not be seen."""
    ref = f"{message.owner_slug}/{message.dataset_slug}"
    found = host.deposits.find(Kind.DATA_SET, ref, message.dataset_version_number)
    if found is None:
        raise ApiError(403, "Permission 'datasets.get' was denied")
    return found


def _files(deposit: Deposit) -> list[wire.DatasetFile]:
    return [
        wire.DatasetFile(name=file.name, creation_date=deposit.time, total_bytes=file.bytes) for file in deposit.files
    ]


def _answer(host: Host, found: Deposit) -> wire.Dataset:
    return wire.Dataset(
        id=number_of(found.ref),
        ref=found.ref,
        title=str(found.about.get("title", found.slug)),
        subtitle=str(found.about.get("subtitle", "")),
        description=str(found.about.get("description", "")),
        creator_name=found.owner,
        owner_name=found.owner,
        owner_ref=found.owner,
        total_bytes=sum(file.bytes for file in found.files),
        url=_url(found.ref),
        last_updated=found.time,
        is_private=bool(found.about.get("is_private", True)),
        license_name=str(found.about.get("license_name", "other")),
        current_version_number=found.number,
        versions=tuple(
            wire.DatasetVersion(
                version_number=one.number,
                creation_date=one.time,
                creator_name=one.owner,
                version_notes=str(one.about.get("version_notes", "Initial release")),
            )
            for one in host.deposits.versions(Kind.DATA_SET, found.ref)
        ),
    )


def number_of(ref: str) -> int:
    """A number for who wants one; the same for the same name."""
    return zlib.crc32(ref.encode()) & 0x7FFFFFFF


def _url(ref: str) -> str:
    return f"https://www.kaggle.com/datasets/{ref}"
