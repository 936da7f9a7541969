"""What is read of a machine: the file system as each kind of machine has it, the lock, limits, sessions."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest
from local_kaggle import KEY, Reply, ScriptedKaggle

from kagglerun.environment.doctor.gpu_states import GpuState
from kagglerun.environment.doctor.probe import KaggleState
from kagglerun.environment.doctor.probes import packages
from kagglerun.environment.doctor.probes.account import kaggle_state
from kagglerun.environment.doctor.probes.driver import driver_files
from kagglerun.environment.doctor.probes.limits import cores_quota, disk_state, limit_state
from kagglerun.environment.doctor.probes.machine import LOCK
from kagglerun.environment.doctor.probes.notebook import notebook_state
from kagglerun.environment.doctor.probes.packages import package_states, python_state
from kagglerun.workspace import Workspace

MODULE = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\nGCC version: ...\n"
OPEN_MODULE = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.82.07  Release Build  (root@x)\n"


def _file(root: Path, name: str, text: str = "") -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def _card(root: Path, number: int, vendor: str = "0x10de", kind: str = "0x030200") -> None:
    _file(root, f"sys/bus/pci/devices/0000:0{number}:00.0/vendor", f"{vendor}\n")
    _file(root, f"sys/bus/pci/devices/0000:0{number}:00.0/class", f"{kind}\n")


def test_cards_module_and_nodes_of_a_host_are_seen(tmp_path: Path) -> None:
    _card(tmp_path, 1)
    _card(tmp_path, 2, kind="0x030000")
    _card(tmp_path, 3, kind="0x040300")  # a card's sound
    _card(tmp_path, 4, vendor="0x1002")
    _file(tmp_path, "proc/driver/nvidia/version", MODULE)
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        _file(tmp_path, f"dev/{name}")
    state = driver_files(tmp_path, {})
    assert (state.cards, state.module, state.nodes) == (2, "550.54.15", ("nvidia0", "nvidia1"))
    assert (state.container, state.visible) == (None, None)


def test_the_open_module_is_read_too(tmp_path: Path) -> None:
    _file(tmp_path, "proc/driver/nvidia/version", OPEN_MODULE)
    assert driver_files(tmp_path, {}).module == "580.82.07"


@pytest.mark.parametrize(
    ("name", "text", "environment", "kind"),
    [
        (".dockerenv", "", {}, "docker"),
        ("run/.containerenv", "", {}, "podman"),
        ("proc/1/cgroup", "0::/kubepods/besteffort/pod1\n", {}, "kubepods"),
        ("proc/1/cgroup", "0::/init.scope\n", {}, None),
        ("etc/x", "", {"container": "lxc"}, "lxc"),
    ],
)
def test_a_container_is_recognised(
    name: str, text: str, environment: dict[str, str], kind: str | None, tmp_path: Path
) -> None:
    _file(tmp_path, name, text)
    assert driver_files(tmp_path, environment).container == kind


def test_folders_with_another_cuda_are_named(tmp_path: Path) -> None:
    _file(tmp_path, "cuda/libcudnn.so.8")
    _file(tmp_path, "other/libz.so")
    path = f"{tmp_path}/cuda:{tmp_path}/other::{tmp_path}/absent"
    assert driver_files(tmp_path, {"LD_LIBRARY_PATH": path}).library_path == (f"{tmp_path}/cuda",)


def test_the_lock_of_this_installation_is_understood() -> None:
    states = {state.name: state for state in package_states(LOCK)}
    assert states["torch"].installed is not None
    assert states["torch"].is_required
    assert "colorama" not in states or os.name == "nt", "what is meant for other systems is left out"
    assert not states["pytest"].is_required
    assert python_state().version >= (3, 11, 0)


def test_markers_choose_among_versions(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text(
        "numpy==1.0 ; python_full_version < '3' \\\n    --hash=sha256:aa\nnumpy==2.0 ; python_full_version >= '3' \\\n"
        "    --hash=sha256:bb\nno_such.Package==7 \\\n    --hash=sha256:cc\n"
    )
    states = package_states(lock)
    assert [(state.name, state.locked) for state in states] == [("no-such-package", "7"), ("numpy", "2.0")]
    assert states[0].installed is None
    assert package_states(tmp_path / "absent") == ()


def test_the_lock_of_the_torch_that_is_installed_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {"torch": "2.6.0+cu124", "numpy": "2.4", "jupyterlab": "4.5"}
    monkeypatch.setattr(packages, "_installed", installed.get)
    (tmp_path / "requirements.lock").write_text("torch==2.15.0\nnumpy==2.4\n")
    (tmp_path / "image.lock").write_text("torch==2.15.0\njupyterlab==4.5\n")
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "2.6.lock").write_text("torch==2.6.0\n")
    states = package_states(tmp_path / "requirements.lock")
    assert {state.name: state.locked for state in states} == {"torch": "2.6.0", "numpy": "2.4", "jupyterlab": "4.5"}


def test_a_containers_share_of_the_cpu_is_read_in_both_versions(tmp_path: Path) -> None:
    assert cores_quota(tmp_path) is None
    _file(tmp_path, "two/cpu.max", "150000 100000\n")
    assert cores_quota(tmp_path / "two") == 1.5
    _file(tmp_path, "free/cpu.max", "max 100000\n")
    assert cores_quota(tmp_path / "free") is None
    _file(tmp_path, "one/cpu/cpu.cfs_quota_us", "400000\n")
    _file(tmp_path, "one/cpu/cpu.cfs_period_us", "100000\n")
    assert cores_quota(tmp_path / "one") == 4.0
    _file(tmp_path, "one/cpu/cpu.cfs_quota_us", "-1\n")
    assert cores_quota(tmp_path / "one") is None


def test_the_file_system_is_that_of_the_longest_mount_point(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    inner = tmp_path / "my disk"
    inner.mkdir()
    escaped = str(inner).replace(" ", "\\040")
    mounts.write_text(f"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:5 / {escaped} rw shared:1 - nfs4 host:/x rw\n")
    assert disk_state("workspace", inner, mounts).kind == "nfs4"
    assert disk_state("workspace", tmp_path, mounts).kind == "ext4"
    assert disk_state("workspace", tmp_path).is_writable


def test_this_machines_limits_are_read_and_configs_with_loader_workers_named(workspace: Workspace) -> None:
    (workspace.sweeps / "a.yaml").write_text("training: {loader_workers: 3, gpus: 2}\n")
    (workspace.sweeps / "b.yaml").write_text("training: {epochs: 1}\n")
    (workspace.sweeps / "broken.yaml").write_text("training: {no_such_key: 1}\n")
    state = limit_state(workspace)
    assert [(use.config, use.loader_workers, use.processes) for use in state.loaders] == [("a.yaml", 3, 2)]
    assert 0 < state.memory_available <= state.memory_total
    assert 1 <= state.cores_allowed <= state.cores
    assert [disk.role for disk in state.disks] == ["workspace", "temporary files"]


def test_a_folder_for_temporary_files_that_is_not_there_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/no/such/folder")
    (disk,) = limit_state(None).disks
    assert (disk.path, disk.is_writable) == ("/no/such/folder", False)


@pytest.fixture
def scripted() -> Iterator[ScriptedKaggle]:
    server = ScriptedKaggle()
    yield server
    server.close()


def test_credentials_that_the_server_takes_or_refuses(
    scripted: ScriptedKaggle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", KEY)
    scripted.answers["GetCompetition"] = Reply(200, {"ref": "titanic", "title": "Titanic"})
    taken = kaggle_state(address=scripted.url)
    assert (taken.reachable, taken.accepted, taken.origin) == (True, True, "KAGGLE_API_TOKEN")
    assert taken.clock_ahead is not None
    assert abs(taken.clock_ahead) < 5
    scripted.answers["GetCompetition"] = Reply(401, {"code": 401, "message": "Unauthenticated"})
    refused = kaggle_state(address=scripted.url)
    assert refused.accepted is False
    assert KEY not in repr(refused)


def test_nothing_is_asked_offline_and_exposed_files_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Path(os.environ["HOME"]) / ".kaggle" / "kaggle.json"
    place.parent.mkdir()
    place.write_text('{"username": "me", "key": "k"}')
    place.chmod(0o644)
    state = kaggle_state(ask_network=False)
    assert (state.asked, state.reachable, state.exposed) == (False, None, str(place))


def test_a_server_out_of_reach_is_told_in_words() -> None:
    state = kaggle_state(address="http://127.0.0.1:9")
    assert state.reachable is False
    assert state.unreachable_because == "the connection is refused"
    assert state.missing is not None


@pytest.mark.parametrize("ahead", [4000, -4000, 0])
def test_a_wrong_clock_is_measured(ahead: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with server.accept()[0] as connection:
                connection.recv(65536)
                date = formatdate(__import__("time").time() - ahead, usegmt=True)
                connection.sendall(f"HTTP/1.1 302 Found\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n".encode())

        threading.Thread(target=answer, daemon=True).start()
        state = kaggle_state(address=f"http://127.0.0.1:{server.getsockname()[1]}")
    assert state.clock_ahead is not None
    assert abs(state.clock_ahead - ahead) < 5


REACHED = KaggleState(reachable=True)
T4 = GpuState(0, "Tesla T4")


def test_sessions_of_colab_and_kaggle_are_told_apart_from_other_machines(workspace: Workspace) -> None:
    assert notebook_state((), REACHED, None, {}) is None
    kaggle = notebook_state((T4, T4), REACHED, workspace, {"KAGGLE_KERNEL_RUN_TYPE": "Interactive"}, 60.0)
    assert kaggle is not None
    assert (kaggle.platform, kaggle.accelerator, kaggle.limit_seconds) == ("Kaggle", "Tesla T4, Tesla T4", 43200.0)
    assert (kaggle.persistent, kaggle.internet, kaggle.session_seconds) == (False, True, 60.0)
    batch = notebook_state((), REACHED, None, {"KAGGLE_KERNEL_RUN_TYPE": "Batch", "TPU_WORKER_ID": "0"}, 60.0)
    assert batch is not None
    assert (batch.accelerator, batch.persistent, batch.limit_seconds) == ("TPU", True, 32400.0)
    colab = notebook_state((), KaggleState(asked=False), workspace, {"COLAB_RELEASE_TAG": "release-colab_2026"}, None)
    assert colab is not None
    assert (colab.platform, colab.accelerator, colab.internet, colab.persistent) == ("Colab", "none", None, False)
    assert colab.session_seconds is not None
    on_drive = Workspace(Path("/content/drive/MyDrive/kaggle"))
    kept = notebook_state((), REACHED, on_drive, {"COLAB_RELEASE_TAG": "x"}, 1.0)
    assert kept is not None
    assert kept.persistent
