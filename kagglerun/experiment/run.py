"""A run: one config executed over all folds.

A run that exists goes on exactly where it was; a finished one is read back. metrics.json is written last and
proves that the run is finished.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import torch

from kagglerun.config.schema import Config
from kagglerun.errors import ConfigError, KagglerunError
from kagglerun.experiment.conclude import conclude
from kagglerun.experiment.exclusive import working_in
from kagglerun.experiment.fold import FoldResult, run_fold
from kagglerun.experiment.frozen import freeze, is_finished
from kagglerun.experiment.parallel.parallel_folds import train_in_processes
from kagglerun.experiment.prepare import Prepared, prepare, resolve_config
from kagglerun.experiment.pruned import JudgedObserver, PrunedRun, RunJudge, RunPruned, curve_of, put_away, read_pruned
from kagglerun.experiment.rerun.record import note_resume, write_record
from kagglerun.experiment.sync.behind import push_behind
from kagglerun.experiment.watch.run_watch import RunWatch
from kagglerun.files import read_json, write_json
from kagglerun.tracking import Tracker, open_tracker
from kagglerun.training.loop import Stopped
from kagglerun.workspace import RunPaths, Workspace

__all__ = ["RunObserver", "RunResult", "RunStopped", "new_run_id", "resolve_config", "run_experiment"]


class RunStopped(Exception):
    """The run stopped because it was asked to; it is KILLED and can go on later."""


class RunObserver(Protocol):
    """Watches a run and may stop it."""

    def epoch(self, fold: int, epoch: int, epochs: int, values: Mapping[str, float]) -> None:
        """An epoch (or ten trees) of a fold is done."""

    def fold(self, fold: int, n_folds: int, score: float) -> None:
        """A fold is done; folds read back from an earlier attempt are told too."""

    def should_stop(self) -> bool:
        """Asked after each update; True ends the run as KILLED, with everything saved."""


class SilentObserver:
    """Watches nothing, never stops."""

    def epoch(self, fold: int, epoch: int, epochs: int, values: Mapping[str, float]) -> None:
        """Nothing."""

    def fold(self, fold: int, n_folds: int, score: float) -> None:
        """Nothing."""

    def should_stop(self) -> bool:
        """Never."""
        return False


@dataclass(frozen=True)
class RunResult:
    """A finished run.

    Attributes:
        run_id: its id.
        score: the metric over all out-of-fold predictions.
        fold_scores: the metric of each fold.
        greater_is_better: direction of the metric.
        seconds: time over all folds.
        curve: validation score after each epoch of the first fold, where the model has epochs.
        raw_score: the metric before post-processing; None where there is none. The others are then nested scores.
        raw_fold_scores: the same of each fold; empty where there is none.
    """

    run_id: str
    score: float
    fold_scores: tuple[float, ...]
    greater_is_better: bool
    seconds: float
    curve: tuple[float, ...] = ()
    raw_score: float | None = None
    raw_fold_scores: tuple[float, ...] = ()


def new_run_id(config: Config) -> str:
    """An id that says what and when: name-MMDD-HHMMSS-xxxx."""
    return f"{config.name or 'run'}-{datetime.now(UTC):%m%d-%H%M%S}-{secrets.token_hex(2)}"


def run_experiment(
    workspace: Workspace,
    config: Config,
    run_id: str,
    *,
    parent: str | None = None,
    tags: Mapping[str, str] | None = None,
    observer: RunObserver | None = None,
    processes: int | None = None,
    judge: RunJudge | None = None,
) -> RunResult:
    """Execute a config over its folds, or go on with the run of this id.

    Args:
        workspace: where it lives.
        config: the resolved config; see `resolve_config`.
        run_id: name of the run's folder.
        parent: MLflow run id of the study's parent.
        tags: further MLflow tags; `study` names the study of a trial, `rerun` counts its reruns.
        observer: is told of epochs and folds, and may stop the run.
        processes: folds that are trained at the same time, each by a process (or `training.gpus` of them) of its own;
            None trains them one after another, in this process where one is enough. The result is the same.
        judge: may stop the run before it has all its folds. Without one a run that was stopped so goes on.

    Raises:
        RunStopped: the observer stopped it.
        RunPruned: the judge stopped it, now or in an earlier attempt.
        ConfigError: the folder holds a run of another config.
        JobError: another process works on the run.
        KagglerunError: it failed; the run is FAILED.
    """
    assert config.competition is not None, "resolve_config fills the competition in"
    paths = workspace.run(config.competition, run_id)
    with working_in(paths.folder, f"works on the run {run_id}"):
        freeze(paths, config)
        if is_finished(paths):
            return read_result(paths)
        if judge is None:
            paths.pruned.unlink(missing_ok=True)
        end = read_pruned(paths)
        if end is None:
            watcher = observer or SilentObserver()
            end = _execute(workspace, config, paths, parent, tags or {}, watcher, processes, judge)
        elif read_json(paths.status)["state"] != "PRUNED":
            _end_pruned(paths, config, _reopen(workspace, paths, parent, tags or {}), end)
    push_behind(workspace)
    if end is not None:
        raise RunPruned(end)
    return read_result(paths)


def _execute(
    workspace: Workspace,
    config: Config,
    paths: RunPaths,
    parent: str | None,
    tags: Mapping[str, str],
    watcher: RunObserver,
    processes: int | None,
    judge: RunJudge | None,
) -> PrunedRun | None:
    """Train what is not trained yet, and conclude; however it ends, the status and the tracking say so.

    Returns:
        Where and why the judge stopped it; None when it has all its folds.
    """
    if config.training.cpu_threads:
        torch.set_num_threads(config.training.cpu_threads)
    write_status(paths, "RUNNING", tags=tags)
    tracker: Tracker | None = None
    try:
        prepared = prepare(workspace, config)
        _describe(workspace, paths, prepared)
        tracker = _open(workspace, paths, prepared, parent, tags)
        if judge is not None:
            watcher = _judged(watcher, judge, prepared, paths)
        with RunWatch(paths, tracker, config):
            results = _train(workspace, prepared, paths, tracker, watcher, processes)
        conclude(paths, prepared, results, tracker)
    except RunPruned as pruned:
        assert tracker is not None, "the judge is asked after the tracker was opened"
        _end_pruned(paths, config, tracker, pruned.end)
        # Not raised from here: its traceback would hold the network's tensors.
        return pruned.end
    except (Stopped, KeyboardInterrupt) as error:
        _end(paths, tracker, "KILLED", None)
        if isinstance(error, KeyboardInterrupt):
            raise
        raise RunStopped(paths.run_id) from None
    except Exception as error:
        reason = error.message if isinstance(error, KagglerunError) else f"{type(error).__name__}: {error}"
        _end(paths, tracker, "FAILED", reason)
        raise
    _end(paths, tracker, "FINISHED", None)
    return None


def _judged(watcher: RunObserver, judge: RunJudge, prepared: Prepared, paths: RunPaths) -> RunObserver:
    judged = JudgedObserver(watcher, judge, prepared, paths)
    judged.take_up()
    return judged


def read_result(paths: RunPaths) -> RunResult:
    """The result of a finished run."""
    saved: dict[str, Any] = read_json(paths.metrics)
    return RunResult(
        run_id=paths.run_id,
        score=saved["score"],
        fold_scores=tuple(saved["fold_scores"]),
        greater_is_better=saved["greater_is_better"],
        seconds=saved["seconds"],
        curve=_curve(paths, saved["folds"][0]),
        raw_score=saved.get("raw_score"),
        raw_fold_scores=tuple(saved.get("raw_fold_scores", ())),
    )


def _curve(paths: RunPaths, fold: int) -> tuple[float, ...]:
    result = paths.fold(fold).result
    return curve_of(read_json(result)["history"]) if result.exists() else ()


def write_status(paths: RunPaths, state: str, error: str | None = None, tags: Mapping[str, str] | None = None) -> None:
    """Write RUNNING, FINISHED, PRUNED, FAILED or KILLED, with the time and the reason; what it began with stays.

    Args:
        paths: the run.
        state: one of them.
        error: why it failed.
        tags: `study` of a trial and the number of its `rerun` stand in the status.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    known = {name: (tags or {}).get(name) for name in ("study", "rerun")}
    before = read_json(paths.status) if paths.status.exists() else {"started": now, **known}
    write_json(paths.status, {**before, "state": state, "time": now, "error": error}, durable=False)


