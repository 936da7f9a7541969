"""Python, and the packages against the lock."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from kagglerun.environment.doctor.finding import Finding, Subject
from kagglerun.environment.doctor.probe import PackageState, Probe, PythonState

_OLDEST_PYTHON = (3, 11)
_MOST_NAMED = 6
_OF_WEIGHT = ("torch", "torchvision", "timm", "numpy", "pandas", "lightgbm", "optuna", "mlflow")
"""Results or databases depend on these: they are named first."""


def check_python(probe: Probe) -> Iterator[Finding]:
    """The interpreter is new enough."""
    state = probe.python
    subject = Subject("python", "Python 3.11 or newer, in an environment of its own")
    version = ".".join(map(str, state.version))
    if state.version[:2] < _OLDEST_PYTHON:
        yield subject.error(f"Python {version} at {state.executable}", "apt install python3.12 python3.12-venv")
    elif not state.in_environment and probe.driver.container is None and probe.notebook is None:
        yield subject.warning(
            f"Python {version} of the system: other programs' packages and these may break one another",
            "python3 -m venv .venv && source .venv/bin/activate",
        )
    else:
        yield subject.ok(f"Python {version}")


def check_packages(probe: Probe) -> Iterator[Finding]:
    """What is installed is what the lock says."""
    subject = Subject("packages", "the versions of requirements.lock")
    if not probe.packages:
        yield subject.warning("the lock is not there", _reinstall(probe.python))
        return
    missing = [package for package in probe.packages if package.is_required and package.installed is None]
    installed = [package for package in probe.packages if package.installed is not None]
    others = sorted((one for one in installed if _release(one.installed) != one.locked), key=_weight)
    if missing:
        names = _some([package.name for package in missing])
        yield subject.error(f"{len(missing)} of the packages that kagglerun needs are missing: {names}", _mend(probe))
    if others:
        told = _some([f"{one.name} {one.installed} (lock: {one.locked})" for one in others])
        yield subject.warning(f"{len(others)} of {len(installed)} packages differ: {told}", _mend(probe))
    if not missing and not others:
        yield subject.ok(f"{len(installed)} packages as locked")


def _release(version: str | None) -> str:
    """Without the name of a build: torch 2.6.0+cu124 is 2.6.0."""
    return (version or "").partition("+")[0]


def _weight(package: PackageState) -> tuple[int, str]:
    place = _OF_WEIGHT.index(package.name) if package.name in _OF_WEIGHT else len(_OF_WEIGHT)
    return place, package.name


def _some(names: list[str]) -> str:
    left = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f", and {left} more" if left > 0 else "")


def _mend(probe: Probe) -> str:
    if probe.notebook is not None:
        where = probe.notebook.platform.lower()
        return f"kagglerun notebook CONFIG --for {where} --train    (makes a notebook that installs the lock)"
    return _reinstall(probe.python)


def _reinstall(python: PythonState) -> str:
    if python.checkout is not None:
        own_torch = re.search(r"\.venv-torch([\d.]+)/", python.executable)
        chosen = f" TORCH={own_torch.group(1)}" if own_torch else ""
        return f"make -C {shlex.quote(python.checkout)} setup{chosen}"
    return "kagglerun image build    (a container with the lock's versions)"
