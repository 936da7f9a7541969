"""Downloads of data sets, models and what notebooks wrote, at signed addresses; see `storage`."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import Response

from kagglerun.files import atomic_path
from kagglerun.practice.deposits import Deposit, Kind
from kagglerun.practice.host import Host
from kagglerun.practice.kernels import KernelRun
from kagglerun.practice.sending import FileAnswer, Stored
from kagglerun.practice.storage import Signed, signed_address
from kagglerun.practice.wire import ApiError

router = APIRouter()


def output_address(host: Host, run: KernelRun, name: str) -> str:
    """Signed address of a file that a notebook wrote."""
    return signed_address(host, f"/storage/kernels/{run.number}/{name}")


@router.api_route("/storage/kernels/{number}/{name:path}", methods=["GET", "HEAD"])
def get_output(number: int, name: str, signed: Signed) -> Response:
    """A file that a notebook wrote."""
    working = signed.host.paths.kernel_run(number).working
    return _answer(signed.host, signed.signature, _inside(working, name))


@router.api_route("/storage/deposits/{kind}/{owner}/{slug}/{number}/archive.zip", methods=["GET", "HEAD"])
def get_archive(kind: Kind, owner: str, slug: str, number: int, signed: Signed) -> Response:
    """All files of a data set as one zip."""
    deposit = _deposit(signed.host, kind, f"{owner}/{slug}", number)
    archive = signed.host.deposits.folder(deposit).with_suffix(".zip")
    if not archive.is_file():
        _pack_zip(signed.host.deposits.folder(deposit), archive)
    return _answer(signed.host, signed.signature, archive)


@router.api_route("/storage/deposits/{kind}/{owner}/{slug}/{number}/files/{name:path}", methods=["GET", "HEAD"])
def get_file(kind: Kind, owner: str, slug: str, number: int, name: str, signed: Signed) -> Response:
    """One file of a data set."""
    deposit = _deposit(signed.host, kind, f"{owner}/{slug}", number)
    return _answer(signed.host, signed.signature, _inside(signed.host.deposits.folder(deposit), name))


@router.api_route("/storage/models/{ref:path}/{number}/model.tar.gz", methods=["GET", "HEAD"])
def get_model(ref: str, number: int, signed: Signed) -> Response:
    """All files of a model's instance as one packed tar."""
    folder = signed.host.deposits.folder(_deposit(signed.host, Kind.INSTANCE, ref, number))
    archive = folder.with_name(f"{folder.name}.tar.gz")
    if not archive.is_file():
        with atomic_path(archive, durable=False) as temporary, tarfile.open(temporary, "w:gz") as packed:
            for path in sorted(folder.iterdir()):
                packed.add(path, path.name)
    return _answer(signed.host, signed.signature, archive)


def _pack_zip(folder: Path, archive: Path) -> None:
    with atomic_path(archive, durable=False) as temporary, zipfile.ZipFile(temporary, "w") as packed:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                packed.write(path, path.relative_to(folder).as_posix())


def _deposit(host: Host, kind: Kind, ref: str, number: int) -> Deposit:
    found = host.deposits.find(kind, ref, number)
    if found is None:
        raise ApiError(404, "Not found")
    return found


def _inside(folder: Path, name: str) -> Path:
    """A file of a folder; nothing outside it, not by a link either, which a notebook may have made."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        raise ApiError(404, "Not found")
    return path


def _answer(host: Host, signature: str, path: Path) -> Response:
    about = path.stat()
    etag = f"{about.st_mtime_ns:x}-{about.st_size:x}"
    return FileAnswer(Stored(path, etag, "application/octet-stream", "file", signature), host.faults)