def _describe(workspace: Workspace, paths: RunPaths, prepared: Prepared) -> None:
    """Write what the run began with, the fingerprint last; a resume must find the run's own."""
    fingerprint = prepared.fingerprint.to_dict()
    if not paths.fingerprint.exists():
        write_record(workspace, paths, workspace.competition(paths.slug), prepared.config, prepared.start_weights)
        write_json(paths.environment, prepared.environment)
        write_json(paths.fingerprint, fingerprint)
        return
    before = read_json(paths.fingerprint)
    changed = [part for part in ("data", "folds", "metric", "hooks") if before[part] != fingerprint[part]]
    if changed:
        raise ConfigError(
            f"the run {paths.run_id} cannot go on: its {' and '.join(changed)} changed since it began",
            hint="start a new run: kagglerun train ...",
        )
    note_resume(paths, fingerprint, prepared.environment)


def _open(
    workspace: Workspace, paths: RunPaths, prepared: Prepared, parent: str | None, tags: Mapping[str, str]
) -> Tracker:
    fingerprint = {f"fingerprint.{name}": value for name, value in prepared.fingerprint.to_dict().items()}
    return open_tracker(
        workspace,
        paths,
        name=paths.run_id,
        params=prepared.config.model_dump(mode="json", exclude={"sweep"}),
        tags={**fingerprint, "competition": prepared.card.ref, **tags},
        parent=parent,
    )


