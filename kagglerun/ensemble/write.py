"""The folder of an ensemble's run: the files that every run has, and ensemble.json; metrics.json last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kagglerun.config.schema import Config
from kagglerun.ensemble.gains import Gain
from kagglerun.ensemble.pictures import draw_correlations, draw_weights
from kagglerun.experiment import plots
from kagglerun.experiment.exclusive import working_in
from kagglerun.experiment.fingerprint import Fingerprint
from kagglerun.experiment.frozen import freeze
from kagglerun.experiment.postprocess import Postprocess
from kagglerun.experiment.postprocess.stored import write as write_postprocess
from kagglerun.experiment.predictions import Predictions, write_predictions
from kagglerun.experiment.prepare import Prepared
from kagglerun.experiment.rerun.record import write_record
from kagglerun.experiment.run import write_status
from kagglerun.experiment.sync.behind import push_behind
from kagglerun.files import write_json
from kagglerun.tracking import Tracker, open_tracker
from kagglerun.workspace import RunPaths, Workspace

_LARGEST_CORRELATED = 40


@dataclass(frozen=True)
class Written:
    """All that an ensemble's folder holds.

    Attributes:
        run: the folder.
        config: for config.yaml.
        fingerprint: comparable with its members.
        prepared: the competition.
        oof: nested out-of-fold predictions.
        test: test predictions of the whole.
        postprocess: what they go through before they are submitted; None for nothing.
        ensemble: for ensemble.json.
        metrics: for metrics.json.
        members: run ids, the heaviest first.
        correlations: of their predictions, (members, members).
        gains: of each member; None where it was not taken.
    """

    run: RunPaths
    config: Config
    fingerprint: Fingerprint
    prepared: Prepared
    oof: Predictions
    test: Predictions
    postprocess: Postprocess | None
    ensemble: Mapping[str, Any]
    metrics: Mapping[str, Any]
    members: Sequence[str]
    correlations: NDArray[np.float64]
    gains: Sequence[Gain | None]


def write_run(workspace: Workspace, written: Written) -> None:
    """Write the run, and track it.

    Raises:
        DiskFull: there was no room; the run says that it failed.
    """
    run = written.run
    with working_in(run.folder, f"works on the run {run.run_id}"):
        freeze(run, written.config)
        write_status(run, "RUNNING")
        tracker: Tracker | None = None
        try:
            _describe(workspace, written)
            tracker = _open(workspace, written)
            _conclude(written, tracker)
        except BaseException as error:
            state = "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
            reason = None if state == "KILLED" else str(error) or type(error).__name__
            if tracker is not None:
                tracker.end(state, reason)
            write_status(run, state, reason)
            raise
        tracker.end("FINISHED")
        write_status(run, "FINISHED")
    push_behind(workspace)


def _describe(workspace: Workspace, written: Written) -> None:
    run = written.run
    write_record(workspace, run, workspace.competition(run.slug), written.config, None)
    write_json(run.environment, written.prepared.environment)
    write_json(run.fingerprint, written.fingerprint.to_dict())


def _open(workspace: Workspace, written: Written) -> Tracker:
    prints = {f"fingerprint.{name}": value for name, value in written.fingerprint.to_dict().items()}
    params = written.config.model_dump(mode="json", include={"competition", "name", "seed", "cv", "model"})
    tags = {**prints, "competition": written.prepared.card.ref, "ensemble": str(written.ensemble["method"])}
    return open_tracker(workspace, written.run, name=written.run.run_id, params=params, tags=tags)


def _conclude(written: Written, tracker: Tracker) -> None:
    run, metrics = written.run, written.metrics
    write_predictions(run.oof, written.oof)
    write_predictions(run.test, written.test)
    write_postprocess(run, written.postprocess)
    write_json(run.ensemble, written.ensemble)
    _draw(written)
    for fold, score in zip(metrics["folds"], metrics["fold_scores"], strict=True):
        tracker.log({"fold_score": score}, fold)
    values = {"oof_score": metrics["score"], "members": float(len(written.members))}
    tracker.log({**values, **{name: metrics[name] for name in ("fold_score_mean", "fold_score_std", "seconds")}}, 0)
    for path in (run.config, run.fingerprint, run.environment, run.oof, run.test, run.postprocess, run.ensemble):
        if path.exists():
            tracker.artifact(path)
    for plot in sorted(run.plots.glob("*.png")):
        tracker.artifact(plot, "plots")
    write_json(run.metrics, dict(metrics))


def _draw(written: Written) -> None:
    run, metrics = written.run, written.metrics
    scores = dict(zip(metrics["folds"], metrics["fold_scores"], strict=True))
    plots.fold_scores(scores, metrics["score"], metrics["metric"], run.plots / "fold_scores.png")
    shares = {member["run"]: member["weight"] for member in written.ensemble["members"]}
    gains = [None if gain is None else (gain.gain, gain.error) for gain in written.gains]
    weights = [shares[member] for member in written.members]
    draw_weights(list(written.members), weights, gains, metrics["metric"], run.plots / "weights.png")
    if 1 < len(written.members) <= _LARGEST_CORRELATED:
        draw_correlations(list(written.members), written.correlations, run.plots / "correlations.png")
