"""Two executions of one fold, compared: the first place that differs, and by how much at most."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import safetensors
from numpy.typing import NDArray
from torch import Tensor

from kagglerun.experiment.fold import FoldResult, read_fold
from kagglerun.experiment.predictions import Predictions
from kagglerun.experiment.rerun.digests import (
    FoldDigests,
    digest_of_tensor,
    digest_weights,
    names_of_tensors,
    other_files,
    read_digests,
    take_digests,
)
from kagglerun.files import sha256_of_file
from kagglerun.workspace import FoldPaths


@dataclass(frozen=True)
class Difference:
    """A part of a fold that is not the same.

    Attributes:
        place: the first place that differs, e.g. "epoch 1, train_loss".
        before: what the run has there.
        now: what came out now.
        largest: the largest absolute difference of two numbers in this part; None where it is not one of numbers.
    """

    place: str
    before: str
    now: str
    largest: float | None = None

    def __str__(self) -> str:
        largest = "" if self.largest is None else f" (largest difference {self.largest:.3g})"
        return f"{self.place}: {self.before} in the run, {self.now} now{largest}"


@dataclass(frozen=True)
class FoldComparison:
    """A fold made again.

    Attributes:
        fold: its number.
        differences: history, weights, other files, OOF and test predictions to what differs in them, in this order;
            empty when all bits are equal.
        compared: how much was compared, e.g. "3 epochs, 14 tensors, 30 OOF rows, 20 test rows".
        changed_since: files of the run's own that are not what the fold wrote.
        lost_notes: what the run noted of this fold and the rerun did not.
    """

    fold: int
    differences: Mapping[str, Difference]
    compared: str
    changed_since: tuple[str, ...] = ()
    lost_notes: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether all bits are equal."""
        return not self.differences

    @property
    def first(self) -> str | None:
        """The first place that differs, as a sentence; None when all is equal."""
        return next((f"fold {self.fold}, {difference}" for difference in self.differences.values()), None)


def compare_folds(before: FoldPaths, now: FoldPaths, *, has_weights: bool = True) -> FoldComparison:
    """Compare a finished fold with the same fold made again.

    Args:
        before: the fold.
        now: the same fold made again.
        has_weights: False where the fold's weights were deleted on purpose, and are compared by their digests.

    Raises:
        DataError: predictions of one of them cannot be read.
    """
    old, new = read_fold(before), read_fold(now)
    parts = {
        "history": _compare_histories(old, new),
        "weights": _compare_weights(before, now),
        "files": _compare_files(before, now, has_weights),
        "oof": _compare_predictions("OOF", old.oof, new.oof),
        "test": _compare_predictions("test", old.test, new.test),
    }
    return FoldComparison(
        fold=old.fold,
        differences={name: difference for name, difference in parts.items() if difference is not None},
        compared=_how_much(new, now),
        changed_since=changed_since(before, has_weights),
        lost_notes=tuple(note for note in old.notes if note not in new.notes),
    )


def changed_since(paths: FoldPaths, has_weights: bool = True) -> tuple[str, ...]:
    """Names of a finished fold's files that are not what it wrote; none for a fold that wrote no digests.

    Files of the model that are missing do not count where its weights were deleted on purpose.
    """
    wrote = read_digests(paths)
    if wrote is None:
        return ()
    stands = take_digests(paths, wrote.folds, read_fold(paths).history)
    places = {"history": paths.result, "oof": paths.oof, "test": paths.test, "weights": paths.weights}
    changed = [path.name for part, path in places.items() if getattr(stands, part) != getattr(wrote, part)]
    changed += _names_that_differ(wrote.files, stands.files)
    gone = () if has_weights else [path.name for path in paths.model_files(wrote.files) if not path.exists()]
    return tuple(name for name in changed if name not in gone)


def _compare_histories(old: FoldResult, new: FoldResult) -> Difference | None:
    """The first epoch (or tree) and value; also the number of epochs, the epoch kept and the score."""
    pairs = [
        (f"{_step(values, epoch)}, {name}", values[name], again.get(name, math.nan))
        for epoch, (values, again) in enumerate(zip(old.history, new.history, strict=False))
        for name in values
    ]
    lengths = (float(len(old.history)), float(len(new.history)))
    pairs += [("number of epochs", *lengths), ("best epoch", float(old.best_step), float(new.best_step))]
    pairs.append(("score", old.score, new.score))
    differing = [(place, a, b) for place, a, b in pairs if not _same(a, b)]
    if not differing:
        return None
    place, a, b = differing[0]
    losses = [abs(a - b) for name, a, b in differing if name.endswith(("loss", "score"))]
    return Difference(place, repr(a), repr(b), max((x for x in losses if not math.isnan(x)), default=None))


def _step(values: Mapping[str, float], epoch: int) -> str:
    return f"tree {int(values['step'])}" if "step" in values else f"epoch {epoch}"


def _same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


def _compare_weights(before: FoldPaths, now: FoldPaths) -> Difference | None:
    """The first tensor, in the order of names."""
    if not before.weights.exists() and read_digests(before) is None:
        return None  # nothing is known of them
    wrote, again = _weights_of(before), digest_weights(now.weights)
    differing = _names_that_differ(wrote, again)
    if not differing:
        return None
    first = differing[0]
    if not (before.weights.exists() and now.weights.exists() and first in wrote and first in again):
        return Difference(f"weights {first}", *_both(wrote, again, first))
    distances = {name: distance for name, distance in _distances(before, now, differing) if distance is not None}
    worst = max(distances, key=lambda name: distances[name], default=None)
    return Difference(
        f"weights {first} ({len(differing)} of {len(wrote)} tensors differ{f', most {worst}' if worst else ''})",
        *_both(wrote, again, first),
        distances[worst] if worst else None,
    )


