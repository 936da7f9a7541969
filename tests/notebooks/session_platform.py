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

    def execute(self, notebook: Path) -> Execution:
        return Execution(self, notebook)


class Execution:
    """A notebook that is being executed by nbclient in a real kernel.

    Attributes:
        process: what executes it; its exit code is 3 where the kernel was killed, 4 where a cell failed.
    """

    def __init__(self, platform: FakePlatform, notebook: Path) -> None:
        self._pid_file = platform.root / f"kernel-{time.monotonic_ns()}"
        script = Path(__file__).with_name("execute.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(notebook), str(platform.python), str(self._pid_file)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=platform.kernel_environment(),
        )

    @property
    def kernel(self) -> int:
        """Process id of the kernel."""
        wait_until(self._pid_file.exists)
        return int(self._pid_file.read_text())

    def finish(self) -> tuple[int, str]:
        """Wait for its end: exit code, and what was printed."""
        said, _ = self.process.communicate(timeout=400)
        return self.process.returncode, said


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


def wait_until(what: Callable[[], bool], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.05)


def kept_names(store: Path) -> set[str]:
    """Names of the files in the newest state that is kept."""
    states = sorted(store.glob("states/*.json"))
    return {file["name"] for file in json.loads(states[-1].read_text())["files"]} if states else set()
