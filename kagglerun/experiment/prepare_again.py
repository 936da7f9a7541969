"""A competition made ready once more, to judge what finished runs predicted."""

from __future__ import annotations

from kagglerun.config.load import load_config
from kagglerun.errors import DataError
from kagglerun.experiment.prepare import Prepared, prepare
from kagglerun.experiment.runs import RunSummary
from kagglerun.workspace import RunPaths, Workspace

_PARTS = ("data", "folds", "metric")


def prepare_again(workspace: Workspace, config_of: RunPaths, wanted: RunSummary) -> Prepared:
    """The competition, made ready as for a finished run.

    Args:
        workspace: where the competition is.
        config_of: the run whose frozen config says how; one that was trained.
        wanted: the run whose data, folds and metric there must be.

    Raises:
        DataError: they are not what they were when that run began.
    """
    prepared = prepare(workspace, load_config(config_of.config))
    now = prepared.fingerprint
    if now.comparable != wanted.comparable:
        parts = [part for part in _PARTS if getattr(now, part) != wanted.fingerprint.get(part)]
        raise DataError(
            f"the {' and '.join(parts) or 'metric code'} of {wanted.slug} changed since the run {wanted.run_id} began, "
            "so that its predictions cannot be judged any more",
            hint="train the runs again, or bring back the files: kagglerun fetch",
        )
    return prepared
