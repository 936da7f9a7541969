"""Whether this is a session of Colab or of Kaggle, and what it got.

Limits: Kaggle ends a session after 12 hours (its documentation, "Notebooks", technical specifications); Colab after 12
hours at most, earlier when idle or when GPUs are short (its FAQ), after 24 with Pro+, which it does not tell inside.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from kagglerun.environment.doctor.gpu_states import GpuState
from kagglerun.environment.doctor.probe import KaggleState, NotebookState
from kagglerun.workspace import Workspace

_LIMIT_SECONDS = {"Kaggle": 12 * 3600.0, "Colab": 12 * 3600.0}
_KAGGLE_TPU_SECONDS = 9 * 3600.0
_DRIVE = Path("/content/drive")


def notebook_state(
    gpus: tuple[GpuState, ...],
    kaggle: KaggleState,
    workspace: Workspace | None,
    environment: Mapping[str, str] | None = None,
    session_seconds: float | None = None,
) -> NotebookState | None:
    """The session that this process is in; None outside of one.

    Args:
        gpus: what it got.
        kaggle: whether Kaggle was reached, which is what internet means here.
        workspace: what is to outlive the session.
        environment: environment variables; this process's by default.
        session_seconds: how long it has lasted; since the container began by default.
    """
    names = os.environ if environment is None else environment
    platform = _platform(names)
    if platform is None:
        return None
    accelerator = ", ".join(gpu.name for gpu in gpus) or ("TPU" if _has_tpu(names) else "none")
    is_batch = names.get("KAGGLE_KERNEL_RUN_TYPE") == "Batch"
    return NotebookState(
        platform=platform,
        accelerator=accelerator,
        session_seconds=_since_start() if session_seconds is None else session_seconds,
        limit_seconds=_KAGGLE_TPU_SECONDS if (platform, accelerator) == ("Kaggle", "TPU") else _LIMIT_SECONDS[platform],
        internet=kaggle.reachable if kaggle.asked else None,
        persistent=is_batch if platform == "Kaggle" else _on_drive(workspace),
    )


def _platform(names: Mapping[str, str]) -> str | None:
    if names.get("KAGGLE_KERNEL_RUN_TYPE"):
        return "Kaggle"
    return "Colab" if names.get("COLAB_RELEASE_TAG") or names.get("COLAB_BACKEND_VERSION") else None


def _has_tpu(names: Mapping[str, str]) -> bool:
    return any(names.get(name) for name in ("TPU_ACCELERATOR_TYPE", "TPU_WORKER_ID", "COLAB_TPU_ADDR"))


def _on_drive(workspace: Workspace | None) -> bool:
    return workspace.root.is_relative_to(_DRIVE) if workspace is not None else (_DRIVE / "MyDrive").is_dir()


def _since_start() -> float | None:
    """Since the container's first process began, which the platform starts with the session."""
    try:
        return max(0.0, time.time() - psutil.Process(1).create_time())
    except psutil.Error:
        return None
