"""A finished run as files that predict without it: weights, preprocessing, card and hooks, checked against its own
predictions.

Runs keep weights but not how their input was made. That is computed again from the run's own config and the
competition's data, and what then comes out must be what the run predicted.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

import kagglerun
from kagglerun.code_competition.inference.data_set import (
    DataSetPaths,
    FrozenMember,
    Inference,
    Kind,
    write_inference,
)
from kagglerun.code_competition.inference.member import Member, as_many_threads, packaged_family
from kagglerun.code_competition.inference.pictures import Pictures
from kagglerun.code_competition.inference.test_set import TestSet, competition_beside, kind_of
from kagglerun.code_competition.likeness import Likeness, compare
from kagglerun.config.load import load_config
from kagglerun.data.tables import text_columns
from kagglerun.ensemble.blend import Blend
from kagglerun.errors import PackageError
from kagglerun.experiment.frozen import is_finished
from kagglerun.experiment.predictions import read_predictions
from kagglerun.experiment.prepare import Prepared, prepare
from kagglerun.experiment.rerun.rerun_workspace import remove, rerun_workspace
from kagglerun.experiment.weights import why_no_weights
from kagglerun.files import read_json, write_bytes
from kagglerun.models.base import FoldContext
from kagglerun.workspace import CompetitionPaths, RunPaths, Workspace

Tell = Callable[[str], None]


def _say_nothing(_: str) -> None:
    """For callers whom nobody watches."""


@dataclass(frozen=True)
class FrozenRun:
    """A run as `freeze_run` left it.

    Attributes:
        paths: its files.
        inference: what inference.json says.
        rows: rows of the public test set, by which it was checked.
        size_bytes: of all files.
        seconds: member to the time that all its folds and views took for those rows here. It stands in no file: the
            same run gives the same files.
    """

    paths: DataSetPaths
    inference: Inference
    rows: int
    size_bytes: int
    seconds: dict[str, float]

    @property
    def seconds_per_row(self) -> float:
        """Of all folds and views of all members together, as measured here."""
        return sum(self.seconds.values()) / max(1, self.rows)


def freeze_run(workspace: Workspace, run: RunPaths, destination: Path, *, tell: Tell = _say_nothing) -> FrozenRun:
    """Write everything that predicting with a finished run, or an ensemble of runs, needs.

    Args:
        workspace: where the run and the competition's data are.
        run: the run.
        destination: a folder; what is written there is described by `inference.data_set`. What an earlier call left
            of a run there is replaced.
        tell: is told what is done, one line at a time.

    Raises:
        PackageError: the run is not finished, has no weights, its model family cannot be packaged, data or hooks are no
            longer what it was trained with, or what was frozen does not predict what the run predicted.
    """
    paths = DataSetPaths(destination)
    _clear(paths)
    _require_finished(run)
    members = _members(workspace, run)
    members_said: list[FrozenMember] = []
    likenesses: list[Likeness] = []
    described: dict[str, Any] = {}
    rows, seconds = 0, dict[str, float]()
    for number, member in enumerate(members):
        tell(f"{member.run_id}: weights and preprocessing ({number + 1} of {len(members)})")
        with _opened(workspace, member) as opened:
            if not described:
                described = _described(opened.prepared, run)
                _copy_competition(run if run.record.exists() else opened.competition, paths.competition)
            _freeze_member(paths, member, opened)
            told = Inference(**described, members=(), same_bits=False)
            said, likeness, seconds[member.run_id] = _checked(paths, member, opened, told)
            rows = len(opened.prepared.data.test)
        members_said.append(said)
        likenesses.append(likeness)
    for source, place in ((run.postprocess, paths.postprocess), (run.ensemble, paths.ensemble)):
        if source.is_file():
            write_bytes(place, source.read_bytes())
    inference = Inference(
        **described,
        members=tuple(members_said),
        same_bits=all(likeness.same_bits for likeness in likenesses),
        notes=tuple(likeness.note for likeness in likenesses if likeness.note),
    )
    write_inference(paths, inference)
    size = sum(path.stat().st_size for path in destination.rglob("*") if path.is_file())
    return FrozenRun(paths, inference, rows, size, seconds)


def _clear(paths: DataSetPaths) -> None:
    """Remove an earlier frozen run, inference.json first, so that no folder looks whole that is not."""
    for file in (paths.inference, paths.postprocess, paths.ensemble):
        file.unlink(missing_ok=True)
    for folder in (paths.competition_folder, paths.members):
        shutil.rmtree(folder, ignore_errors=True)


def _members(workspace: Workspace, run: RunPaths) -> list[RunPaths]:
    """The run itself, or the runs of an ensemble, the most useful first.

    Raises:
        PackageError: the members do not predict any more what the ensemble was made of.
    """
    if not run.ensemble.is_file():
        return [run]
    blend = Blend.from_dict(read_json(run.ensemble))
    members = [workspace.run(run.slug, name) for name in blend.members]
    for member in members:
        _require_weights(member)
    combined = blend.combine({member.run_id: read_predictions(member.test).values for member in members})
    if combined.tobytes() != read_predictions(run.test).values.tobytes():
        raise PackageError(
            f"the members of {run.run_id} no longer predict what it was made of, so it cannot be packaged",
            hint="make it again: kagglerun ensemble",
        )
    return members


def _require_finished(run: RunPaths) -> None:
    if not is_finished(run):
        raise PackageError(f"the run {run.run_id} is not finished, so it cannot be packaged", hint="kagglerun runs")


def _require_weights(run: RunPaths) -> None:
    _require_finished(run)
    if run.ensemble.is_file():
        raise PackageError(
            f"{run.run_id} is an ensemble within an ensemble, which cannot be packaged",
            hint="kagglerun ensemble    with the runs it was made of",
        )
    reason = why_no_weights(run)
    if reason is not None:
        raise PackageError(
            f"the run {run.run_id} cannot be packaged: {reason}",
            hint="kagglerun sync --pull    with its weights, or train it again",
        )


@dataclass(frozen=True)
class _Opened:
    """A run's data, hooks and folds, and the competition's folder with card and hooks as the run used them."""

    prepared: Prepared
    competition: CompetitionPaths


@contextmanager
def _opened(workspace: Workspace, run: RunPaths) -> Iterator[_Opened]:
    """Data, hooks and folds as the run had them.

    Raises:
        PackageError: data, hooks or folds are others now.
    """
    _require_weights(run)
    existed = workspace.reproduction(run).root.exists()
    with rerun_workspace(workspace, run) as scratch:
        try:
            prepared = prepare(scratch, load_config(run.config))
            _require_same(run, prepared)
            with as_many_threads(prepared.config.training.cpu_threads):
                yield _Opened(prepared, scratch.competition(run.slug))
        finally:
            if not existed:
                remove(scratch)


def _require_same(run: RunPaths, prepared: Prepared) -> None:
    before, now = read_json(run.fingerprint), prepared.fingerprint.to_dict()
    changed = [part for part in ("data", "folds", "hooks") if before.get(part) != now[part]]
    if changed:
        raise PackageError(
            f"the run {run.run_id} cannot be packaged: its {' and '.join(changed)} changed since it was trained",
            hint="put them back as they were, or train the run again",
        )


def _described(prepared: Prepared, run: RunPaths) -> dict[str, Any]:
    """What inference.json says of the test set and the predictions."""
    oof = read_predictions(run.oof)
    kinds: dict[str, Kind] = {name: kind_of(prepared.data.test[name]) for name in prepared.data.features}
    return {
        "kagglerun": kagglerun.__version__,
        "slug": run.slug,
        "run": run.run_id,
        "names": oof.names,
        "hooks": load_config(run.config).hooks,
        "prior": tuple(np.nanmean(oof.values, axis=0).tolist()),
        "text": text_columns(prepared.data),
        "kinds": kinds,
    }


def _copy_competition(source: CompetitionPaths | RunPaths, destination: CompetitionPaths) -> None:
    """Card and hooks."""
    write_bytes(destination.card, source.card.read_bytes())
    if source.hooks.is_file():
        write_bytes(destination.hooks, source.hooks.read_bytes())


def _freeze_member(paths: DataSetPaths, run: RunPaths, opened: _Opened) -> None:
    """Config, hooks, and every fold by its family."""
    member, prepared = paths.member(run.run_id), opened.prepared
    write_bytes(member.config, run.config.read_bytes())
    if opened.competition.hooks.is_file():
        write_bytes(member.hooks, opened.competition.hooks.read_bytes())
    family = packaged_family(prepared.family, prepared.config.model.kind)
    for fold in prepared.chosen_folds:
        family.freeze_fold(_context(prepared, run, fold), member.fold(fold))


def _context(prepared: Prepared, run: RunPaths, fold: int) -> FoldContext:
    train_rows, valid_rows = prepared.fold_rows(fold)
    return FoldContext(
        config=prepared.config,
        data=prepared.input,
        metric=prepared.metric,
        score=lambda _targets, predictions: prepared.score(valid_rows, predictions),
        fold=fold,
        train_rows=train_rows,
        valid_rows=valid_rows,
        paths=run.fold(fold),
        report=lambda _step, _values: None,
        should_stop=lambda _values: False,
    )


def _trained_on(run: RunPaths) -> Literal["cpu", "cuda"]:
    device = str(read_json(run.environment)["device"]) if run.environment.is_file() else "cpu"
    return "cpu" if device.startswith("cpu") else "cuda"


def _checked(
    paths: DataSetPaths, run: RunPaths, opened: _Opened, inference: Inference
) -> tuple[FrozenMember, Likeness, float]:
    """Predict the public test rows from what was frozen, as the notebook will, and compare with the run's own.

    Returns:
        What inference.json says of the member, the least like of its folds, and the seconds that predicting took.

    Raises:
        PackageError: they differ more than the machine explains.
    """
    prepared, folds = opened.prepared, opened.prepared.chosen_folds
    said = FrozenMember(run=run.run_id, folds=folds, trained_on=_trained_on(run))
    seconds, likenesses = 0.0, []
    with tempfile.TemporaryDirectory(dir=paths.folder, prefix=".check-") as folder:
        scratch = Path(folder)
        with competition_beside(paths, run.slug, opened.competition.data, scratch) as competition:
            tests = TestSet.open(competition, inference)
            member = Member(paths.member(run.run_id), said, tests, Pictures(scratch, keeps=True))
            for fold in folds:
                predictor = member.load(fold)
                said = said.model_copy(update={"views": predictor.views})
                started = time.perf_counter()
                values = member.finished(member.mean_over_views(predictor))
                seconds += time.perf_counter() - started
                precision = prepared.config.training.precision
                likenesses.append(compare(run, fold, values, prepared.environment, precision))
            member.pictures.close()
    worst = min(likenesses, key=lambda likeness: likeness.same_bits)
    return said, worst, seconds
