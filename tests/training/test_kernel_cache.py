"""The compiled kernel is kept where that is possible, and works where it is not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

PROGRAM = """
import torch, numpy as np
from numba.core import caching
class Impl(caching.CompileResultCacheImpl):
    _locator_classes = []
how = "{how}"
if how == "nowhere":
    caching.FunctionCache._impl_class = Impl
if how == "full disk":
    def full(*_):
        raise OSError(28, "No space left on device")
    caching.IndexDataCacheFile.save = full
from kagglerun.config.augment import AugmentConfig
from kagglerun.training.augmentation import Augmentation
augmentation = Augmentation(AugmentConfig(preset="light"), 1, 8, 8, (0.5,) * 3, (0.5,) * 3)
images = torch.arange(8 * 8 * 3, dtype=torch.uint8).view(1, 8, 8, 3)
draw = augmentation.draw(0, np.zeros(1, np.int64), np.zeros(1, np.int64))
print(float(augmentation.apply(images, draw).double().sum()))
"""


def run(how: str, cache: Path) -> str:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    command = [sys.executable, "-c", PROGRAM.format(how=how)]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


@pytest.mark.slow
def test_the_result_is_the_same_compiled_kept_or_not_to_be_kept(tmp_path: Path) -> None:
    compiled = run("as it is", tmp_path / "cache")
    kept = sorted(path for path in (tmp_path / "cache").rglob("*") if path.is_file())
    assert kept
    before = [path.stat().st_mtime_ns for path in kept]
    assert run("as it is", tmp_path / "cache") == compiled
    assert [path.stat().st_mtime_ns for path in kept] == before
    for how in ("nowhere", "full disk"):
        folder = tmp_path / how
        assert run(how, folder) == compiled
        assert not [path for path in folder.rglob("*") if path.is_file()]
