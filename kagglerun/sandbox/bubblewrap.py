"""The command line of bubblewrap: what a notebook sees of the machine.

It sees the system's programs and its Python read-only, its inputs read-only at /kaggle/input, a few folders of its own
that are gone afterwards, and /kaggle/working. No network interface but lo, no other process, no home of the user's.
Kaggle's places: kaggle.com/docs/notebooks.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kagglerun.errors import SandboxError
from kagglerun.files import write_text

INPUTS, WORKING = Path("/kaggle/input"), Path("/kaggle/working")
ENVIRONMENT = Path("/opt/environment")
"""Where the thin environment is."""
EXCHANGE = Path("/run/notebook")
"""Where the notebook lies, and what is written of its run."""
_EXECUTE = Path("/run/execute.py")
_OF_ETC = ("alternatives", "fonts", "ld.so.cache", "localtime", "mime.types", "OpenCL", "ssl", "ca-certificates")
_OF_ETC_WITH_INTERNET = ("hosts", "nsswitch.conf", "pip.conf", "resolv.conf")
_USERS = "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"
_HINT = (
    "apt-get install bubblewrap; where it is installed and refuses, the kernel must allow user namespaces (sysctl "
    "kernel.unprivileged_userns_clone=1, on Ubuntu kernel.apparmor_restrict_unprivileged_userns=0), and a container "
    "needs --security-opt seccomp=unconfined"
)
_NAME = re.compile(r"(?!.*(?:^|/)\.{0,2}(?:/|$))[^\x00]+")


@dataclass(frozen=True)
class Scratch:
    """The folders of one run that are gone after it."""

    folder: Path

    def make(self, inputs: Sequence[str]) -> None:
        """Make them; /kaggle/input with a place for each input."""
        for path in (self.temporary, self.kaggle_temporary, self.home, self.exchange, self.etc):
            path.mkdir(parents=True)
        for name in inputs:
            (self.inputs / name).mkdir(parents=True, exist_ok=True)
        self.inputs.mkdir(exist_ok=True)
        write_text(self.etc / "passwd", _USERS, durable=False)
        write_text(self.etc / "group", "root:x:0:\nnogroup:x:65534:\n", durable=False)

    @property
    def temporary(self) -> Path:
        """Its own folder for temporary files, on the disk: Kaggle's is too."""
        return self.folder / "tmp"

    @property
    def kaggle_temporary(self) -> Path:
        """/kaggle/temp."""
        return self.folder / "kaggle-temp"

    @property
    def home(self) -> Path:
        """/root."""
        return self.folder / "home"

    @property
    def environment(self) -> Path:
        """The thin environment."""
        return self.folder / "environment"

    @property
    def exchange(self) -> Path:
        """The notebook, and what is written of its run."""
        return self.folder / "exchange"

    @property
    def inputs(self) -> Path:
        """/kaggle/input without what is in it."""
        return self.folder / "input"

    @property
    def etc(self) -> Path:
        """Own files of /etc."""
        return self.folder / "etc"


def require_bubblewrap() -> None:
    """Return when bubblewrap works here.

    Raises:
        SandboxError: it is not installed, or the kernel does not let it.
    """
    if shutil.which("bwrap") is None:
        raise SandboxError("bubblewrap is not installed, and notebooks are run in it", hint=_HINT)
    tried = ["bwrap", *_namespaces(internet=False), "--ro-bind", "/", "/", "true"]
    done = subprocess.run(tried, capture_output=True, text=True, timeout=60)
    if done.returncode:
        said = done.stderr.strip() or f"exit code {done.returncode}"
        raise SandboxError(f"bubblewrap cannot make a sandbox here: {said}", hint=_HINT)


def check_input_names(names: Sequence[str]) -> None:
    """Refuse a name that would lie outside /kaggle/input, or within another input.

    Raises:
        SandboxError: there is one.
    """
    for name in names:
        within = [other for other in names if other != name and Path(name).is_relative_to(other)]
        if not _NAME.fullmatch(name) or Path(name).is_absolute() or within:
            raise SandboxError(f"{name!r} cannot be the name of an input at {INPUTS}")


def sandboxed(
    scratch: Scratch,
    *,
    read: Sequence[Path],
    inputs: Mapping[str, Path],
    working: Path,
    execute: Path,
    variables: Mapping[str, str],
    internet: bool,
) -> list[str]:
    """The whole command that executes the notebook in `scratch.exchange`.

    Args:
        scratch: its own folders, made.
        read: folders that its Python needs, shown read-only where they are.
        inputs: folder for each name under /kaggle/input.
        working: the folder shown at /kaggle/working.
        execute: execute.py.
        variables: its whole environment.
        internet: whether it has the machine's network.
    """
    command = ["bwrap", *_namespaces(internet), *_system(scratch, internet)]
    command += _binds("--bind", {scratch.temporary: "/tmp", scratch.home: "/root", scratch.exchange: EXCHANGE})  # noqa: S108
    command += _binds("--bind", {scratch.environment: ENVIRONMENT, scratch.kaggle_temporary: "/kaggle/temp"})
    command += _binds("--ro-bind", {folder: folder for folder in read})
    command += _binds("--ro-bind", {execute: _EXECUTE, scratch.inputs: INPUTS})
    for name, folder in inputs.items():
        command += ["--ro-bind", str(folder), str(INPUTS / name)]
    command += ["--bind", str(working), str(WORKING), "--remount-ro", "/", "--chdir", str(WORKING), "--clearenv"]
    for variable, value in variables.items():
        command += ["--setenv", variable, value]
    return [*command, str(ENVIRONMENT / "bin" / "python"), str(_EXECUTE), str(EXCHANGE), str(WORKING)]


def _namespaces(internet: bool) -> list[str]:
    shared = [] if internet else ["--unshare-net"]
    own = ["--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try", *shared]
    # Kaggle's notebooks are root in their container; here that is the user who runs this.
    root = ["--uid", "0", "--gid", "0", "--cap-drop", "ALL", "--hostname", "kaggle"]
    return [*own, *root, "--new-session", "--die-with-parent"]


def _system(scratch: Scratch, internet: bool) -> list[str]:
    """The system's programs and libraries, and devices; GPUs where there are some."""
    command = ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        if Path("/", name).exists():
            command += ["--symlink", f"usr/{name}", f"/{name}"]
    command += ["--proc", "/proc", "--dev", "/dev", "--ro-bind-try", "/sys", "/sys", "--dir", "/var"]
    command += ["--symlink", "../tmp", "/var/tmp"]  # noqa: S108
    for device in sorted(Path("/dev").glob("nvidia*")):
        command += ["--dev-bind-try", str(device), str(device)]
    for name in _OF_ETC + (_OF_ETC_WITH_INTERNET if internet else ()):
        command += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    return command + _binds("--ro-bind", {path: Path("/etc", path.name) for path in sorted(scratch.etc.iterdir())})


def _binds(kind: str, places: Mapping[Path, Path | str]) -> list[str]:
    return [word for source, place in places.items() for word in (kind, str(source), str(place))]
