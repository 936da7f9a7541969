from __future__ import annotations

import getpass
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kagglerun.errors import ConfigError, ContentDamaged, SyncError, TargetUnreachable
from kagglerun.experiment.sync.items import Kind
from kagglerun.experiment.sync.outcome import Result
from kagglerun.experiment.sync.pull import pull
from kagglerun.experiment.sync.push import push
from kagglerun.experiment.sync.selection import Selection, Weights
from kagglerun.experiment.sync.store import Store
from kagglerun.experiment.sync.target import opened, target_of
from kagglerun.files import write_text
from kagglerun.workspace import Workspace
from tests.experiment.sync.made_runs import add_trial, make_run, make_study, make_workspace, of, whole_runs
from tests.experiment.sync.servers import gs_server, s3_server, ssh_server

ALL = Selection(weights=Weights.ALL)
S3 = pytest.param("s3", marks=pytest.mark.long)
GS = pytest.param("gs", marks=pytest.mark.long)
SSH = pytest.param("ssh", marks=pytest.mark.long)


@pytest.fixture
def address(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A target of a kind, as people name it."""
    match request.param:
        case "folder":
            yield str(tmp_path / "a target, it's 100%")
        case "s3":
            with s3_server(monkeypatch):
                yield "s3://my-bucket/team data/kagglerun"
        case "gs":
            with gs_server(monkeypatch):
                yield "gs://my-bucket/team data/kagglerun"
        case "ssh":
            with ssh_server(tmp_path / "server", monkeypatch) as server:
                yield f"ssh://{getpass.getuser()}@127.0.0.1:{server.port}{tmp_path}/at%20home"


@pytest.fixture
def store(workspace: Workspace, address: str) -> Iterator[Store]:
    with opened(workspace, address) as found:
        yield found


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # aiohttp on what gcsfs does
@pytest.mark.parametrize("address", ["folder", SSH, S3, GS], indirect=True)
def test_a_store_keeps_contents_whole(store: Store) -> None:
    assert store.names("runs") == {}
    assert store.size("runs/a/b") is None
    store.remove("runs/a/b")
    with pytest.raises(ContentDamaged, match="is not there"):
        store.read("runs/a/b")
    contents = {"runs/a/b": b"", "runs/a%20c/d e": b"\x00\xff" * 10, "parts/aa/big": bytes(range(256)) * 13_000}
    for name, content in contents.items():
        store.write(name, content)
    for name, content in contents.items():
        assert store.size(name) == len(content)
        assert store.read(name) == content
    assert store.names("runs") == {"runs/a/b": 0, "runs/a%20c/d e": 20}
    assert store.names("runs/a") == {"runs/a/b": 0}
    assert store.size("runs/a") is None or not store.label.startswith(("s3", "gs"))
    store.write("runs/a/b", b"new")
    assert store.read("runs/a/b") == b"new"
    store.remove("runs/a/b")
    assert store.names("runs/a") == {}


@pytest.mark.parametrize("address", [SSH, S3, GS], indirect=True)
def test_runs_and_studies_go_there_and_back(address: str, tmp_path: Path) -> None:
    here, there = make_workspace(tmp_path / "here"), make_workspace(tmp_path / "there")
    make_run(here, 'one\'s "run"')
    study = make_study(here)
    with opened(here, address) as store:
        push(here, store, ALL)
    with opened(there, address) as store:
        pull(there, store, ALL)
        assert {each.result for each in pull(there, store, ALL)} == {Result.SAME}
        add_trial(there.study(study.slug, study.name), 2)
        push(there, store, ALL)
    with opened(here, address) as store:
        assert of(pull(here, store, ALL), Kind.STUDY) == [Result.CARRIED]
        assert len(store.names("studies")) == 1
    whole_runs(there, here)
    assert len(list(there.all_runs())) == 1


@pytest.mark.long
def test_a_bucket_that_is_not_there_is_named(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(workspace, "one")
    with (
        s3_server(monkeypatch),
        opened(workspace, "s3://another-bucket/x") as store,
        pytest.raises(SyncError, match="another-bucket"),
    ):
        push(workspace, store, ALL)


@pytest.mark.long
def test_an_s3_that_is_away_costs_nothing_and_the_next_push_goes_on(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    make_run(workspace, "one")
    with s3_server(monkeypatch):
        pass
    with opened(workspace, "s3://my-bucket/x") as store, pytest.raises(TargetUnreachable, match="cannot be used now"):
        push(workspace, store, ALL)
    with s3_server(monkeypatch), opened(workspace, "s3://my-bucket/x") as store:
        assert {each.result for each in push(workspace, store, ALL)} == {Result.CARRIED}


@pytest.mark.long
def test_missing_credentials_are_said_with_the_way_to_them(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(workspace, "one")
    with s3_server(monkeypatch):
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        with opened(workspace, "s3://my-bucket/x") as store, pytest.raises(SyncError, match="credentials") as told:
            push(workspace, store, ALL)
    assert "aws configure" in (told.value.hint or "")


@pytest.mark.long
def test_an_ssh_connection_that_is_cut_is_said_and_the_next_push_goes_on(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(workspace, "one")
    with ssh_server(tmp_path / "server", monkeypatch) as server:
        address = f"ssh://{getpass.getuser()}@127.0.0.1:{server.port}{tmp_path}/target"
        with opened(workspace, address) as store:
            store.write("kagglerun-sync.json", b'{"format": 1}')
            process = store._connection._process  # type: ignore[attr-defined]
            process.kill()
            process.wait()
            with pytest.raises(TargetUnreachable):
                push(workspace, store, ALL)
            assert {each.result for each in push(workspace, store, ALL)} == {Result.CARRIED}
        server.process.terminate()
        server.process.wait()
        with opened(workspace, address) as store, pytest.raises(TargetUnreachable, match="refused") as told:
            push(workspace, store, ALL)
    assert "must work without a question" in (told.value.hint or "")


@pytest.mark.long
def test_a_host_that_is_not_known_or_refuses_the_key_asks_nothing(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ssh_server(tmp_path / "server", monkeypatch) as server:
        (server.folder / "mine.pub").write_text("")
        address = f"ssh://{getpass.getuser()}@127.0.0.1:{server.port}{tmp_path}/target"
        with opened(workspace, address) as store, pytest.raises(TargetUnreachable, match="Permission denied"):
            store.names("runs")
        (server.folder / "known_hosts").unlink()
        with opened(workspace, address) as store, pytest.raises(TargetUnreachable, match="verification failed"):
            store.names("runs")


def test_a_folder_that_may_not_be_written_is_named(workspace: Workspace, tmp_path: Path) -> None:
    make_run(workspace, "one")
    write_text(tmp_path / "file", "in the way")
    with opened(workspace, str(tmp_path / "file")) as store, pytest.raises(SyncError, match="file"):
        push(workspace, store, ALL)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("ftp://host/x", "no kind of target"),
        ("s3://key:secret@bucket/x", "credentials do not belong"),
        ("s3://", "names no bucket"),
        ("ssh://me:secret@host/x", "password does not belong"),
        ("ssh://-oProxyCommand=evil/x", "names no machine"),
        ("ssh://-lroot@host/x", "names no machine"),
        ("ssh://host", "names no folder"),
        ("ssh://host:nan/x", "is no target"),
        (" ", "the target is empty"),
        (".", "outside the workspace"),
        ("runs/backup", "outside the workspace"),
    ],
)
def test_what_is_no_target_is_refused(target: str, message: str, workspace: Workspace) -> None:
    with pytest.raises(ConfigError, match=message) as told, opened(workspace, target):
        pass
    assert "secret" not in f"{told.value.message} {told.value.hint}"


def test_the_settings_name_the_usual_target(workspace: Workspace) -> None:
    with pytest.raises(ConfigError, match="no target was named"):
        target_of(workspace, None)
    write_text(workspace.settings, "sync: s3://bucket/x\n")
    assert target_of(workspace, None) == "s3://bucket/x"
    assert target_of(workspace, "/elsewhere") == "/elsewhere"


@pytest.mark.long
def test_large_contents_over_ssh_are_what_openssh_itself_reads(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytes(range(251)) * 40_000
    with ssh_server(tmp_path / "server", monkeypatch) as server:
        address = f"ssh://{getpass.getuser()}@127.0.0.1:{server.port}{tmp_path}/target"
        with opened(workspace, address) as store:
            store.write("parts/big", content)
            assert store.read("parts/big") == content
        other = shutil.which("sftp")
        assert other is not None
        source = f"{getpass.getuser()}@127.0.0.1:{tmp_path}/target/parts/big"
        command = [other, "-q", "-F", server.folder / "config", "-P", str(server.port), source, tmp_path / "copy"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert (tmp_path / "copy").read_bytes() == content
