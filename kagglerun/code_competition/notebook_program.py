"""What the notebook of a code competition does; this text stands in it as it is, and needs nothing but Python."""

import importlib
import importlib.metadata
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

INPUTS = Path("/kaggle/input")
BEGAN = time.monotonic()
SHARE_OF_TIME = 0.95
"""The rest is for starting, and for writing the file."""


def find_input(slug: str, kinds: tuple[str, ...], holds: str) -> Path:
    """The folder of an input: input/<slug>, or below input/<kind>/.

    Args:
        slug: its slug.
        kinds: patterns of the folders it may be in.
        holds: pattern of a file in it.
    """
    places = [INPUTS / slug, *(place for kind in kinds for place in sorted(INPUTS.glob(f"{kind}/{slug}")))]
    for place in places:
        for _ in place.glob(holds):
            return place
    raise SystemExit(f"Add Input: {slug} is not there; in {INPUTS}: {sorted(map(str, INPUTS.glob('*/*')))[:20]}")


def unpacked(folder: Path, scratch: Path) -> Path:
    """The data set with its folders: where they came as archives they are unpacked elsewhere."""
    archives = sorted(folder.glob("*.zip"))
    if not archives:
        return folder
    for path in sorted(folder.iterdir()):
        if path not in archives:
            scratch.mkdir(parents=True, exist_ok=True)
            (scratch / path.name).symlink_to(path)
    for archive in archives:
        with zipfile.ZipFile(archive) as content:
            content.extractall(scratch / archive.stem)
    return scratch


def install(wheels: Path) -> None:
    """Install kagglerun and what the image lacks, without a network, and check that nothing more is needed."""
    names = sorted(str(path) for path in wheels.glob("*.whl"))
    # Not with what they depend on: pip would then want the image's own packages to fit to each other, and they do not.
    quiet = [
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
        "--no-color",
        "--no-compile",
        "--root-user-action=ignore",
    ]
    command = [sys.executable, "-m", "pip", "install", *quiet, "--no-index", "--no-deps", *names]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()][-4:]
        raise SystemExit("pip could not install the data set's wheels:\n" + "\n".join(last))
    importlib.invalidate_caches()
    missing = sorted({wrong for name in names for wrong in unsatisfied(Path(name).name.partition("-")[0])})
    if missing:
        raise SystemExit(f"a package is missing, and this notebook has no internet: {', '.join(missing)}")


def unsatisfied(package: str) -> Iterator[str]:
    """What an installed package needs and does not find, in words."""
    for text in importlib.metadata.requires(package) or ():
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            found = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            yield f"{text} (for {package})"
            continue
        if not wanted.specifier.contains(found, prereleases=True):
            yield f"{text} (for {package}; there is {found})"


def predict(data_set: Path, data: Path, output: Path, hours: float, memory_gb: float) -> None:
    """Run the inference as a process of its own, show what it says, and end with its error where it fails."""
    left = hours * SHARE_OF_TIME - (time.monotonic() - BEGAN) / 3600
    program = [
        sys.executable,
        "-u",
        "-m",
        "kagglerun.code_competition.inference",
        str(data_set),
        str(data),
        str(output),
    ]
    limits = [
        "--hours",
        f"{left:.4f}",
        "--memory-gb",
        f"{memory_gb:g}",
        "--report",
        str(output.with_name("inference.json")),
    ]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [*program, *limits],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
    )
    last = ""
    assert process.stdout is not None
    for line in process.stdout:
        sys.stdout.write(line)
        sys.stdout.flush()
        last = line.strip() or last
    if process.wait():
        raise SystemExit(f"the inference ended with code {process.returncode}: {last}")
    if not output.exists():
        raise SystemExit(f"{output} was not written")
