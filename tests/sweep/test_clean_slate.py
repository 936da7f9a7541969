"""What a trial sets in its process ends with it."""

from __future__ import annotations

import os
import random
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from kagglerun.importing import import_file
from kagglerun.sweep.clean_slate import CleanSlate


@pytest.fixture
def slate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CleanSlate:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return CleanSlate.take(tmp_path)


def test_generators_start_alike_for_every_trial(slate: CleanSlate) -> None:
    drawn = []
    for count in (1, 5):
        slate.restore()
        drawn.append((random.random(), float(np.random.random()), float(torch.rand(()))))
        [random.random() + np.random.random() + torch.rand(()) for _ in range(count)]
    assert drawn[0] == drawn[1]


def test_settings_of_torch_and_numpy_are_put_back(slate: CleanSlate) -> None:
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.use_deterministic_algorithms(True)
    np.seterr(all="raise")
    slate.restore()
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()
    assert not torch.backends.cudnn.benchmark
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.are_deterministic_algorithms_enabled()
    assert np.geterr()["divide"] == "warn"


def test_environment_folder_paths_and_warnings_are_put_back(slate: CleanSlate, tmp_path: Path) -> None:
    home, filters = os.environ["HOME"], list(warnings.filters)
    os.environ.update({"HOME": "elsewhere", "OF_A_TRIAL": "1", "KMP_SETTING": "of a library"})
    (tmp_path / "below").mkdir()
    os.chdir(tmp_path / "below")
    sys.path.insert(0, "of a trial")
    warnings.simplefilter("ignore")
    slate.restore()
    assert os.environ["HOME"] == home
    assert "OF_A_TRIAL" not in os.environ
    assert os.environ.pop("KMP_SETTING") == "of a library"
    assert Path.cwd() == tmp_path
    assert "of a trial" not in sys.path
    assert list(warnings.filters) == filters


def test_modules_beside_the_hooks_are_imported_anew_when_they_change(
    slate: CleanSlate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks, helping = tmp_path / "hooks.py", tmp_path / "helping_hooks.py"
    hooks.write_text(
        f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\nimport helping_hooks\nseen = helping_hooks.x\n"
    )
    for number in (1, 2, 2, 3):
        helping.write_text(f"x = {number}\n")
        os.utime(helping, (1_700_000_000, 1_700_000_000))
        slate.restore()
        assert import_file(hooks).seen == number
    monkeypatch.delitem(sys.modules, "helping_hooks")


def test_modules_that_stay_as_they_are_stay_imported(
    slate: CleanSlate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kagglerun.sweep.clean_slate._COARSEST_NS", -(10**12))
    (tmp_path / "staying_module.py").write_text("x = []\n")
    sys.path.insert(0, str(tmp_path))
    first = __import__("staying_module")
    slate.restore()
    slate.restore()
    assert sys.modules["staying_module"] is first
    monkeypatch.delitem(sys.modules, "staying_module")
