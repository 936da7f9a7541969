"""What a step frees, the next takes without asking the system."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys, torch
from kagglerun.training.host_memory import reuse_freed_memory
if sys.argv[1] != "none":
    reuse_freed_memory(torch.device(sys.argv[1]))
def step():
    for megabytes in (3, 40, 100):
        torch.empty(megabytes << 18).fill_(1)
for _ in range(5):  # until the heap has its shape
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(device: str) -> int:
    """Pages that five steps of 143 MB each got from the system."""
    command = [sys.executable, "-c", PROGRAM, device]
    return int(subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's malloc is told")
def test_a_cpu_keeps_what_a_step_frees_and_a_gpu_leaves_malloc_alone() -> None:
    untouched = faults("none")
    assert untouched > 5 * 140 * 256 / 2  # pages of 4 KiB; a part may come in larger ones
    assert faults("cuda") > untouched / 2
    assert faults("cpu") < untouched / 50
