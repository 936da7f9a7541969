"""What a run depends on, digested, and the machine it ran on."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

import kagglerun
from kagglerun.config.schema import Config
from kagglerun.files import sha256_of_file, sha256_of_json
from kagglerun.metrics import Metric, source_of

_PACKAGES = (
    *("torch", "torchvision", "timm", "numpy", "numba", "pandas", "pyarrow"),
    *("scikit-learn", "lightgbm", "pillow", "optuna", "mlflow"),
)
_ONLY_HOW = ("name", "sweep")
_THAT_COUNT = ("packages", "device", "python", "threads", "image")


@dataclass(frozen=True)
class Fingerprint:
    """What a run depends on; each is a hex digest or a short text.

    Attributes:
        data: the competition's files.
        folds: which training row is validated in which fold.
        metric: name, version and parameters.
        config: the resolved config, without the study around it.
        code: the package's source.
        hooks: the competition's hooks.py, or "none".
        environment: package versions, device and threads.
        comparable: data, folds and metric together: runs compare only where it is equal.
    """

    data: str
    folds: str
    metric: str
    config: str
    code: str
    hooks: str
    environment: str
    comparable: str

    def to_dict(self) -> dict[str, str]:
        """All parts by name."""
        return asdict(self)


def take_fingerprint(
    config: Config,
    data: str,
    folds: str,
    metric: Metric,
    parameters: Mapping[str, Any],
    hooks: str | None,
    environment: Mapping[str, Any],
    weights: str | None = None,
) -> Fingerprint:
    """Digest what a run depends on.

    Args:
        config: the resolved config.
        data: digest of the competition's files.
        folds: signature of the folds.
        metric: the metric.
        parameters: its parameters.
        hooks: digest of hooks.py, or None.
        environment: see `describe_environment`.
        weights: digest of the file the model starts from, or None.
    """
    not_said = {"postprocess"} if config.postprocess.is_default else set()
    measured = f"{metric.name} v{metric.version} {sha256_of_json(dict(parameters))[:12]}"
    chosen = config.cv.folds or "all"
    return Fingerprint(
        data=data,
        folds=folds,
        metric=measured,
        config=sha256_of_json([config.model_dump(mode="json", exclude={*_ONLY_HOW, *not_said}), weights]),
        code=digest_of_package(),
        hooks=hooks or "none",
        environment=sha256_of_json({name: environment[name] for name in _THAT_COUNT if name in environment}),
        comparable=sha256_of_json([data, folds, measured, chosen, code_that_measures(metric)]),
    )


def code_that_measures(metric: Metric) -> str | None:
    """Hex SHA-256 of the file with the code of a user's own metric, which runs must share to compare; else None."""
    path = source_of(metric)
    return sha256_of_file(path) if path is not None and path.is_file() else None


def digest_of_package() -> str:
    """Hex SHA-256 over the package's source files, by name."""
    root = Path(kagglerun.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def describe_environment(config: Config) -> dict[str, Any]:
    """Machine, device and versions: what environment.json holds. No names of users, hosts or variables.

    `image` is there in a container whose image's digest is known.
    """
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    use_gpu = bool(gpus) and config.training.device != "cpu"
    return {
        "kagglerun": kagglerun.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "gpus": gpus,
        "device": gpus[0] if use_gpu else f"cpu {_processor()}",
        "threads": config.training.cpu_threads,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
        "packages": {name: _version(name) for name in _PACKAGES},
        **_image(),
    }


def _image() -> dict[str, str]:
    digest = os.environ.get("KAGGLERUN_IMAGE_DIGEST")
    return {"image": digest} if digest else {}


def _processor() -> str:
    """Model name of the CPU: vector widths, and so the order of sums, depend on it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text("utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