def _reopen(workspace: Workspace, paths: RunPaths, parent: str | None, tags: Mapping[str, str]) -> Tracker:
    """The tracker of a run that was killed between the judge's decision and its end."""
    return open_tracker(workspace, paths, name=paths.run_id, params={}, tags=tags, parent=parent)


def _train(
    workspace: Workspace,
    prepared: Prepared,
    paths: RunPaths,
    tracker: Tracker,
    watcher: RunObserver,
    processes: int | None,
) -> list[FoldResult]:
    config, folds = prepared.config, prepared.chosen_folds
    if processes is None and config.training.gpus == 1:
        return [_fold(prepared, fold, paths, tracker, watcher) for fold in folds]
    return train_in_processes(workspace, paths, config, folds, tracker, watcher, _steps(config), processes or 1)


def _fold(prepared: Prepared, fold: int, paths: RunPaths, tracker: Tracker, watcher: RunObserver) -> FoldResult:
    steps = _steps(prepared.config)

    def report(step: int, values: dict[str, float]) -> None:
        tracker.log({f"fold{fold}/{name}": value for name, value in values.items()}, step)
        watcher.epoch(fold, step, steps, values)

    result = run_fold(prepared, fold, paths.fold(fold), report, lambda _: watcher.should_stop())
    tracker.log({"fold_score": result.score}, fold)
    watcher.fold(fold, len(prepared.chosen_folds), result.score)
    return result


def _steps(config: Config) -> int:
    """Epochs, or the most trees."""
    return getattr(config.model, "n_estimators", config.training.epochs)


def _end_pruned(paths: RunPaths, config: Config, tracker: Tracker, end: PrunedRun) -> None:
    put_away(paths, config.cv.folds or range(config.cv.n_splits), tracker, end)
    write_status(paths, "PRUNED")


def _end(paths: RunPaths, tracker: Tracker | None, state: str, error: str | None) -> None:
    if tracker is not None:
        tracker.end(state, error)
    write_status(paths, state, error)
