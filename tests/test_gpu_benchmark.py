"""The script that measures on GPUs works; what it measures is for a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "benchmarks" / "gpu.py"


@pytest.mark.long
def test_the_gpu_script_runs_through_on_a_cpu_and_its_trainings_repeat(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--device", "cpu", "--quick"],
        capture_output=True,
        text=True,
        timeout=280,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "FAILED" not in done.stdout, done.stderr[-2000:]
    assert "twice EQUAL, stopped and resumed EQUAL" in done.stdout
    assert "trained to the end; out of memory" in done.stdout
    assert "DIFFERENT" not in done.stdout
    left = [path.name for path in tmp_path.iterdir() if not path.name.startswith("torchinductor")]
    assert not left, "images and stores are removed"


def test_without_a_gpu_the_section_says_so() -> None:
    sys.path.insert(0, str(SCRIPT.parent))
    try:
        import gpu
        import torch
    finally:
        sys.path.remove(str(SCRIPT.parent))
    if not torch.cuda.is_available():
        assert "no GPU" in gpu.report()
