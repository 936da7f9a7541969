"""Faults at a submission: slots spent, false successes, and what the same command again came to.

python tests/benchmarks/submit_faults.py
"""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.submission.fault_cases import CASES, opened, table


def report() -> str:
    """The section for RESULTS.md."""
    os.environ["KAGGLERUN_MLFLOW_URI"] = "none"
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(sys.stderr), opened(Path(folder)) as stand:
        outcomes = [stand.tries(case) for case in CASES]
    twice = sum(outcome.slots > 1 for outcome in outcomes)
    false = sum(outcome.false_success for outcome in outcomes)
    well = sum(outcome.ends_well for outcome in outcomes)
    return (
        "### Faults at a submission\n\n"
        f"`kagglerun submit RUN --yes` against the practice server, {len(CASES)} times with something going wrong, "
        f"then the same command without. Slots spent twice: {twice}. False successes: {false}. One submission with its "
        f"score in the ledger in the end: {well} of {len(CASES)}.\n\n{table(outcomes)}"
    )


if __name__ == "__main__":
    print(report())
