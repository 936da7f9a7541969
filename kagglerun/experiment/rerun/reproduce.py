"""A run made again from its folder, and compared with what it gave: data, folds, then fold by fold.

The rerun stands in a folder of its own under .kagglerun/, is not tracked and not listed. Interrupted, it goes on
the next time; compared, it is removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from kagglerun.config.load import load_config
from kagglerun.config.schema import Config
from kagglerun.errors import ConfigError, DiskFull, KagglerunError
from kagglerun.experiment.fold import run_fold
from kagglerun.experiment.parallel.parallel_folds import train_in_processes
from kagglerun.experiment.prepare import Prepared, prepare
from kagglerun.experiment.rerun.causes import (
    Began,
    changed_files,
    expectation,
    hooks_changed,
    package_changed,
    what_changed,
)
from kagglerun.experiment.rerun.code_state import CodeState, code_state
from kagglerun.experiment.rerun.compare_folds import FoldComparison, compare_folds
from kagglerun.experiment.rerun.record import read_record, read_run_manifest
from kagglerun.experiment.rerun.rerun_workspace import finish, go_on_or_begin, remove, rerun_workspace
from kagglerun.experiment.run import RunObserver, SilentObserver
from kagglerun.experiment.weights import why_no_weights
from kagglerun.files import read_json
from kagglerun.hooks import digest_of_hooks
from kagglerun.kaggle_api.manifest import known_damage, read_manifest, verify
from kagglerun.tracking import NullTracker
from kagglerun.workspace import RunPaths, Workspace

_SHOWN = 5


@dataclass(frozen=True)
class Reproduction:
    """What came of making a run again.

    Attributes:
        run_id: the run.
        equal: every bit that was compared is equal.
        first: the first place that differs; None when all is equal.
        causes: why it may differ, the likeliest first; where all is equal, what has changed without doing harm.
        expectation: what could be expected on this machine.
        notes: what the reader should know, e.g. folds that were never finished.
        folds: each fold that was made again.
        kept: the rerun's folder, where it was to be kept.
    """

    run_id: str
    equal: bool
    first: str | None
    causes: tuple[str, ...]
    expectation: str
    notes: tuple[str, ...] = ()
    folds: tuple[FoldComparison, ...] = ()
    kept: Path | None = field(default=None, compare=False)

    @property
    def largest(self) -> dict[str, float]:
        """Part of a fold to the largest absolute difference in it over all folds."""
        found: dict[str, float] = {}
        for fold in self.folds:
            for part, difference in fold.differences.items():
                if difference.largest is not None:
                    found[part] = max(found.get(part, 0.0), difference.largest)
        return found


def reproduce(
    workspace: Workspace,
    run: RunPaths,
    folds: Sequence[int] | None = None,
    *,
    keep: bool = False,
    observer: RunObserver | None = None,
) -> Reproduction:
    """Make a run again from its own folder and compare.

    Args:
        workspace: where its competition's data is.
        run: the run; of one that did not finish the finished folds can be made again.
        folds: only these of its folds; all that are finished by default.
        keep: leave the rerun's folder.
        observer: is told of epochs and folds, and may stop the rerun.

    Raises:
        ConfigError: the run has no such finished fold, or its config cannot be read by this version.
        DataError: the competition's data is not here.
        kagglerun.training.loop.Stopped: the observer stopped it; the next call goes on.
        JobError: another process makes the same run again.
    """
    config = _frozen_config(run)
    chosen, notes = _choose_folds(run, config, folds)
    began = Began(read_json(run.fingerprint), read_json(run.environment), read_record(run))
    unequal_data = _compare_data(workspace, run, began)
    if unequal_data is not None:
        return unequal_data
    with rerun_workspace(workspace, run) as scratch:
        told = (*notes, *_note_on_weights(run), *_note_on_hooks(workspace, run))
        rerun = _Rerun(workspace, scratch, run, began, code_state(workspace), told)
        try:
            prepared = prepare(scratch, config)
        except DiskFull:
            raise
        except KagglerunError as error:
            found = rerun.not_prepared(error)
        else:
            found = rerun.execute(prepared, chosen, observer or SilentObserver())
        if keep:
            return replace(found, kept=scratch.run(run.slug, run.run_id).folder)
        remove(scratch)
    return found


@dataclass(frozen=True)
class _Rerun:
    workspace: Workspace
    scratch: Workspace
    run: RunPaths
    began: Began
    code: CodeState
    notes: tuple[str, ...]

    @property
    def _hooks(self) -> Path:
        """The hooks that the rerun takes."""
        return self.scratch.competition(self.run.slug).hooks

    def not_prepared(self, error: KagglerunError) -> Reproduction:
        """The config, card, hooks or data cannot be used any more."""
        causes = [*hooks_changed(self.began, self._hooks), *package_changed(self.began, self.code)]
        if error.hint:
            causes.append(f"to mend it: {error.hint}")
        first = f"before the first fold: {error.message}"
        return Reproduction(self.run.run_id, False, first, tuple(causes), "nothing could be compared", self.notes)

    def execute(self, prepared: Prepared, chosen: Sequence[int], watcher: RunObserver) -> Reproduction:
        """Compare the split, then make each fold again and compare it."""
        if prepared.fingerprint.folds != self.began.fingerprint["folds"]:
            split = "folds: the rows are split in another way than in the run"
            return self._report(prepared, (), split, ["scikit-learn, the seed, cv or hooks.folds decide the split"])
        if prepared.config.training.cpu_threads:
            torch.set_num_threads(prepared.config.training.cpu_threads)
        rerun = go_on_or_begin(self.scratch, self.run, prepared.fingerprint.to_dict())
        compared: list[FoldComparison] = []
        failed = None
        for fold in chosen:
            try:
                _make_again(self.scratch, prepared, fold, rerun, watcher, len(chosen))
            except DiskFull:
                raise
            except KagglerunError as error:
                failed = f"fold {fold}, which the run finished: {error.message}"
                break
            compared.append(
                compare_folds(self.run.fold(fold), rerun.fold(fold), has_weights=why_no_weights(self.run) is None)
            )
        finish(rerun)
        first = next((fold.first for fold in compared if fold.first is not None), failed)
        return self._report(prepared, tuple(compared), first)

    def _report(
        self,
        prepared: Prepared,
        compared: tuple[FoldComparison, ...],
        first: str | None,
        more_causes: Sequence[str] = (),
    ) -> Reproduction:
        causes = [*_own_files_changed(compared), *what_changed(self.began, prepared, self._hooks, self.code)]
        if first is not None:
            causes += [*more_causes, *_lost_notes(compared), *self._damaged_data(), *_unpredictable(prepared)]
            causes = causes or ["nothing that was recorded has changed: code that draws numbers of its own, or a clock"]
        told = expectation(self.began, prepared)
        return Reproduction(self.run.run_id, first is None, first, tuple(causes), told, self.notes, compared)

    def _damaged_data(self) -> list[str]:
        """Files that changed although the manifest did not. Only now all are read."""
        damage = verify(self.workspace.competition(self.run.slug))
        names = ", ".join(f"{one.name} {one.reason}" for one in damage[:_SHOWN])
        return [f"the competition's files are not those that were fetched: {names}"] if damage else []


def _frozen_config(run: RunPaths) -> Config:
    try:
        return load_config(run.config)
    except ConfigError as error:
        record = read_record(run)
        commit = f", commit {record.code.package.commit}" if record and record.code.package else ""
        made_by = f"kagglerun {record.code.version}{commit}" if record else "another version"
        raise ConfigError(
            f"the config of {run.run_id} cannot be read: {error.message}", hint=f"the run was made by {made_by}"
        ) from error


def _choose_folds(run: RunPaths, config: Config, asked: Sequence[int] | None) -> tuple[tuple[int, ...], list[str]]:
    """The folds to make again, and what to say of the others.

    Raises:
        ConfigError: a fold is not one of the run's, or was not finished.
    """
    own = config.cv.folds or tuple(range(config.cv.n_splits))
    finished = tuple(fold for fold in own if run.fold(fold).result.exists())
    if not finished:
        raise ConfigError(
            f"the run {run.run_id} has no finished fold to compare with", hint="kagglerun runs    (shows its state)"
        )
    wrong = [fold for fold in asked or () if fold not in finished]
    if wrong:
        what = "did not finish" if wrong[0] in own else "does not have"
        raise ConfigError(
            f"the run {run.run_id} {what} fold {wrong[0]}; finished: {', '.join(map(str, finished))}",
            hint=f"kagglerun reproduce {run.run_id} --folds {finished[0]}",
        )
    unfinished = [fold for fold in own if fold not in finished]
    listed = ", ".join(map(str, unfinished))
    notes = [f"the run did not finish; of it nothing is known of fold {listed}"] if unfinished and not asked else []
    return tuple(dict.fromkeys(asked or finished)), notes


def _compare_data(workspace: Workspace, run: RunPaths, began: Began) -> Reproduction | None:
    """None when the competition's files are those of the run, as far as their manifest and sizes tell.

    Raises:
        DataError: the data is not here.
    """
    paths = workspace.competition(run.slug)
    now, damage = read_manifest(paths), known_damage(paths)
    if now.sha256 == began.fingerprint["data"] and not damage:
        return None
    before = read_run_manifest(run)
    names = changed_files(before, now) if before else ()
    if damage:
        first = f"data: {damage[0].name} {damage[0].reason}"
        names = tuple(one.name for one in damage)
    else:
        first = f"data: {names[0] if names else 'the files'} differ{'s' if names else ''} from what the run read"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    cause = f"data changed: {', '.join(names[:_SHOWN])}{more}" if names else "data changed"
    told = "with other data nothing can be expected to be equal; nothing was trained"
    return Reproduction(run.run_id, False, first, (cause,), told)


def _note_on_weights(run: RunPaths) -> list[str]:
    why = why_no_weights(run)
    return [f"{why}; they were compared by their digests"] if why else []


def _note_on_hooks(workspace: Workspace, run: RunPaths) -> list[str]:
    if not run.record.exists():
        return ["the run kept no copy of card and hooks: those of the competition were taken"]
    same = digest_of_hooks(workspace.competition(run.slug).hooks) == digest_of_hooks(run.hooks)
    return [] if same else ["hooks.py has changed since: the run's own copy was taken"]


def _make_again(
    scratch: Workspace, prepared: Prepared, fold: int, rerun: RunPaths, watcher: RunObserver, n_folds: int
) -> None:
    config = prepared.config
    steps = getattr(config.model, "n_estimators", config.training.epochs)
    if config.training.gpus > 1:
        train_in_processes(scratch, rerun, config, [fold], NullTracker(), watcher, steps, 1)
        return

    def report(step: int, values: dict[str, float]) -> None:
        watcher.epoch(fold, step, steps, values)

    result = run_fold(prepared, fold, rerun.fold(fold), report, lambda _: watcher.should_stop())
    watcher.fold(fold, n_folds, result.score)


def _own_files_changed(compared: Sequence[FoldComparison]) -> list[str]:
    changed = [f"folds/{fold.fold}/{name}" for fold in compared for name in fold.changed_since]
    return [f"files of the run are not what it wrote: {', '.join(changed[:_SHOWN])}"] if changed else []


def _lost_notes(compared: Sequence[FoldComparison]) -> list[str]:
    """What befell the run and not the rerun: a retry after an error of memory or a loss that was not finite."""
    return [f"in the run, fold {fold.fold}: {note}" for fold in compared for note in fold.lost_notes]


def _unpredictable(prepared: Prepared) -> list[str]:
    training = prepared.config.training
    return [] if training.deterministic else ["training.deterministic is false"]
