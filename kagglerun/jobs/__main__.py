"""`python -m kagglerun.jobs FOLDER FD`: the process of a job; `launch` starts it."""

from __future__ import annotations

import sys
from pathlib import Path

from kagglerun.jobs.run import detach, run_job

if __name__ == "__main__":
    detach()
    sys.exit(run_job(Path(sys.argv[1]), int(sys.argv[2])))
