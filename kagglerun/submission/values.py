"""Checks of a submission's values: what the metric takes, and what training says of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from kagglerun.config.card import Card, Task
from kagglerun.metrics import Metric, PredictionKind
from kagglerun.submission.cells import check_cells, holds_texts
from kagglerun.submission.findings import Finding, error, warning
from kagglerun.submission.label_spelling import are_numbered, label_texts
from kagglerun.submission.training_targets import TrainingTargets
from kagglerun.submission.unfilled import check_unfilled
from kagglerun.submission.words import count_of, place_of, quoted

_MISSING = frozenset({"", "nan", "na", "n/a", "null", "none", "<na>"})
_LARGEST_SUM_ERROR = 0.01
"""Kaggle rescales rows of probabilities; a greater difference from 1 is worth a warning."""
_COMMON_SHARE = 0.05
"""A class of fewer training rows may well be predicted nowhere."""
_FEWEST_EXPECTED = 20
"""Rows of a class that the test set must be expected to hold before its absence means anything."""


def check_values(
    table: pd.DataFrame, sample: pd.DataFrame, card: Card, metric: Metric, training: TrainingTargets
) -> Iterator[Finding]:
    """Look at every predicted column that the file has.

    Args:
        table: the file, every cell its text.
        sample: the sample submission, likewise.
        card: tells columns, task, layout and classes.
        metric: what will score the file.
        training: what the training rows' targets hold.
    """
    columns = [name for name in card.submission_columns if name in table and name in sample]
    if holds_texts(card, metric):
        yield from check_cells(table[columns], sample[columns], card, metric, training)
        yield from _constant(table[columns])
        return
    whole = table[columns]
    for name in columns:
        gone = whole[name].str.strip().str.casefold().isin(_MISSING)
        if gone.any() and not _is_a_label(whole[name][gone].iloc[0], card):
            yield error(f"{count_of(gone, name)} missing, the first in {place_of(gone)}", "Kaggle refuses empty cells")
            whole = whole.drop(columns=name)
    if metric.prediction is PredictionKind.LABEL and card.task in (Task.BINARY, Task.MULTICLASS):
        yield from _check_labels(whole, sample, card, training)
    else:
        yield from _check_numbers(whole, sample, card, metric, training)
    yield from _constant(whole)


def _is_a_label(text: str, card: Card) -> bool:
    """Some competitions have a class that is called None or NA."""
    return text != "" and any(text == str(label) for label in card.classes or ())


def _check_labels(
    table: pd.DataFrame, sample: pd.DataFrame, card: Card, training: TrainingTargets
) -> Iterator[Finding]:
    for name in table.columns:
        known = label_texts(card.classes or (), list(sample[name]))
        unknown = ~table[name].isin(known)
        if unknown.any():
            first = str(table[name][unknown].iloc[0])
            yield error(
                f"{count_of(unknown, name)} no class, the first is {first!r} in {place_of(unknown)}; "
                f"classes: {quoted(known)}",
                "no training row has it, so it is wrong for every row, or Kaggle refuses it",
                _spelling(first, known),
            )
            continue
        if are_numbered(card.classes or (), list(sample[name])):
            first, second = map(str, card.classes or ())
            yield warning(
                f"{name!r} holds 0 for {first!r} and 1 for {second!r}: the order of `classes` in competition.yaml",
                "if the competition means it the other way round, every prediction is the wrong class",
            )
        yield from _never_predicted(table[name], card, known, training)


def _spelling(text: str, known: tuple[str, ...]) -> str | None:
    near = {label.strip().casefold().removesuffix(".0"): label for label in known}
    label = near.get(text.strip().casefold().removesuffix(".0"))
    return None if label is None else f"write {label!r} for {text!r}"


def _never_predicted(
    column: pd.Series[Any], card: Card, known: tuple[str, ...], training: TrainingTargets
) -> Iterator[Finding]:
    shares, given = training.class_shares(card), set(column)
    absent = [
        (share, label)
        for label, share in zip(known, shares, strict=False)
        if label not in given and share >= _COMMON_SHARE and share * len(column) >= _FEWEST_EXPECTED
    ]
    if absent and len(given) > 1:
        share, label = max(absent)
        more = f" (and {len(absent) - 1} more classes)" if len(absent) > 1 else ""
        yield warning(
            f"no row is predicted to be {label!r}{more}, which {share:.0%} of the training rows are",
            "a class that is common in training is rarely absent from the test rows",
        )


def _check_numbers(
    table: pd.DataFrame, sample: pd.DataFrame, card: Card, metric: Metric, training: TrainingTargets
) -> Iterator[Finding]:
    numbers: dict[str, pd.Series[Any]] = {}
    for name in table.columns:
        values = pd.to_numeric(table[name], errors="coerce")
        wrong = ~np.isfinite(values)
        if wrong.any():
            yield _no_number(table[name], wrong, str(name))
        else:
            numbers[str(name)] = values
    if metric.prediction is PredictionKind.PROBABILITY:
        yield from _check_probabilities(pd.DataFrame(numbers), len(table.columns), card, metric)
    elif metric.prediction is PredictionKind.LABEL and card.task is Task.MULTILABEL:
        yield from _check_yes_or_no(numbers)
    elif metric.prediction is PredictionKind.VALUE:
        for name, values in numbers.items():
            yield from training.check_range(name, values, card)
    for name, values in numbers.items():
        yield from check_unfilled(name, table[name], values, sample[name])


def _no_number(column: pd.Series[Any], wrong: pd.Series[bool], name: str) -> Finding:
    first = str(column[wrong].iloc[0])
    comma = pd.to_numeric(column[wrong].str.replace(",", ".", n=1), errors="coerce").notna().all()
    return error(
        f"{count_of(wrong, name)} no finite number, the first is {first!r} in {place_of(wrong)}",
        "the metric takes finite numbers only",
        'write decimal points, not commas: to_csv(..., decimal=".")' if comma and "," in first else None,
    )


def _check_yes_or_no(numbers: dict[str, pd.Series[Any]]) -> Iterator[Finding]:
    for name, values in numbers.items():
        other = ~values.isin((0, 1))
        if other.any():
            yield error(
                f"{count_of(other, name)} neither 0 nor 1, the first is {values[other].iloc[0]:g} in {place_of(other)}",
                "the metric compares labels, not probabilities",
                "write 1 for what is predicted to be there, 0 for what is not",
            )


def _check_probabilities(numbers: pd.DataFrame, columns: int, card: Card, metric: Metric) -> Iterator[Finding]:
    bad = False
    for name in numbers.columns:
        outside = (numbers[name] < 0) | (numbers[name] > 1)
        if outside.any():
            bad = True
            percent = numbers[name].min() >= 0 and 1 < numbers[name].max() <= 100
            yield error(
                f"{count_of(outside, str(name))} no probability from 0 to 1, the first is "
                f"{numbers[name][outside].iloc[0]:g} in {place_of(outside)}",
                "the metric takes probabilities",
                "if these are percentages, divide them by 100" if percent else None,
            )
    if bad or numbers.empty:
        return
    one_of_several = card.task in (Task.BINARY, Task.MULTICLASS) and columns > 1
    if one_of_several and numbers.shape[1] == columns:
        furthest = float((numbers.sum(axis=1) - 1).abs().max())
        if furthest > _LARGEST_SUM_ERROR:
            yield warning(
                f"the probabilities of a row do not add up to 1 (off by up to {furthest:.2g})",
                "Kaggle divides each row by its sum, or scores it as it is",
            )
    yield from _too_sure(numbers, metric)


def _too_sure(numbers: pd.DataFrame, metric: Metric) -> Iterator[Finding]:
    values = numbers.to_numpy()
    sure = np.isin(values, (0.0, 1.0))
    if sure.all() and values.size > 1 and np.ptp(values) > 0:
        yield warning(
            "every probability is 0 or 1",
            f"{metric.name} takes probabilities; labels lose all that lies between",
            "submit the probabilities themselves",
        )
    elif sure.any() and "log_loss" in metric.name:
        yield warning(
            f"{int(sure.sum())} probabilities are exactly 0 or 1",
            "with a logarithm a single wrong one of them costs more than hundreds of good ones win",
            "clip them, e.g. to 0.001 and 0.999",
        )


def _constant(predicted: pd.DataFrame) -> Iterator[Finding]:
    for name in predicted.columns:
        if len(predicted) > 1 and predicted[name].nunique() == 1:
            yield warning(
                f"every value of {name!r} is {predicted[name].iloc[0]}", "such a column cannot tell any rows apart"
            )
