"""`python -m kagglerun.jobs.cluster_process FOLDER ROOT`: the process of a job on a cluster.

Ray starts it on the cluster's head; from then on it is the same as on one machine: it writes pid, status and log
into the job's folder, which both machines see.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from kagglerun.jobs.child import close_standard_input
from kagglerun.jobs.records import read_spec
from kagglerun.jobs.run import run_job
from kagglerun.workspace import JobPaths

NOT_SHARED_EXIT_CODE = 4


def main(argv: list[str]) -> int:
    """Run a job.

    Args:
        argv: the job's folder; the workspace.

    Returns:
        The exit code.
    """
    paths, root = JobPaths(Path(argv[0])), Path(argv[1])
    if not paths.spec.is_file():
        sys.stdout.write(f"this machine does not see {paths.folder}\n")
        return NOT_SHARED_EXIT_CODE
    os.environ["KAGGLERUN_WORKSPACE"] = str(root)
    os.chdir(root / read_spec(paths).cwd)
    _print_into(paths.log)
    nobody, ready = os.pipe()
    code = run_job(paths.folder, ready)
    os.close(nobody)
    return code


def _print_into(log: Path) -> None:
    """Lead standard output and error to the end of the job's log."""
    close_standard_input()
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
