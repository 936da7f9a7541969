"""The first cell of a notebook: it unpacks what the notebook carries and installs it.

This file's text stands in the notebook as it is, so it needs nothing but Python, and none of kagglerun.
"""

import base64
import hashlib
import importlib
import lzma
import re
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path

TORCH_AND_ITS_OWN = re.compile(r"(torch|torchvision|triton|sympy|cuda-.*|nvidia-[^m].*)==")
"""What a platform's own torch was built with stays with it."""
LOCK = "kagglerun/environment/requirements.lock"


def install(payload: str, folder: str, packages: str) -> None:
    """Unpack the payload and install what is in it.

    Args:
        payload: base 85 of an xz of a zip: kagglerun's wheel, the plan, the config, the card, the hooks.
        folder: where it is unpacked.
        packages: "locked", "keep-torch" or "platform".
    """
    if sys.version_info < (3, 11):  # noqa: UP036
        raise SystemExit(f"this Python is {sys.version.split()[0]}; kagglerun needs 3.11 or newer")
    unpack(payload, folder)
    wheel = next(Path(folder).glob("*.whl"))
    done = Path(folder, "installed")
    what = f"{packages} {hashlib.sha256(wheel.read_bytes()).hexdigest()} {sys.prefix}"
    if not done.exists() or done.read_text() != what:
        _install(wheel, Path(folder, "requirements.txt"), packages)
        done.write_text(what)
    for name in [name for name in sys.modules if name.partition(".")[0] == "kagglerun"]:
        del sys.modules[name]  # another notebook's, in the same kernel
    importlib.invalidate_caches()


def _install(wheel: Path, requirements: Path, packages: str) -> None:
    with zipfile.ZipFile(wheel) as content:
        locked = chosen(content.read(LOCK).decode(), packages)
    if locked:
        requirements.write_text(locked)
        _pip("--no-deps", "--require-hashes", "-r", str(requirements))
    _pip("--no-deps", "--no-index", "--force-reinstall", str(wheel))


def unpack(payload: str, folder: str) -> None:
    """Write the files of the payload into a folder; see `install`."""
    with zipfile.ZipFile(BytesIO(lzma.decompress(base64.b85decode("".join(payload.split()))))) as carried:
        carried.extractall(folder)


def chosen(lock: str, packages: str) -> str:
    """The part of the lock that is installed.

    Args:
        lock: requirements with hashes; an entry's further lines are indented.
        packages: see `install`.
    """
    entries = re.findall(r"^[A-Za-z0-9].*(?:\n[ \t].*)*", lock, re.MULTILINE) if packages != "platform" else []
    kept = [entry for entry in entries if packages == "locked" or not TORCH_AND_ITS_OWN.match(entry)]
    return "".join(f"{entry}\n" for entry in kept)


def _pip(*arguments: str) -> None:
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input", "--root-user-action=ignore"]
    done = subprocess.run([sys.executable, "-m", "pip", "install", *quiet, *arguments], capture_output=True, text=True)
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-8:])
        raise SystemExit(f"pip could not install it:\n{last}\nIs the notebook's internet switched on?")
