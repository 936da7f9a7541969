"""All benchmarks: `make bench`. Adds a dated section to RESULTS.md.

    python tests/benchmarks/run.py [--parts fetch,engine] [--data FOLDER_WITH_REAL_BUNDLES] [--trials 5]

Figures that compare are measured side by side in one run and given as ratios.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import carrying
import choosing
import coordinator
import data_path
import doctor
import engine
import ensembling
import fetch
import gpu
import long_sweep
import memory
import postprocessing
import pruning
import real_scores
import study_page
import submission_file
import submit_faults
import sweep_kills
import throughput
import transfer

RESULTS = Path(__file__).parent / "RESULTS.md"


def main() -> None:
    """Run all benchmarks and write their section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("KAGGLERUN_TEST_DATA"))
    parser.add_argument("--trials", type=int, default=5)
    every = "carrying,choosing,command_line,coordinator,data_path,doctor,engine,ensembling,fetch,memory,"
    every += "postprocessing,pruning,real_scores,study_page,submission_file,submit_faults,sweep_kills,throughput,"
    every += "transfer"
    parser.add_argument("--parts", default=every, help="which of them, with commas")
    chosen = parser.parse_args()
    reports: dict[str, Callable[[], str]] = {
        "command_line": command_line,
        "gpu": gpu.report,
        "carrying": carrying.report,
        "choosing": choosing.report,
        "coordinator": coordinator.report,
        "data_path": lambda: data_path.report(Path(chosen.data)),
        "doctor": doctor.report,
        "engine": engine.report,
        "ensembling": lambda: ensembling.report(Path(chosen.data)),
        "fetch": lambda: fetch.report(fetch.Shape(2_000_000_000, 50_000), rounds=3),
        "long_sweep": long_sweep.report,
        "memory": memory.report,
        "postprocessing": postprocessing.report,
        "pruning": lambda: pruning.report(Path(chosen.data)),
        "real_scores": lambda: real_scores.report(Path(chosen.data), chosen.trials),
        "study_page": study_page.report,
        "submit_faults": submit_faults.report,
        "submission_file": submission_file.report,
        "sweep_kills": sweep_kills.report,
        "throughput": throughput.report,
        "transfer": lambda: transfer.report(Path(chosen.data)),
    }
    on_real_data = ("data_path", "ensembling", "pruning", "real_scores", "transfer")
    wanted = [part for part in chosen.parts.split(",") if part not in on_real_data or chosen.data]
    section = "\n\n".join([heading(), *(reports[part]() for part in wanted)]) + "\n"
    before = RESULTS.read_text("utf-8") if RESULTS.exists() else "# Results\n"
    RESULTS.write_text(f"{before.rstrip()}\n\n{section}", "utf-8")
    print(section)


def heading() -> str:
    """Date, machine and versions."""
    names = ("torch", "timm", "lightgbm", "optuna", "mlflow", "pandas")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    cores = len(os.sched_getaffinity(0))
    return (
        f"## {datetime.now(UTC):%Y-%m-%d}, {cores} CPU cores ({processor()}), no GPU\n\n"
        f"Python {platform.python_version()}, {versions}."
    )


def processor() -> str:
    """Model name of the CPU."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def command_line() -> str:
    """Time to answer of the two commands that must not import anything heavy; median of seven."""
    rows = ["### Answer times of the command line", "", "| command | median seconds |", "|---|---|"]
    for arguments in (["--help"], ["jobs"]):
        command = [sys.executable, "-m", "kagglerun", *arguments]
        seconds = median_seconds(lambda command=command: subprocess.run(command, capture_output=True, check=True))
        rows.append(f"| `kagglerun {' '.join(arguments)}` | {seconds:.2f} |")
    return "\n".join(rows)


def median_seconds(action: Callable[[], object], repeats: int = 7) -> float:
    """Median wall time of an action, in seconds."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


if __name__ == "__main__":
    main()
