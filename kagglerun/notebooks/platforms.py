"""Where a notebook runs: its folders, how long it lives, what to do when its time is up. Needs nothing but Python."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from kagglerun.errors import unknown_name
from kagglerun.files import write_text

ROOT_VARIABLE = "KAGGLERUN_PLATFORM_ROOT"
"""Environment variable: the folder that /content and /kaggle are in; for tests."""
STARTED_VARIABLE = "KAGGLERUN_SESSION_STARTED"
"""Environment variable: when the session began, in seconds since 1970, where process 1 does not tell."""
NAMES = ("colab", "kaggle")


@dataclass(frozen=True)
class Platform:
    """A place where notebooks run.

    Attributes:
        name: "colab" or "kaggle".
        title: for people.
        local: where work is done; gone after the session.
        lasting: where what must last is kept.
        earlier: folders in which other sessions' outputs are found, to be read only.
        inputs: where competitions' files are mounted; None where they are not.
        hours: how long a session lives at most (colab.research.google.com/signup for the free tier;
            kaggle.com/docs/notebooks for Kaggle, where TPUs have 9).
        spare_minutes: how long before its end work stops, so that saving is over in time. Kaggle uploads the output
            after the last cell, within the same limit.
        go_on: what the user does when the session ends before the work.
        bring_home: how the results come home.
    """

    name: str
    title: str
    local: Path
    lasting: Path
    earlier: tuple[Path, ...]
    inputs: Path | None
    hours: float
    spare_minutes: float
    go_on: str
    bring_home: str


def find_platform(name: str) -> Platform:
    """The platform with this name, under KAGGLERUN_PLATFORM_ROOT or /.

    Raises:
        ConfigError: there is no such platform.
    """
    root = Path(os.environ.get(ROOT_VARIABLE, "/"))
    if name == "colab":
        return _colab(root / "content")
    if name == "kaggle":
        return _kaggle(root / "kaggle", root / "tmp" / "kagglerun")
    raise unknown_name("platform", name, NAMES)


def _colab(content: Path) -> Platform:
    return Platform(
        name="colab",
        title="Colab",
        local=content / "kagglerun",
        lasting=content / "drive" / "MyDrive" / "kagglerun",
        earlier=(),
        inputs=None,
        hours=12,
        spare_minutes=10,
        go_on="connect to a new session and choose Runtime > Run all: it goes on where this one stopped",
        bring_home="at home, with Drive's folder on your machine: kagglerun sync pull '.../My Drive/kagglerun/results'",
    )


def _kaggle(kaggle: Path, local: Path) -> Platform:
    return Platform(
        name="kaggle",
        title="Kaggle",
        local=local,
        lasting=kaggle / "working" / "kagglerun",
        earlier=(kaggle / "input",),
        inputs=kaggle / "input",
        hours=12,
        spare_minutes=25,
        go_on="Add Input > Your Work > this notebook's output, then Save Version > Save & Run All: it goes on where "
        "this one stopped",
        bring_home="at home: kaggle kernels output USER/NOTEBOOK -p F, then kagglerun sync pull F/kagglerun/results",
    )


def session_start(mark: Path, limit_hours: float) -> float:
    """When the session began, in seconds since 1970: the start of the container's first process.

    Where that is longer ago than a session can be (the container is not the session's), it is when the work began
    first in it.

    Args:
        mark: a file that is made when the work begins first, in a folder that does not outlive the session.
        limit_hours: how long a session lives at most.
    """
    if not mark.exists():
        write_text(mark, "")
    named = os.environ.get(STARTED_VARIABLE)
    if named:
        return float(named)
    first = _start_of_first_process()
    if first is not None and 0 <= time.time() - first <= limit_hours * 3600:
        return first
    return mark.stat().st_mtime


def _start_of_first_process() -> float | None:
    """From /proc, in seconds since 1970; None where it does not tell."""
    try:
        # The second field is the program's name in parentheses, which may itself hold spaces.
        ticks = int(Path("/proc/1/stat").read_text("utf-8", errors="replace").rpartition(")")[2].split()[19])
        lines = Path("/proc/stat").read_text("utf-8").splitlines()
        boot = next(int(line.split()[1]) for line in lines if line.startswith("btime "))
    except (OSError, ValueError, IndexError, StopIteration):
        return None
    return boot + ticks / os.sysconf("SC_CLK_TCK")
