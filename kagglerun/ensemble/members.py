"""Which runs an ensemble is chosen from: those that compare, of any day; and which of them are the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from kagglerun.ensemble.blend import Values
from kagglerun.ensemble.judge import Judge
from kagglerun.ensemble.pool import Pool
from kagglerun.errors import ConfigError, DataError
from kagglerun.experiment.predictions import Predictions, read_predictions
from kagglerun.experiment.prepare import Prepared
from kagglerun.experiment.runs import RunSummary, list_runs
from kagglerun.files import read_json, sha256_of_file
from kagglerun.randomness import generator
from kagglerun.workspace import RunPaths, Workspace

KIND = "ensemble"
_COMPARED = ("data", "folds", "metric")
_MOST_VALUES = 400_000_000
"""Numbers of all members' out-of-fold predictions together that are held in memory: 3.2 GB."""
_LEAST_TOP = 8
_MOST_COMPARED_ROWS = 20_000
NEAR = 0.999
"""Correlation from which on two runs are called nearly the same."""


@dataclass(frozen=True)
class Choice:
    """The runs that an ensemble may be made of.

    Attributes:
        runs: finished, comparable, no two with the same predictions; oldest first.
        left_out: why others were not taken, with their number.
        same: id of a run that was left out to the id of the run with the same predictions.
    """

    runs: tuple[RunSummary, ...]
    left_out: tuple[str, ...]
    same: Mapping[str, str]


@dataclass(frozen=True)
class Loaded:
    """The predictions of the runs that may take part.

    Attributes:
        pool: their out-of-fold predictions.
        oof: the first run's, for ids, names, folds and rows, which all share.
        notes: what the reader should know.
    """

    pool: Pool
    oof: Predictions
    notes: tuple[str, ...]


def choose(workspace: Workspace, slug: str, named: Sequence[str] = ()) -> Choice:
    """The runs to choose from: those that the user names, else all that compare with the newest finished one.

    Args:
        workspace: whose runs.
        slug: the competition.
        named: ids, or beginnings of ids.

    Raises:
        ConfigError: a named run is unknown, not finished, an ensemble itself, or does not compare: the message names
            it and says what differs; fewer than two runs are left.
    """
    everything = list_runs(workspace, slug)
    left_out: list[str] = []
    if named:
        group = _named(workspace, everything, slug, named)
    else:
        group, left_out = _comparable(everything, slug)
    distinct, same = _without_copies(workspace, group)
    if len(distinct) < 2:
        copies = f", {len(same)} more with the same predictions" if same else ""
        raise ConfigError(
            f"an ensemble takes two runs at least; {slug} has {len(distinct)} that can be used{copies}"
            + (f" (left out: {', '.join(left_out)})" if left_out else ""),
            hint="kagglerun sweep baseline.yaml    (or kagglerun train with other models and seeds)",
        )
    return Choice(tuple(distinct), tuple(left_out), same)


def is_ensemble(run: RunSummary) -> bool:
    """Whether a run is made of others."""
    return run.model == KIND


def _comparable(everything: Sequence[RunSummary], slug: str) -> tuple[list[RunSummary], list[str]]:
    """The runs that compare with the newest finished one, and why others are left out."""
    runs = [run for run in everything if run.rerun is None and not is_ensemble(run)]
    usable = [run for run in runs if _is_usable(run)]
    if not usable:
        raise ConfigError(f"{slug} has no finished run", hint="kagglerun sweep baseline.yaml    (or kagglerun train)")
    newest = usable[-1]
    reasons = Counter(run.state.lower() for run in runs if run.state != "FINISHED")
    others = Counter(_difference(run, newest) for run in usable if run.comparable != newest.comparable)
    left_out = [f"{count} {reason}" for reason, count in reasons.items()]
    left_out += [f"{count} with {what} than the newest run" for what, count in others.items()]
    return [run for run in usable if run.comparable == newest.comparable], left_out


def _is_usable(run: RunSummary) -> bool:
    return run.state == "FINISHED" and run.comparable is not None and run.score is not None


