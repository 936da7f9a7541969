"""`python -m kagglerun.sweep.ray.make_up SLUG STUDY SECONDS`: pictures and MLflow's values that nodes still owe.

A process of its own: what it does at its end must not change how the coordinator tracks.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

from kagglerun.workspace import StudyPaths, Workspace

_SPARE_SECONDS = 10.0


def main(argv: list[str]) -> int:
    """Draw and track what is owed to the runs of a study.

    Args:
        argv: the competition's slug; the study's name; for how many seconds at most.

    Returns:
        0 when nothing is owed any more.
    """
    from kagglerun.experiment.afterwards import Afterwards

    slug, study, seconds = argv
    afterwards = Afterwards(Workspace.find())
    afterwards.begin()
    afterwards.take_up(slug, study)
    return 0 if afterwards.finish(float(seconds)) else 1


def make_up(workspace: Workspace, paths: StudyPaths, seconds: float) -> None:
    """Do so in another process. What it does not finish, the next attempt at the study makes up for."""
    command = [sys.executable, "-P", "-m", make_up.__module__, paths.slug, paths.name, str(seconds)]
    environment = {**os.environ, "KAGGLERUN_WORKSPACE": str(workspace.root), "CUDA_VISIBLE_DEVICES": ""}
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, timeout=seconds + _SPARE_SECONDS, check=False
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
