"""Checks of cells that hold more than one number or label: lists, run lengths, boxes, text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pandas as pd

from kagglerun.config.card import Card
from kagglerun.errors import DataError
from kagglerun.metrics import Metric, PredictionKind, boxes, run_lengths
from kagglerun.metrics.labels import label_text
from kagglerun.metrics.layout import most_items
from kagglerun.metrics.list_cells import ListStyle, split_cells, style_of, takes_scored_labels
from kagglerun.submission.findings import Finding, error, warning
from kagglerun.submission.training_targets import TrainingTargets

_LAYOUT_OF_KIND = {
    PredictionKind.RANKING: "ranked_list",
    PredictionKind.MASK: "run_lengths",
    PredictionKind.BOXES: "boxes",
    PredictionKind.TEXT: "text",
}
_SCORED = "labels with confidences"
_LAYOUTS = frozenset({"label_list", _SCORED, *_LAYOUT_OF_KIND.values()})
_EMPTY_MARKS = ("-1", "-", "1 0", "0 0")
"""How training tables write a mask without pixels where they do not leave its cell empty."""
_BOX_SIZES = (6, 5)
"""Entries of one box: label, confidence and corners; or without a label."""


def holds_texts(card: Card, metric: Metric) -> bool:
    """Whether the submission's cells hold lists, masks, boxes or text."""
    return _layout(card, metric) in _LAYOUTS


def check_cells(
    table: pd.DataFrame, sample: pd.DataFrame, card: Card, metric: Metric, training: TrainingTargets
) -> Iterator[Finding]:
    """Find cells that the metric cannot read or that are not as asked for: of each column the first, and how many.

    Args:
        table: the predicted columns of the file, every cell its text.
        sample: the same columns of the sample submission.
        card: tells layout, classes and K.
        metric: what will score them.
        training: what the training rows' cells hold.
    """
    layout = _layout(card, metric)
    for name in table.columns:
        cells, column = list(table[name]), str(name)
        if layout == _SCORED:
            yield from _each(column, cells, _problem_of_scored)
        elif layout == "ranked_list":
            yield from _check_lists(cells, list(sample[name]), column, _problem_of_ranking(most_items(metric, card)))
            yield from _unknown_items(split_cells(cells), column, card)
        elif layout == "label_list":
            yield from _check_lists(cells, list(sample[name]), column, _problem_of_labels(card))
        elif layout == "run_lengths":
            yield from _each(column, cells, _problem_of_run_lengths)
        elif layout == "boxes":
            yield from _check_boxes(cells, column, list(sample[name]))
        yield from _empty_cells(cells, list(sample[name]), column, training)


def _layout(card: Card, metric: Metric) -> str | None:
    if takes_scored_labels(metric):
        return _SCORED
    return card.submission_layout if card.submission_layout in _LAYOUTS else _LAYOUT_OF_KIND.get(metric.prediction)


def _each(name: str, rows: Iterable[Any], problem_of: Callable[[Any], str | None]) -> Iterator[Finding]:
    """One error for a column whose rows have problems: the first with its line, and how many there are."""
    found = [(line, said) for line, row in enumerate(rows, start=2) if (said := problem_of(row)) is not None]
    if found:
        line, said = found[0]
        more = f" ({len(found) - 1} more lines have such a problem)" if len(found) > 1 else ""
        yield error(f"the value of {name!r} in line {line} {said}{more}", "the metric cannot score such a cell")


def _check_lists(
    cells: list[str], sample: list[str], name: str, problem_of: Callable[[tuple[str, ...]], str | None]
) -> Iterator[Finding]:
    """The items of each cell, which must be written as the sample writes its own."""
    given, wanted = style_of(cells), style_of(sample)
    if given is not None and wanted is not None and _bare(given) != _bare(wanted):
        yield error(
            f"the lists in {name!r} are written {given.write(['a', 'b'])!r}, "
            f"those of the sample submission {wanted.write(['a', 'b'])!r}",
            "a list that is written otherwise may be read as one item",
        )
    yield from _each(name, split_cells(cells), problem_of)