def _named(workspace: Workspace, everything: Sequence[RunSummary], slug: str, named: Sequence[str]) -> list[RunSummary]:
    known = {run.run_id: run for run in everything}
    chosen: dict[str, RunSummary] = {}
    for name in named:
        paths = workspace.find_run(name)
        if paths.slug != slug:
            raise ConfigError(f"the run {paths.run_id} is of {paths.slug}, not of {slug}", hint="kagglerun runs")
        chosen[paths.run_id] = known[paths.run_id]
    for run in chosen.values():
        if is_ensemble(run):
            raise ConfigError(
                f"the run {run.run_id} is an ensemble itself: its weights were fitted on the other runs' rows",
                hint="name the runs that it is made of: kagglerun show shows them",
            )
        if not _is_usable(run):
            raise ConfigError(
                f"the run {run.run_id} cannot take part: it is {run.state.lower()}", hint="kagglerun runs"
            )
    first, *others = chosen.values()
    problems = [_refusal(run, first) for run in others if run.comparable != first.comparable]
    if problems:
        raise ConfigError("\n".join(problems), hint="runs with one split compare: cv.seed fixes it for all seeds")
    return list(chosen.values())


def _refusal(run: RunSummary, first: RunSummary) -> str:
    return f"run {run.run_id}: {_difference(run, first)} than {first.run_id}"


def _difference(run: RunSummary, other: RunSummary) -> str:
    """`other folds`, `other data and other metric`: the parts of the fingerprint that keep two runs from comparing."""
    parts = [part for part in _COMPARED if run.fingerprint.get(part) != other.fingerprint.get(part)]
    if not parts and len(run.fold_scores) != len(other.fold_scores):
        parts = ["chosen folds (cv.folds)"]
    return " and ".join(f"other {part}" for part in parts or ("chosen folds or metric code",))


def _without_copies(workspace: Workspace, runs: Sequence[RunSummary]) -> tuple[list[RunSummary], dict[str, str]]:
    """Runs whose predictions differ: the same ones make the same file, byte for byte."""
    first: dict[tuple[str, str], str] = {}
    distinct, same = [], {}
    for run in runs:
        paths = workspace.run(run.slug, run.run_id)
        missing = [path for path in (paths.oof, paths.test) if not path.is_file()]
        if missing:
            raise DataError(
                f"the run {run.run_id} has lost {missing[0].name}", hint=f"kagglerun reproduce {run.run_id}"
            )
        digests = (sha256_of_file(paths.oof), sha256_of_file(paths.test))
        if digests in first:
            same[run.run_id] = first[digests]
        else:
            first[digests] = run.run_id
            distinct.append(run)
    return distinct, same


