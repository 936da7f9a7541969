"""Sweeps with `kill -9` on coordinator or workers at random moments, each compared with one that was left alone.

python tests/benchmarks/sweep_kills.py [NUMBER]
"""

from __future__ import annotations

import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.sweep.killed_sweeps import Outcome, run_killed, run_left_alone

AT_ONCE = 2
KILLS_WITHIN_SECONDS = 8.0


def report(sweeps: int = 30) -> str:
    """The section for RESULTS.md."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        whole = run_left_alone(Path(folder) / "whole")
        seconds = time.monotonic() - begun
        with ThreadPoolExecutor(AT_ONCE) as pool:
            killed = list(pool.map(lambda seed: _killed(Path(folder), seed), range(sweeps)))
    same = sum(outcome.equals(whole) for outcome, _ in killed)
    kills = sum(outcome.kills for outcome, _ in killed)
    counts = {state: sum(str(trial[1]) == state for trial in whole.trials) for state in ("COMPLETE", "PRUNED", "FAIL")}
    longest = max(taken for _, taken in killed)
    return (
        "### Killed sweeps\n\n"
        f"{sweeps} sweeps of a small network ({len(whole.trials)} trials: {counts['COMPLETE']} complete, "
        f"{counts['PRUNED']} stopped early), each with up to three `kill -9` on the coordinator or a "
        "worker at random moments, resumed each time: the same trials, values, states, fold scores, curves and race, "
        "and the same predictions of the best run to the last bit.\n\n"
        "| sweeps | kills | equal to the one left alone | seconds, left alone | longest, killed, two at once |\n"
        "|---|---|---|---|---|\n"
        f"| {sweeps} | {kills} | {same} | {seconds:.0f} | {longest:.0f} |"
    )


def _killed(folder: Path, seed: int) -> tuple[Outcome, float]:
    begun = time.monotonic()
    outcome = run_killed(folder / f"killed {seed}", seed, KILLS_WITHIN_SECONDS)
    return outcome, time.monotonic() - begun


if __name__ == "__main__":
    print(report(int(sys.argv[1]) if len(sys.argv) > 1 else 30))