def _bare(style: ListStyle) -> tuple[str, str]:
    """What a reader must know of a style: brackets and separator."""
    return style.before[:1], style.between.strip(" '\"")


def _problem_of_scored(cell: str) -> str | None:
    parts = cell.split()
    if len(parts) % 2 or not all(_is_confidence(part) for part in parts[1::2]):
        return f"does not hold labels and confidences in turn: {cell[:40]!r}"
    return _named_twice(parts[::2])


def _is_confidence(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _problem_of_ranking(most: int | None) -> Callable[[tuple[str, ...]], str | None]:
    def problem(items: tuple[str, ...]) -> str | None:
        if most is not None and len(items) > most:
            return f"holds {len(items)} items; only the first {most} count"
        return _named_twice(items)

    return problem


def _unknown_items(rows: list[tuple[str, ...]], name: str, card: Card) -> Iterator[Finding]:
    known = {label_text(label) for label in card.classes or ()}
    unknown = {item for items in rows for item in items if known and label_text(item) not in known}
    if unknown:
        yield warning(
            f"{len(unknown)} items in {name!r} are no class of the training rows, e.g. {min(unknown)!r}",
            "an item that never comes in training is seldom the right one",
        )


def _problem_of_labels(card: Card) -> Callable[[tuple[str, ...]], str | None]:
    known = {label_text(label) for label in card.classes or ()}
    shown = ", ".join(map(str, (card.classes or ())[:8]))

    def problem(labels: tuple[str, ...]) -> str | None:
        unknown = [label for label in labels if known and label_text(label) not in known]
        if unknown:
            return f"holds {unknown[0]!r}, which is no class; classes: {shown}"
        return _named_twice(labels)

    return problem


def _named_twice(items: Sequence[str]) -> str | None:
    if len(set(items)) == len(items):
        return None
    return f"names {next(item for item in items if items.count(item) > 1)!r} twice"


def _problem_of_run_lengths(cell: str) -> str | None:
    try:
        run_lengths.parse(cell)
    except DataError as problem:
        return f"is refused: {problem.message}"
    return None


def _check_boxes(cells: list[str], name: str, sample: list[str]) -> Iterator[Finding]:
    """The sample's number of entries a box counts, else the one that fits all cells, as the metric does."""
    size = _box_size(sample) or _box_size(cells) or _BOX_SIZES[0]
    parts = "label, confidence from 0 to 1 and four numbers" if size == 6 else "confidence from 0 to 1 and four numbers"

    def problem(cell: str) -> str | None:
        unread = boxes.read_cell(cell, size) is None
        return f"cannot be read as boxes ({parts} each): {cell[:40]!r}" if unread else None

    yield from _each(name, cells, problem)


def _box_size(cells: list[str]) -> int | None:
    filled = [cell for cell in cells if cell.strip()]
    return next((size for size in _BOX_SIZES if filled and all(boxes.read_cell(cell, size) for cell in filled)), None)


def _empty_cells(cells: list[str], sample: list[str], name: str, training: TrainingTargets) -> Iterator[Finding]:
    """Tell of empty cells where neither the sample submission nor the training rows have any."""
    empty = sum(not cell.strip() for cell in cells)
    if not empty or any(not cell.strip() for cell in sample):
        return
    known = training.column_cells(name)
    blank = sum(not cell.strip() for cell in known)
    if blank:
        return
    marked = next((cell.strip() for cell in known if cell.strip() in _EMPTY_MARKS), None)
    yield warning(
        f"{empty} cells of {name!r} are empty, and none of the sample submission is",
        "the competition may write nothing-there in a way of its own, or refuse an empty cell",
        None if marked is None else f"training rows write {marked!r} for it",
    )
