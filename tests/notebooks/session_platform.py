"""Colab and Kaggle as folders: a Python of their own with real packages, fake Drive and secrets, and real kernels."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import nbclient
import nbformat
from jupyter_client.manager import AsyncKernelManager

_DRIVE = """
from pathlib import Path

def mount(place, *arguments, **options):
    Path(place, "MyDrive").mkdir(parents=True, exist_ok=True)
"""
_USERDATA = """
class SecretNotFoundError(Exception):
    pass

SECRETS = {}

def get(name):
    if name not in SECRETS:
        raise SecretNotFoundError(name)
    return SECRETS[name]
"""
_KAGGLE_SECRETS = """
class UserSecretsClient:
    def get_secret(self, label):
        import json, os
        return json.loads(os.environ.get("FAKE_SECRETS", "{}"))[label]
"""


@dataclass
class FakePlatform:
    """A machine with /content and /kaggle in a folder.

    Attributes:
        root: holds them.
        python: a Python without kagglerun, with everything else that it needs.
        environment: further variables of its kernels.
    """

    root: Path
    python: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def modules(self) -> Path:
        return self.root / "modules"

    def make(self) -> FakePlatform:
        colab = self.modules / "google" / "colab"
        colab.mkdir(parents=True)
        for name, text in {"__init__": "", "drive": _DRIVE, "userdata": _USERDATA}.items():
            (colab / f"{name}.py").write_text(text)
        (self.modules / "kaggle_secrets.py").write_text(_KAGGLE_SECRETS)
        for folder in ("content", "kaggle/working", "kaggle/input", "tmp"):
            (self.root / folder).mkdir(parents=True)
        return self

    def kernel_environment(self) -> dict[str, str]:
        ours = {
            "KAGGLERUN_PLATFORM_ROOT": str(self.root),
            "PYTHONPATH": str(self.modules),
            "OMP_NUM_THREADS": "1",
            "PIP_NO_INDEX": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }
        return {**os.environ, **ours, **self.environment}

    def start(self) -> Kernel:
        return Kernel(self)


class Kernel:
    """A Jupyter kernel of a platform, in which nbclient runs cell after cell."""

    def __init__(self, platform: FakePlatform) -> None:
        self._platform = platform
        self.manager = AsyncKernelManager(kernel_name="python3")
        spec = self.manager.kernel_spec
        assert spec is not None
        spec.argv = [str(platform.python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]

    def run(self, notebook: Path | nbformat.NotebookNode) -> str:
        """Run all cells, as a user does; what they printed.

        Raises:
            DeadKernelError: the kernel was killed.
            CellExecutionError: a cell failed.
        """
        content = nbformat.read(notebook, as_version=4) if isinstance(notebook, Path) else notebook
        client = nbclient.NotebookClient(content, km=self.manager, timeout=200)
        client.execute(env=self._platform.kernel_environment())
        return printed(content)

    @property
    def pid(self) -> int:
        provisioner = self.manager.provisioner
        assert provisioner is not None
        return int(provisioner.pid)  # type: ignore[attr-defined]


def printed(notebook: nbformat.NotebookNode) -> str:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return "".join(output.get("text", "") or "\n".join(output.get("traceback", ())) for output in outputs)


def make_python(folder: Path) -> Path:
    """A Python that sees the packages of this one, but not kagglerun; pip installs into its own folder."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    own = folder / "lib" / version / "site-packages"
    # A path in a .pth file is searched, but the .pth files in it (the editable kagglerun's) are not read.
    (own / "packages.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder / "bin" / "python"


def session_processes(root: Path) -> list[int]:
    """Processes of a platform's sessions: their environment says where it is."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                environment = (folder / "environ").read_bytes()
            except OSError:
                continue
            if f"KAGGLERUN_PLATFORM_ROOT={root}".encode() in environment.split(b"\0"):
                found.append(int(folder.name))
    return found


def kill_all(root: Path) -> None:
    """What a lost machine does: everything ends at once."""
    for _ in range(200):
        left = session_processes(root)
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if not left:
            return
        time.sleep(0.05)
    raise AssertionError(f"processes {left} do not end")


def wait_until(what: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.05)


def kept_names(store: Path) -> set[str]:
    """Names of the files in the newest state that is kept."""
    states = sorted(store.glob("states/*.json"))
    return {file["name"] for file in json.loads(states[-1].read_text())["files"]} if states else set()
