"""What a notebook in the sandbox can reach, and what ends it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import psutil
import pytest

import kagglerun
from kagglerun.errors import SandboxError
from kagglerun.sandbox import bubblewrap
from tests.sandbox.small_notebooks import require_sandbox, run_cells, write_notebook

_SEES = """
import importlib.util, json, os, socket
def fails(action):
    try:
        action()
    except OSError as error:
        return error.strerror or str(error)
seen = {
    "train": open("/kaggle/input/competitions/made/train.csv").read(),
    "working": os.getcwd(),
    "home": os.path.expanduser("~"),
    "kagglerun": importlib.util.find_spec("kagglerun") is not None,
    "interfaces": [name for _, name in socket.if_nameindex()],
    "write into inputs": fails(lambda: open("/kaggle/input/competitions/made/x", "w")),
    "write beside inputs": fails(lambda: os.mkdir("/kaggle/input/x")),
    "write anywhere": fails(lambda: open("/usr/x", "w")),
    "connect": fails(lambda: socket.create_connection(("192.0.2.1", 80), 5)),
    "processes": sorted(int(name) for name in os.listdir("/proc") if name.isdigit())[:1],
    "secret": os.environ.get("KAGGLE_API_TOKEN"),
    "kind": os.environ["KAGGLE_KERNEL_RUN_TYPE"],
    "given": os.environ["GIVEN"],
}
with open("seen.json", "w") as stream:
    json.dump(seen, stream)
"""


def test_notebook_sees_its_inputs_and_nothing_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_sandbox()
    monkeypatch.setenv("KAGGLE_API_TOKEN", "secret")
    lines: list[str] = []
    run = run_cells(
        tmp_path, _SEES, "print('one\\ntwo')\n1 + 1", "1 / 0", variables={"GIVEN": "yes"}, line=lines.append
    )
    seen = json.loads((tmp_path / "working/seen.json").read_text("utf-8"))
    assert seen["train"] == "id\n1\n"
    assert (seen["working"], seen["home"], seen["kind"], seen["given"]) == ("/kaggle/working", "/root", "Batch", "yes")
    assert (seen["kagglerun"], seen["secret"], seen["interfaces"]) == (False, None, ["lo"])
    assert seen["write into inputs"] == seen["write beside inputs"] == seen["write anywhere"] == "Read-only file system"
    assert seen["connect"] == "Network is unreachable"
    assert seen["processes"] == [1]
    assert (run.state, run.error) == ("failed", "ZeroDivisionError: division by zero\nin cell 3: 1 / 0")
    assert lines[:3] == ["one", "two", "2"] == list(run.log[:3])
    assert run.peak_bytes > 10_000_000
    outputs = nbformat.read(run.executed, as_version=4).cells[1].outputs
    assert [output.output_type for output in outputs] == ["stream", "execute_result"]
    assert sorted(path.name for path in (tmp_path / "working").iterdir()) == ["seen.json"]


_CHILDREN = """
import subprocess, sys
take = "import time; held = bytearray(300_000_000); time.sleep(60)"
for child in [subprocess.Popen([sys.executable, "-c", take]) for _ in "123"]:
    child.wait()
"""
_FORKS = """
import os, time
held = b"x" * 300_000_000
for _ in "123":
    if os.fork() == 0:
        time.sleep(2)
        os._exit(0)
