"""Data sets and notebooks of the user's own: pushed once, whatever goes wrong, and fetched back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from kagglerun.errors import ConnectionFailed, KaggleError, KernelFailed, UploadFailed
from kagglerun.kaggle_api import data_sets, kernel_push
from kagglerun.kaggle_api.data_sets import push_data_set
from kagglerun.kaggle_api.kernel_output import kernel_output
from kagglerun.kaggle_api.kernel_push import push_kernel
from kagglerun.kaggle_api.kernels import KernelState, kernel_log, kernel_status, log_text, wait_for_kernel
from kagglerun.practice.deposits import Deposits, Kind
from kagglerun.practice.faults import read_fault
from kagglerun.practice.kernels import Kernels
from kagglerun.practice.paths import PracticePaths
from kagglerun.practice.server import Server, ensure_running, set_faults, stop
from kagglerun.workspace import Workspace
from tests.local_kaggle import Reply, ScriptedKaggle, practice_client


@pytest.fixture(scope="module")
def hosting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A workspace whose practice server runs for all tests here."""
    found = Workspace(tmp_path_factory.mktemp("hosting"))
    ensure_running(found)
    yield found
    stop(found)


@pytest.fixture
def server(hosting: Workspace) -> Iterator[Server]:
    """The server, which has forgotten what other tests left."""
    yield (running := ensure_running(hosting))
    set_faults(running, [])
    paths = PracticePaths(hosting.practice)
    Deposits(paths).remove(Kind.DATA_SET, "practice/package-of-mine")
    Kernels(paths.database).remove("practice/one-of-mine")


@pytest.fixture
def workspace(hosting: Workspace) -> Workspace:
    """The server's workspace."""
    return hosting


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (data_sets, kernel_push):
        monkeypatch.setattr(module, "_READ_BACK_SECONDS", (0.0, 0.0))


def write_data_set(folder: Path) -> Path:
    (folder / "members" / "run-1").mkdir(parents=True)
    (folder / "members" / "run-1" / "weights.bin").write_bytes(bytes(range(256)))
    (folder / "empty.txt").write_bytes(b"")
    (folder / "a.json").write_text("{}")
    about = {"title": "package of mine", "id": "INSERT_YOUR_USER_NAME/package-of-mine", "licenses": [{"name": "other"}]}
    (folder / "dataset-metadata.json").write_text(json.dumps(about))
    return folder


def write_kernel(folder: Path, source: str = "print(1)", **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "outputs": [], "execution_count": None, "source": [source]}
    (folder / "k.ipynb").write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    said = {"id": "INSERT_YOUR_USER_NAME/one-of-mine", "title": "one-of-mine", "code_file": "k.ipynb"}
    said |= {"language": "python", "kernel_type": "notebook", "enable_internet": False}
    (folder / "kernel-metadata.json").write_text(json.dumps({**said, **changes}))
    return folder


def versions(workspace: Workspace) -> int:
    found = Kernels(PracticePaths(workspace.practice).database).version("practice/one-of-mine")
    return found.number if found else 0


def data_set_versions(workspace: Workspace) -> int:
    return len(Deposits(PracticePaths(workspace.practice)).versions(Kind.DATA_SET, "practice/package-of-mine"))


def test_a_data_set_keeps_its_folders_and_the_same_files_are_sent_once(
    server: Server, workspace: Workspace, tmp_path: Path
) -> None:
    client, folder = practice_client(workspace), write_data_set(tmp_path / "d")
    assert server
    first = push_data_set(client, folder)
    assert (first.ref, first.version, first.uploaded) == ("practice/package-of-mine", 1, True)
    place = PracticePaths(workspace.practice).deposit("dataset", first.ref, 1)
    assert (place / "members" / "run-1" / "weights.bin").read_bytes() == bytes(range(256))
    assert (place / "empty.txt").read_bytes() == b""
    again = push_data_set(practice_client(workspace), folder)
    assert (again.version, again.uploaded) == (1, False)
    (folder / "a.json").write_text("[]")
    assert push_data_set(client, folder).version == 2


@pytest.mark.long
@pytest.mark.parametrize(
    "fault",
    [
        "api-break@CreateDataset",
        "api-error=503@CreateDataset",
        "api-lost@CreateDataset",
        "api-lost-error@CreateDataset",
        "api-lost-html@CreateDataset",
        "upload-break",
        "upload-error=503",
        "upload-lost",
        "api-break@StartBlobUpload",
        "api-error=500@StartBlobUpload*2",
        "api-break@GetDatasetStatus",
        "api-html@GetDataset",
    ],
)
def test_a_data_set_is_made_once_and_the_same_command_ends_well(
    server: Server, workspace: Workspace, tmp_path: Path, fault: str
) -> None:
    client, folder = practice_client(workspace), write_data_set(tmp_path / "d")
    set_faults(server, [read_fault(fault)])
    try:
        push_data_set(client, folder)
    except KaggleError:
        assert push_data_set(client, folder).version == 1
    assert data_set_versions(workspace) == 1


