"""The state of a process that executes one trial after another, put back before each: no trial knows of the last one.

What trials follow from is a function of seeds, so nothing here changes a result of the built-in models. A
competition's own code may read a global generator, set a thread count or a default type; it must find in a worker
what it finds in a fresh process.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import random
import sys
import sysconfig
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from kagglerun.importing import OWN_MODULES

_SEED = 0

_Stamp = tuple[int, int, int]
_COARSEST_NS = 2_000_000_000
"""File systems note times in steps of up to two seconds."""


class OwnModules:
    """Modules in the workspace that a competition's code imports; all are imported anew once the file of one changes.

    Args:
        root: the workspace.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._looked_ns = time.time_ns()
        self._stamps: dict[str, _Stamp] = {}

    def forget_changed(self) -> None:
        """Drop them all from the imported modules if one changed since it was looked at or imported."""
        files = _modules_in(self._root)
        stamps = {name: _stamp(path) for name, path in files.items()}
        if any(self._is_changed(name, stamp) for name, stamp in stamps.items()):
            for name, path in files.items():
                # Bytecode is told from its source by second and size alone, and an edit may change neither.
                Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)
                del sys.modules[name]
            importlib.invalidate_caches()
            stamps = {}
        self._stamps, self._looked_ns = stamps, time.time_ns()

    def _is_changed(self, name: str, stamp: _Stamp) -> bool:
        known = self._stamps.get(name)
        # One that was imported since the last look may have changed after that.
        return max(stamp[:2]) > self._looked_ns - _COARSEST_NS if known is None else stamp != known


@dataclass(frozen=True)
class CleanSlate:
    """What was set when the process began.

    Attributes:
        environment: environment variables.
        folder: the current folder.
        search_path: sys.path.
        filters: filters of warnings.
        float_errors: numpy's answer to overflow and the like.
        python_random: state of Python's generator.
        modules: the user's modules that were imported since.
    """

    environment: dict[str, str]
    folder: str
    search_path: tuple[str, ...]
    filters: tuple[Any, ...]
    float_errors: Any  # numpy names no public type for it
    python_random: tuple[Any, ...]
    modules: OwnModules

    @classmethod
    def take(cls, root: Path) -> CleanSlate:
        """Note how things stand, before the first trial of a workspace."""
        random.seed(_SEED)
        return cls(
            dict(os.environ),
            str(Path.cwd()),
            tuple(sys.path),
            tuple(warnings.filters),
            np.geterr(),
            random.getstate(),
            OwnModules(root),
        )

    def restore(self) -> None:
        """Put everything back."""
        _put_back_environment(self.environment)
        with contextlib.suppress(OSError):
            os.chdir(self.folder)
        sys.path[:] = self.search_path
        warnings.filters[:] = self.filters  # type: ignore[index]
        np.seterr(**self.float_errors)
        random.setstate(self.python_random)
        np.random.seed(_SEED)
        self.modules.forget_changed()
        torch = sys.modules.get("torch")
        if torch is not None:
            _put_back_torch(torch)


def _put_back_environment(before: dict[str, str]) -> None:
    """Variables that trials set go. Those that our own libraries set for themselves are none of a trial's."""
    for name in set(os.environ) - set(before):
        if not name.startswith(_OF_LIBRARIES):
            del os.environ[name]
    os.environ.update(before)


_OF_LIBRARIES = (
    *("KMP_", "TORCH", "PYTORCH", "TRITON_", "CUDA_", "CUBLAS_", "HF_"),
    *("MLFLOW_", "DO_NOT_TRACK", "GIT_PYTHON_REFRESH"),
)
"""Read once when a library starts, or set by our own code for the whole process."""


def _put_back_torch(torch: ModuleType) -> None:
    """Torch's settings as they are when it is imported; threads are set by each run."""
    torch.manual_seed(_SEED)
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    torch.set_grad_enabled(True)
    torch.autograd.set_detect_anomaly(False)
    if torch.are_deterministic_algorithms_enabled():  # switching off what is off imports torch's compiler, in seconds
        torch.use_deterministic_algorithms(False)
    if hasattr(torch.backends, "fp32_precision"):
        torch.backends.fp32_precision = "none"
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = False
    torch.backends.cudnn.enabled = True
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = True


def _modules_in(root: Path) -> dict[str, Path]:
    """Imported modules whose source is in a folder, but for installed packages and hooks.py, which is always new."""
    found = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        # To resolve the paths of thousands of installed modules takes a quarter of a second.
        if file.startswith(_INSTALLED) or name.partition(".")[0] == _OURS:
            continue
        path = Path(file).resolve()
        is_own = path.suffix == ".py" and path.is_relative_to(root) and not path.is_relative_to(sys.prefix)
        if is_own and name != "__main__" and not name.startswith(OWN_MODULES):
            found[name] = path
    return found


_INSTALLED = tuple({f"{sysconfig.get_path(name)}/" for name in ("stdlib", "platstdlib", "purelib", "platlib")})
_OURS = __name__.partition(".")[0]
"""A workspace may be a checkout of this package."""


def _stamp(path: Path) -> _Stamp:
    """Times of change of content and inode, and the inode; zeros for a file that is gone."""
    try:
        known = path.stat()
    except OSError:
        return (0, 0, 0)
    return (known.st_mtime_ns, known.st_ctime_ns, known.st_ino)
