"""What `kagglerun doctor` finds here, how long that takes, and what `--bench` measures.

python tests/benchmarks/doctor.py
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from typing import Any


def report() -> str:
    """The part of RESULTS.md."""
    with tempfile.TemporaryDirectory(prefix="kagglerun-doctor-benchmark-") as folder:
        seconds, _ = _run(folder)
        bench_seconds, told = _run(folder, "--bench")
    faults = [finding for finding in told["findings"] if finding["level"] != "ok"]
    lines = [
        "### The doctor",
        "",
        f"`kagglerun doctor --offline` took {seconds:.1f} s, with `--bench` {bench_seconds:.1f} s: "
        f"{len(told['findings'])} findings, {len(faults)} of them faults.",
        "",
        *[f"- {finding['level']}: {finding['check']}: {finding['found']}" for finding in faults],
        "",
        "| measured | reached | published | share |",
        "|---|---|---|---|",
    ]
    for rate in told["bench"]["rates"]:
        lines.append(f"| {rate['name']} | {rate['reached']} | {rate['published'] or ''} | {rate['share'] or ''} |")
    return "\n".join(lines)


def _run(folder: str, *options: str) -> tuple[float, dict[str, Any]]:
    command = [sys.executable, "-m", "kagglerun", "doctor", "--offline", "--json", *options]
    began = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    told: dict[str, Any] = json.loads(done.stdout)
    return seconds, told


if __name__ == "__main__":
    print(report())