def test_a_file_that_does_not_arrive_makes_no_version(
    server: Server, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert server
    monkeypatch.setattr("kagglerun.kaggle_api.uploading._put", _refuse)
    with pytest.raises(UploadFailed, match="no version of practice/package-of-mine was made"):
        push_data_set(practice_client(workspace), write_data_set(tmp_path / "d"))
    assert data_set_versions(workspace) == 0


def _refuse(*_: object) -> int:
    response = requests.Response()
    response.status_code = 403
    raise requests.HTTPError("no", response=response)


def test_the_same_notebook_is_pushed_once_and_another_one_again(
    server: Server, workspace: Workspace, tmp_path: Path
) -> None:
    assert server
    client, folder, memory = practice_client(workspace), write_kernel(tmp_path / "k"), tmp_path / "pushed.json"
    assert push_kernel(client, folder, memory=memory).pushed
    again = push_kernel(practice_client(workspace), folder, memory=memory)
    assert (again.version, again.pushed) == (1, False)
    assert push_kernel(client, folder, memory=memory, depends="other data").version == 2
    assert push_kernel(client, write_kernel(folder, "print(2)"), memory=memory, depends="other data").version == 3
    assert push_kernel(client, folder).version == 4, "nothing is remembered without a memory"


@pytest.mark.long
@pytest.mark.parametrize("fault", ["api-break@SaveKernel", "api-error=502@SaveKernel", "api-html@SaveKernel"])
def test_a_notebook_that_did_not_arrive_is_pushed_by_the_same_command(
    server: Server, workspace: Workspace, tmp_path: Path, fault: str
) -> None:
    client, folder, memory = practice_client(workspace), write_kernel(tmp_path / "k"), tmp_path / "pushed.json"
    set_faults(server, [read_fault(fault)])
    with pytest.raises(ConnectionFailed):
        push_kernel(client, folder, memory=memory)
    assert push_kernel(client, folder, memory=memory).version == 1
    assert versions(workspace) == 1


@pytest.mark.long
@pytest.mark.parametrize("fault", ["api-lost@SaveKernel", "api-lost-half@SaveKernel", "api-lost-error@SaveKernel"])
def test_a_push_whose_answer_was_lost_is_read_back(
    server: Server, workspace: Workspace, tmp_path: Path, fault: str
) -> None:
    client, folder, memory = practice_client(workspace), write_kernel(tmp_path / "k"), tmp_path / "pushed.json"
    set_faults(server, [read_fault(fault)])
    assert push_kernel(client, folder, memory=memory).version == 1
    assert push_kernel(client, folder, memory=memory).version == versions(workspace) == 1


def test_a_process_that_was_killed_after_its_push_finds_it_again(
    server: Server, workspace: Workspace, tmp_path: Path
) -> None:
    assert server
    client, folder, memory = practice_client(workspace), write_kernel(tmp_path / "k"), tmp_path / "pushed.json"
    push_kernel(client, folder, memory=memory)
    kept = json.loads(memory.read_text())
    memory.write_text(json.dumps({**kept, "state": "pushing", "version": 0}))  # as a kill before the last write left it
    again = push_kernel(client, folder, memory=memory)
    assert (again.version, again.pushed, versions(workspace)) == (1, False, 1)


def test_an_input_that_is_not_there_is_an_error(server: Server, workspace: Workspace, tmp_path: Path) -> None:
    assert server
    client = practice_client(workspace)
    folder = write_kernel(tmp_path / "k", dataset_sources=["INSERT_YOUR_USER_NAME/none-here"])
    with pytest.raises(KernelFailed, match="without an input that it needs: practice/none-here"):
        push_kernel(client, folder)


def test_a_notebook_that_is_not_there_is_named(server: Server, workspace: Workspace) -> None:
    assert server
    with pytest.raises(KaggleError, match="there is no notebook practice/none-here"):
        kernel_status(practice_client(workspace), "practice/none-here")


@pytest.mark.long
@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed: make system")
def test_what_a_notebook_wrote_and_printed_is_fetched(server: Server, workspace: Workspace, tmp_path: Path) -> None:
    assert server
    source = (
        "import pathlib\npathlib.Path('deep').mkdir()\npathlib.Path('deep/x.bin').write_bytes(b'x' * 3)\nprint('y')"
    )
    client = practice_client(workspace)
    pushed = push_kernel(client, write_kernel(tmp_path / "k", source))
    waits: list[KernelState] = []
    status = wait_for_kernel(client, pushed.ref, 120, lambda _seconds, state: waits.append(state))
    assert status.state is KernelState.COMPLETE and waits
    fetched = kernel_output(client, pushed.ref, tmp_path / "out")
    assert fetched == (tmp_path / "out" / "deep" / "x.bin",) and fetched[0].read_bytes() == b"xxx"
    assert kernel_log(client, pushed.ref).strip() == "y"


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "..\\evil"])
def test_output_cannot_be_written_outside_its_folder(name: str, tmp_path: Path) -> None:
    scripted = ScriptedKaggle()
    files = [{"fileName": name, "url": f"{scripted.url}/x"}]
    scripted.answers["ListKernelSessionOutput"] = Reply(200, {"files": files, "log": ""})
    scripted.answers["x"] = Reply(200, b"evil")
    with pytest.raises(KaggleError, match="outside"):
        kernel_output(scripted.client(), "practice/one-of-mine", tmp_path / "out")
    scripted.close()
    assert not list(tmp_path.rglob("evil"))


def test_logs_are_text_in_either_form() -> None:
    assert log_text('[{"stream_name": "stdout", "time": 1.5, "data": "a\\n"}, {"data": "b"}]') == "a\nb"
    assert log_text("plain text") == "plain text"