def load(workspace: Workspace, choice: Choice, prepared: Prepared, top: int, seed: int) -> Loaded:
    """Read the out-of-fold predictions of the runs that can take part in any fit.

    Which those are follows from the runs' fold scores alone, so that of hundreds of runs only the best are read.

    Args:
        workspace: where they are.
        choice: the runs.
        prepared: the competition, made ready.
        top: at most so many take part in one fit.
        seed: of the ensemble.

    Raises:
        ConfigError: the runs have one fold only.
        DataError: predictions of a run are damaged, or are not of the rows and folds of the others.
    """
    runs = {run.run_id: workspace.run(run.slug, run.run_id) for run in choice.runs}
    oof = read_predictions(next(iter(runs.values())).oof)
    assert oof.fold is not None, "out-of-fold predictions know their folds"
    assert oof.rows is not None, "out-of-fold predictions know their rows"
    if len(np.unique(oof.fold)) < 2:
        raise ConfigError(
            "the runs have one fold only, so that nothing is left to judge fitted weights on",
            hint="train them on two folds at least: cv.folds",
        )
    fits = max(_LEAST_TOP, _MOST_VALUES // oof.values.size)
    notes = [f"top is {fits} instead of {top}: more predictions do not fit the memory"] if fits < top else []
    scores = {run_id: _fold_scores(paths) for run_id, paths in runs.items()}
    judge = Judge(prepared, oof.rows)
    # Empty arrays: who may take part is known from the fold scores.
    frame = Pool(dict.fromkeys(runs, np.empty((0, 0))), oof.fold, scores, judge, min(top, fits), seed)
    read = {run_id: _aligned(run_id, paths, oof) for run_id, paths in runs.items() if run_id in _may_take_part(frame)}
    return Loaded(Pool(read, oof.fold, scores, judge, frame.top, seed), oof, tuple(notes))


def _may_take_part(pool: Pool) -> set[str]:
    """The runs that are among the best of some fit: on all blocks, all but one, all but two."""
    blocks = range(len(pool.blocks))
    excluded = [frozenset[int](), *(frozenset([block]) for block in blocks)]
    excluded += [frozenset(pair) for pair in combinations(blocks, 2) if len(blocks) > 2]
    return {run for each in excluded for run in pool.candidates(pool.rows_without(each))}


def _fold_scores(paths: RunPaths) -> dict[int, float]:
    saved = read_json(paths.metrics)
    return {int(fold): float(score) for fold, score in zip(saved["folds"], saved["fold_scores"], strict=True)}


def _aligned(run_id: str, paths: RunPaths, first: Predictions) -> Values:
    """A run's predictions, whose rows must be those of the first one."""
    oof = read_predictions(paths.oof)
    if oof.values.shape != first.values.shape or oof.names != first.names:
        raise DataError(f"run {run_id}: other predictions than the other runs ({len(oof.names)} columns, {_rows(oof)})")
    if not np.array_equal(oof.rows, first.rows) or not np.array_equal(oof.fold, first.fold):  # type: ignore[arg-type]
        raise DataError(f"run {run_id}: other folds than the other runs")
    if not np.isfinite(oof.values).all():
        raise DataError(f"run {run_id}: some of its predictions are NaN or infinite", hint="name the runs without it")
    return oof.values


def _rows(predictions: Predictions) -> str:
    return f"{len(predictions.values)} rows"


def read_test(workspace: Workspace, slug: str, runs: Sequence[str]) -> tuple[Predictions, dict[str, Values]]:
    """The first run's test predictions, and all runs' values; their ids must be the same.

    Raises:
        DataError: a run's test rows are not those of the others.
    """
    first = read_predictions(workspace.run(slug, runs[0]).test)
    values = {}
    for run in runs:
        test = read_predictions(workspace.run(slug, run).test)
        if test.values.shape != first.values.shape or not test.ids.equals(first.ids):
            raise DataError(f"run {run}: other test rows than run {runs[0]}")
        values[run] = test.values
    return first, values


def correlations(pool: Pool, runs: Sequence[str]) -> NDArray[np.float64]:
    """Pearson correlation of the predictions of some runs over all columns, (runs, runs)."""
    rows = pool.everything
    if len(rows) > _MOST_COMPARED_ROWS:
        drawn = generator(pool.seed, "ensemble", "correlations").permutation(len(rows))[:_MOST_COMPARED_ROWS]
        rows = rows[np.sort(drawn)]
    stack = pool.stacked(runs, rows)
    stack = stack - stack.mean(axis=1, keepdims=True)
    spread = np.sqrt((stack**2).mean(axis=(0, 1), keepdims=True))
    flat = (stack / np.where(spread > 0, spread, 1.0)).reshape(len(runs), -1)
    lengths = np.sqrt((flat**2).sum(axis=1))
    lengths = np.where(lengths > 0, lengths, 1.0)
    return np.asarray(np.clip(flat @ flat.T / np.outer(lengths, lengths), -1.0, 1.0), dtype=np.float64)


def nearly_same(runs: Sequence[str], matrix: NDArray[np.float64]) -> list[tuple[str, str, float]]:
    """Pairs of runs whose predictions are nearly the same, with their correlation, the closest first."""
    pairs = [(runs[a], runs[b], float(matrix[a, b])) for a, b in combinations(range(len(runs)), 2)]
    return sorted((pair for pair in pairs if pair[2] >= NEAR), key=lambda pair: -pair[2])