time.sleep(2)
"""
_WHEEL = """
import zipfile
with zipfile.ZipFile("/tmp/small-1-py3-none-any.whl", "w") as wheel:
    wheel.writestr("small.py", "ANSWER = 42")
    wheel.writestr("small-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: small\\nVersion: 1\\n")
    wheel.writestr("small-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    wheel.writestr("small-1.dist-info/RECORD", "")
"""


@pytest.mark.long
def test_too_much_memory_of_all_processes_together_ends_it(tmp_path: Path) -> None:
    require_sandbox()
    run = run_cells(tmp_path, _CHILDREN, memory_bytes=700_000_000)
    assert run.state == "out of memory"
    assert run.error is not None and "the limit is 0.65 GiB" in run.error
    assert 700_000_000 < run.peak_bytes < 1_500_000_000


@pytest.mark.long
def test_shared_memory_of_children_counts_once(tmp_path: Path) -> None:
    require_sandbox()
    run = run_cells(tmp_path, _FORKS, memory_bytes=900_000_000)
    assert (run.state, run.error) == ("finished", None)
    assert run.peak_bytes < 700_000_000


@pytest.mark.long
def test_too_much_time_ends_it_and_what_it_did_until_then_is_kept(tmp_path: Path) -> None:
    require_sandbox()
    run = run_cells(tmp_path, "print('first')", "made = open('mine.txt', 'w')", "while True: pass", seconds=8)
    assert (run.state, run.log) == ("out of time", ("first",))
    assert (tmp_path / "working/mine.txt").exists()
    cells = nbformat.read(run.executed, as_version=4).cells
    assert cells[0].outputs and not cells[2].outputs


@pytest.mark.long
def test_crash_of_the_notebook_is_told(tmp_path: Path) -> None:
    require_sandbox()
    run = run_cells(tmp_path, "x = 1", "import os; os.abort()")
    assert run.state == "failed"
    assert run.error is not None and run.error.startswith("DeadKernelError")
    assert "in cell 2" in run.error


@pytest.mark.long
def test_what_a_notebook_installs_is_its_own(tmp_path: Path) -> None:
    require_sandbox()
    install = "!pip install --quiet --no-index /tmp/small-1-py3-none-any.whl"
    cells = (_WHEEL, install, "import small, numpy\nprint(small.ANSWER, small.__file__)")
    first = run_cells(tmp_path, *cells)
    assert (first.state, first.log[-1].split()[0]) == ("finished", "42"), first.error
    assert first.log[-1].split()[1].startswith("/opt/environment/")
    assert run_cells(tmp_path, "import small").state == "failed"


@pytest.mark.long
def test_sandbox_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    require_sandbox()
    mark = f"{os.getpid()}-{time.time_ns()}"
    write_notebook(tmp_path / "long.ipynb", f"import time; open('{mark}', 'w'); time.sleep(300)")
    program = (
        "import sys; from pathlib import Path; from kagglerun.sandbox import run_notebook; folder = Path(sys.argv[1])\n"
        "run_notebook(folder / 'long.ipynb', python=Path(sys.executable), inputs={}, working=folder / 'working',"
        " seconds=300, memory_bytes=1 << 33)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)])
    while not (tmp_path / "working" / mark).exists():
        assert parent.poll() is None
        time.sleep(0.1)
    inside = psutil.Process(parent.pid).children(recursive=True)
    assert len(inside) >= 3
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert not psutil.wait_procs(inside, timeout=30)[1]


_AS_ANOTHER = """
import sys
from pathlib import Path
from kagglerun.sandbox import kaggle_environment, run_notebook
folder = Path(sys.argv[1])
python = kaggle_environment(folder / "environments")
limits = {"seconds": 60, "memory_bytes": 1 << 33}
run = run_notebook(folder / "made.ipynb", python=python, inputs={}, working=folder / "working", **limits)
sys.stdout.write(f"{run.state} {run.log}")
"""


@pytest.fixture
def anybodys() -> Iterator[Path]:
    """A folder that every user may use; pytest's own belong to one."""
    with tempfile.TemporaryDirectory(prefix="kagglerun-anybody-") as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


@pytest.mark.long
@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_other_users_run_notebooks_where_the_kernel_lets_them(anybodys: Path) -> None:
    require_sandbox()
    another = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    python = f"/usr/bin/python3.{sys.version_info.minor}"  # this one may lie in root's home
    packages = f"{Path(kagglerun.__file__).parents[1]}:{sysconfig.get_path('purelib')}"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": packages, "HOME": str(anybodys), "TMPDIR": str(anybodys)}
    tried = [[python, "-c", "import kagglerun, nbclient"], ["bwrap", "--unshare-user", "--ro-bind", "/", "/", "true"]]
    if any(subprocess.run([*another, *one], env=environment, capture_output=True).returncode for one in tried):
        pytest.skip("other users may not make namespaces here, or cannot read a Python with these packages")
    write_notebook(anybodys / "made.ipynb", "import os; print(os.getuid()); made = open('mine', 'w')")
    command = [*another, python, "-c", _AS_ANOTHER, str(anybodys)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.stdout == "finished ('0',)", done.stderr


@pytest.mark.parametrize("name", ["../made", "/etc", "a/../../b", "", "a//b", "."])
def test_names_of_inputs_stay_below_their_folder(name: str) -> None:
    with pytest.raises(SandboxError, match="name of an input"):
        bubblewrap.check_input_names([name])


def test_input_within_another_one_is_refused() -> None:
    bubblewrap.check_input_names(["competitions/titanic", "titanic", "datasets/me/titanic"])
    with pytest.raises(SandboxError, match="name of an input"):
        bubblewrap.check_input_names(["titanic", "titanic/more"])


def test_missing_bubblewrap_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError, match="bubblewrap is not installed") as caught:
        bubblewrap.require_bubblewrap()
    assert caught.value.hint is not None and "apt-get install bubblewrap" in caught.value.hint


def test_refusing_kernel_is_told_in_bubblewraps_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n", "utf-8")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(SandboxError, match="No permissions to create new namespace"):
        bubblewrap.require_bubblewrap()


def test_environment_that_cannot_execute_notebooks_is_an_error(tmp_path: Path) -> None:
    require_sandbox()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    with pytest.raises(SandboxError, match="cannot execute notebooks"):
        run_cells(tmp_path, "1", python=tmp_path / "bare/bin/python")


def test_missing_input_folder_is_an_error(tmp_path: Path) -> None:
    require_sandbox()
    with pytest.raises(SandboxError, match="is not there"):
        run_cells(tmp_path, "1", inputs={"made": tmp_path / "nothing"})