def _weights_of(paths: FoldPaths) -> dict[str, str]:
    """The digests that the file has, or that it had when it is gone."""
    if paths.weights.exists():
        return digest_weights(paths.weights)
    digests: FoldDigests | None = read_digests(paths)
    return dict(digests.weights) if digests else {}


def _distances(before: FoldPaths, now: FoldPaths, names: Sequence[str]) -> Iterator[tuple[str, float | None]]:
    """Largest absolute difference of each tensor; None where the shapes differ or a number is not finite."""
    with (
        safetensors.safe_open(before.weights, framework="pt") as old,
        safetensors.safe_open(now.weights, framework="pt") as new,
    ):
        both = set(old.keys()) & set(new.keys())
        for name in names:
            yield name, _distance(old.get_tensor(name), new.get_tensor(name)) if name in both else None


def _distance(a: Tensor, b: Tensor) -> float | None:
    if a.shape != b.shape or a.numel() == 0 or digest_of_tensor(a) == digest_of_tensor(b):
        return None
    largest = float((a.double() - b.double()).abs().max())
    return largest if math.isfinite(largest) else None


def _compare_files(before: FoldPaths, now: FoldPaths, has_weights: bool) -> Difference | None:
    """Other files that the model left; of a text the first line that differs, and the tree that it belongs to."""
    stands = {path.name: sha256_of_file(path) for path in other_files(before)}
    digests = None if has_weights else read_digests(before)
    wrote = {**digests.files, **stands} if digests else stands
    again = {path.name: sha256_of_file(path) for path in other_files(now)}
    differing = _names_that_differ(wrote, again)
    if not differing:
        return None
    name = differing[0]
    if name not in stands or name not in again:
        return Difference(name, *_both(wrote, again, name))
    try:
        old, new = ((paths.folder / name).read_text("utf-8").splitlines() for paths in (before, now))
    except UnicodeDecodeError:
        return Difference(name, *_both(wrote, again, name))
    lines = [place for place, (a, b) in enumerate(zip(old, new, strict=False)) if a != b]
    # Sizes of trees stand before the trees themselves and say nothing of which one differs.
    place = next((at for at in lines if not old[at].startswith("tree_sizes=")), min(len(old), len(new)))
    tree = next((line for line in reversed(old[:place]) if line.startswith("Tree=")), None)
    where = f"{name}, {tree.replace('=', ' ').lower()}, line {place + 1}" if tree else f"{name}, line {place + 1}"
    return Difference(where, _line(old, place), _line(new, place))


def _line(text: Sequence[str], place: int) -> str:
    if place >= len(text):
        return "the end"
    return text[place] if len(text[place]) <= 60 else f"{text[place][:57]}..."


def _both(wrote: Mapping[str, str], again: Mapping[str, str], name: str) -> tuple[str, str]:
    """A name's two digests, short."""
    old, new = (f"sha256 {digests[name][:12]}" if name in digests else "not there" for digests in (wrote, again))
    return old, new


def _compare_predictions(what: str, old: Predictions, new: Predictions) -> Difference | None:
    """The first row, in the order of the file, named by its id."""
    if old.values.shape != new.values.shape or old.names != new.names:
        return Difference(f"{what} predictions", _shape(old), _shape(new))
    ids = ~(old.ids.astype(str) == new.ids.astype(str)).to_numpy().all(axis=1) if len(old.ids.columns) else None
    if ids is not None and ids.any():
        row = int(np.flatnonzero(ids)[0])
        return Difference(f"{what} row {row}", _id(old, row), _id(new, row))
    differing = _bits(old.values) != _bits(new.values)
    if not differing.any():
        return None
    row = int(np.flatnonzero(differing.any(axis=1))[0])
    column = int(np.flatnonzero(differing[row])[0])
    place = f"{what} row {row} ({_id(old, row)}), {old.names[column]}"
    place += f" ({int(differing.any(axis=1).sum())} of {len(differing)} rows differ)"
    distances = np.abs(old.values - new.values)
    largest = float(np.nanmax(distances)) if np.isfinite(distances).any() else None
    return Difference(place, repr(float(old.values[row, column])), repr(float(new.values[row, column])), largest)


def _bits(values: NDArray[np.float64]) -> NDArray[np.uint64]:
    return np.ascontiguousarray(values, dtype=np.float64).view(np.uint64)


def _shape(predictions: Predictions) -> str:
    return f"{predictions.values.shape} of {', '.join(predictions.names[:5])}"


def _id(predictions: Predictions, row: int) -> str:
    return ", ".join(f"{name} {predictions.ids[name].iloc[row]}" for name in predictions.ids.columns) or "no id"


def _names_that_differ(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    return [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]


def _how_much(result: FoldResult, paths: FoldPaths) -> str:
    trees = bool(result.history) and "step" in result.history[0]
    parts = [
        (len(result.history), "points of the curve" if trees else "epochs"),
        (len(names_of_tensors(paths.weights)), "tensors"),
        (len(other_files(paths)), "files of the model"),
        (len(result.oof.values), "OOF rows"),
        (len(result.test.values), "test rows"),
    ]
    return ", ".join(f"{count} {what}" for count, what in parts if count)
