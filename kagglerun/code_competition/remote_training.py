"""Training on Kaggle's machines as if it were done here: a training notebook is pushed, watched, and its runs fetched.

The notebook keeps its work in its output (see `notebooks.keep`); one whose time was up is pushed again with its own
output as an input, and goes on to the same bits. What is pushed, and how far it has come, stands in the workspace, so
that the same command goes on after Ctrl-C, a closed terminal or a lost connection.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kagglerun.errors import KernelFailed
from kagglerun.experiment.sync.after_pull import replay
from kagglerun.experiment.sync.outcome import Outcome
from kagglerun.experiment.sync.pull import pull
from kagglerun.experiment.sync.selection import Selection
from kagglerun.experiment.sync.target import opened, target_of
from kagglerun.files import read_json, write_json, write_text
from kagglerun.kaggle_api.client import KaggleClient
from kagglerun.kaggle_api.data_sets import push_data_set
from kagglerun.kaggle_api.kernel_output import kernel_output
from kagglerun.kaggle_api.kernel_push import KERNEL_METADATA, push_kernel
from kagglerun.kaggle_api.kernels import (
    KernelState,
    KernelVersion,
    kernel_log,
    require_complete,
    wait_for_kernel,
)
from kagglerun.kaggle_api.owned import user_of
from kagglerun.notebooks.attached import write_data_set
from kagglerun.notebooks.build import Notebook, kernel_metadata
from kagglerun.notebooks.session import TIME_IS_UP
from kagglerun.paths import KernelPaths
from kagglerun.workspace import Workspace

_NOTEBOOK = "training.ipynb"
_DATA_SET = "data-set"
_RESULTS = "kagglerun/results"
_QUEUE_HOURS = 1.0
_MOST_SESSIONS = 40
"""A week of sessions of 12 hours has 14; more than these is a notebook that does not get on."""


@dataclass(frozen=True)
class RemoteTraining:
    """A training that runs on the server.

    Attributes:
        paths: what is kept of it here.
        hours: how long one of its sessions lives.
        session: how many sessions there were before this one.
    """

    paths: KernelPaths
    hours: float
    session: int

    @property
    def metadata(self) -> Path:
        """The description that is pushed."""
        return self.paths.notebook / KERNEL_METADATA


def begin_training(workspace: Workspace, client: KaggleClient, notebook: Notebook, slug: str) -> RemoteTraining:
    """Write down what is pushed, or take up what the same command began before.

    Args:
        workspace: where it is kept, and where the runs come to.
        client: where it runs.
        notebook: the training notebook.
        slug: the competition, whose files are mounted there.
    """
    said = kernel_metadata(_NOTEBOOK, notebook, user_of(client)) | {"competition_sources": [slug]}
    paths = workspace.kernel(str(said["id"]).split("/")[-1])
    if paths.remote.is_file():
        kept = read_json(paths.remote)
        return RemoteTraining(paths, float(kept["hours"]), int(kept["session"]))
    shutil.rmtree(paths.folder, ignore_errors=True)  # of a command that was cut off while it wrote this
    if notebook.attached is not None:
        write_data_set(paths.notebook / _DATA_SET, notebook.attached, user_of(client))
    write_text(paths.notebook / _NOTEBOOK, notebook.text)
    write_json(paths.notebook / KERNEL_METADATA, said)
    training = RemoteTraining(paths, notebook.plan.hours, 0)
    _remember(training)
    return training


def _remember(training: RemoteTraining) -> None:
    write_json(training.paths.remote, {"hours": training.hours, "session": training.session})


def train_there(
    workspace: Workspace,
    client: KaggleClient,
    training: RemoteTraining,
    tell: Callable[[str], None],
    waiting: Callable[[float, KernelState], None] | None = None,
) -> list[Outcome]:
    """Push the notebook, wait until its work is done, over as many sessions as that takes, and bring its runs here.

    Args:
        workspace: to where.
        client: where it runs.
        training: from `begin_training`.
        tell: takes one line for each step.
        waiting: told the seconds that a session has been waited for, and how far it is.

    Returns:
        What came of each run and study.

    Raises:
        KernelFailed: the notebook failed there; with the end of its log.
        KaggleError: the server refused, or could not be reached; the same command goes on.
    """
    for session in range(training.session, _MOST_SESSIONS):
        training = RemoteTraining(training.paths, training.hours, session)
        _remember(training)
        kernel = _push(client, training, tell)
        status = wait_for_kernel(client, kernel.ref, (training.hours + _QUEUE_HOURS) * 3600, waiting)
        if status.state is KernelState.FAILED:
            training.paths.pushed.unlink(missing_ok=True)  # the same command pushes it anew
        require_complete(client, kernel, status)
        if TIME_IS_UP not in kernel_log(client, kernel.ref):
            return _bring_home(workspace, client, kernel, tell)
        tell("its session's time was up; the next one goes on from there")
    raise KernelFailed(f"the training was not done after {_MOST_SESSIONS} sessions")


def _push(client: KaggleClient, training: RemoteTraining, tell: Callable[[str], None]) -> KernelVersion:
    """Push what is not there yet; from the second session on with what the one before kept."""
    data_set = training.paths.notebook / _DATA_SET
    if data_set.is_dir():
        push_data_set(client, data_set, tell)
    said: dict[str, Any] = read_json(training.metadata)
    if training.session and not said["kernel_sources"]:
        write_json(training.metadata, said | {"kernel_sources": [said["id"]]})
    kernel = push_kernel(
        client, training.paths.notebook, memory=training.paths.pushed, depends=f"session {training.session}"
    )
    tell(f"notebook {kernel.ref}, version {kernel.version}: {'pushed' if kernel.pushed else 'is there already'}")
    return kernel


def _bring_home(
    workspace: Workspace,
    client: KaggleClient,
    kernel: KernelVersion,
    tell: Callable[[str], None],
) -> list[Outcome]:
    """Fetch what the notebook packed, and pull it as from any other target, which is never in the workspace."""
    with tempfile.TemporaryDirectory(prefix="kagglerun-output-") as folder:
        fetched = kernel_output(client, kernel.ref, Path(folder), lambda name: name.startswith(f"{_RESULTS}/"))
        if not fetched:
            raise KernelFailed(
                f"the notebook {kernel.ref}, version {kernel.version}, is complete and packed no runs",
                hint=f"its log: kaggle kernels logs {kernel.ref}",
            )
        with opened(workspace, target_of(workspace, str(Path(folder) / _RESULTS))) as store:
            outcomes = pull(workspace, store, Selection())
    if problem := replay(workspace, outcomes):
        tell(f"MLflow does not know them yet: {problem}; later: kagglerun track sync --all")
    return outcomes
