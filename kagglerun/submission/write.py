"""A submission file from predictions: rows, order and columns of the sample submission, copied, never rebuilt."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kagglerun import metrics
from kagglerun.config.card import Card, Task
from kagglerun.data.tables import read_table
from kagglerun.errors import DataError
from kagglerun.experiment.predictions import Predictions
from kagglerun.files import atomic_path
from kagglerun.metrics import PredictionKind
from kagglerun.workspace import CompetitionPaths

_WHOLE = re.compile(r"[+-]?\d+")


def write_submission(paths: CompetitionPaths, card: Card, predictions: Predictions, destination: Path) -> Path:
    """Write a submission file.

    Args:
        paths: the competition's files.
        card: what is known of it; resolved.
        predictions: for the test rows; values (n, n_outputs) float64.
        destination: the CSV file to write, in one step.

    Returns:
        `destination`.

    Raises:
        DataError: the predictions do not fit the sample submission.
    """
    card.require_resolved(paths.card)
    text, typed = read_sample(paths, card), _typed_sample(paths, card)
    rows = _rows_of(typed[list(card.ids)], predictions.ids, card)
    columns = _columns(card, predictions.values[rows], text)
    for name, values in columns.items():
        text[name] = values
    with atomic_path(destination) as temporary:
        text.to_csv(temporary, index=False, lineterminator="\n")
    return destination


def sample_path(paths: CompetitionPaths, card: Card) -> Path:
    """The sample submission.

    Raises:
        DataError: the card names none, or the file is not there.
    """
    if card.files.sample_submission is None:
        raise DataError(
            f"{card.slug}: the card names no sample submission, so the shape of a submission is not known",
            hint=f"write `files: {{sample_submission: NAME.csv}}` into {paths.card}",
        )
    path = paths.data / card.files.sample_submission
    if not path.is_file():
        raise DataError(f"the sample submission {path} is not there", hint=f"kagglerun fetch {card.ref}")
    return path


def read_sample(paths: CompetitionPaths, card: Card) -> pd.DataFrame:
    """The sample submission as it is written: every cell its text."""
    return read_as_text(sample_path(paths, card))


def read_as_text(path: Path) -> pd.DataFrame:
    """A CSV file with every cell as its text; nothing is taken for a number or for missing.

    Raises:
        DataError: it is not a CSV file.
    """
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False, na_filter=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path} cannot be read as CSV: {reason}") from None


def label_texts(classes: Sequence[Any], sample_texts: Sequence[str]) -> tuple[str, ...]:
    """How each class label is written: as the training table has it.

    What reading the training table may have changed is taken from the sample submission's own spelling: whole
    numbers read as 0.0 and 1.0 because a value is missing, and the case of true and false.

    Args:
        classes: the card's labels.
        sample_texts: cells of the sample submission's target column.
    """
    spellings = {text.strip() for text in sample_texts}
    return tuple(_label_text(label, spellings) for label in classes)


def _label_text(label: Any, spellings: set[str]) -> str:
    if isinstance(label, bool):
        if spellings and spellings <= {"0", "1"}:
            return str(int(label))
        for style in (str.lower, str.upper):
            if spellings and spellings <= {style("true"), style("false")}:
                return style(str(label))
        return str(label)
    if isinstance(label, float) and label.is_integer():
        written_whole = bool(spellings) and all(_WHOLE.fullmatch(text) for text in spellings)
        return str(int(label)) if written_whole else repr(label)
    return str(label)


def _typed_sample(paths: CompetitionPaths, card: Card) -> pd.DataFrame:
    """The sample submission read as the other tables are, so that ids compare."""
    typed = read_table(sample_path(paths, card))
    missing = [name for name in (*card.ids, *card.submission_columns) if name not in typed]
    if missing:
        raise DataError(
            f"the sample submission has no column {missing[0]!r}; it has: {', '.join(map(str, typed.columns))}",
            hint=f"correct `ids` or `submission_columns` in {paths.card}",
        )
    return typed


def _rows_of(wanted: pd.DataFrame, given: pd.DataFrame, card: Card) -> NDArray[np.int64]:
    """For each row of the sample, the row of its prediction.

    Raises:
        DataError: an id has no prediction, or two.
    """
    names = list(card.ids)
    if list(given.columns) != names:
        raise DataError(f"the predictions are for the ids {list(given.columns)}, the card has {names}")
    keys, targets = _keys(given), _keys(wanted)
    twice = keys[keys.duplicated()]
    if len(twice):
        raise DataError(f"the predictions hold {len(twice)} ids twice, the first is {_shown(twice.iloc[0])}")
    found = pd.Index(keys).get_indexer(pd.Index(targets))
    if (found < 0).any():
        first = targets[found < 0].iloc[0]
        raise DataError(
            f"{int((found < 0).sum())} of {len(targets)} rows of the sample submission have no prediction, "
            f"the first is {names[0]} {_shown(first)}",
            hint=f"kagglerun fetch {card.ref} --force, then train again: the data is not the one that was trained on",
        )
    return np.asarray(found, dtype=np.int64)


def _keys(ids: pd.DataFrame) -> pd.Series[Any]:
    """One comparable key a row: the id's text, several columns joined by a character that no id has."""
    texts = [ids[name].map(_id_text) for name in ids.columns]
    return pd.Series(["\x1f".join(row) for row in zip(*texts, strict=True)], dtype=object)


def _id_text(value: Any) -> str:
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _shown(key: str) -> str:
    return repr(key.replace("\x1f", " / "))


def _columns(card: Card, values: NDArray[np.float64], sample: pd.DataFrame) -> dict[str, Any]:
    """The predicted columns of the submission, by name."""
    assert card.task is not None and card.metric is not None  # require_resolved was asked
    metric = metrics.get(card.metric)
    decided = metric.decide(values, card.task)
    if metric.prediction is PredictionKind.LABEL and card.task in (Task.BINARY, Task.MULTICLASS):
        return _label_column(card, decided, sample)
    if metric.prediction is PredictionKind.PROBABILITY and card.task in (Task.BINARY, Task.MULTICLASS):
        return _probability_columns(card, decided)
    return _target_columns(card, decided)


def _label_column(card: Card, decided: NDArray[Any], sample: pd.DataFrame) -> dict[str, Any]:
    name = _only_column(card, "a label")
    texts = np.asarray(label_texts(card.classes or (), list(sample[name])), dtype=object)
    return {name: texts[decided]}


def _probability_columns(card: Card, decided: NDArray[Any]) -> dict[str, Any]:
    """One column of P(classes[1]), or a column a class."""
    if decided.ndim == 1 and len(card.submission_columns) == 1:
        return {card.submission_columns[0]: decided}
    wide = np.column_stack([1 - decided, decided]) if decided.ndim == 1 else decided
    order = class_order(card)
    return {name: wide[:, position] for name, position in zip(card.submission_columns, order, strict=True)}


def class_order(card: Card) -> tuple[int, ...]:
    """For each wide probability column of the submission, the position of its class in `card.classes`.

    A column is named as its class, or all share something before or behind it (`Status_C`, `winner_model_a`).

    Raises:
        DataError: the columns are not the classes.
    """
    columns = [str(name) for name in card.submission_columns]
    classes = [label_texts([label], [])[0] for label in card.classes or ()]
    classes = [str(int(float(text))) if re.fullmatch(r"\d+\.0", text) else text for text in classes]
    for names in (columns, _without_shared_ends(columns, classes)):
        if sorted(names) == sorted(classes):
            return tuple(classes.index(name) for name in names)
    raise DataError(
        f"the submission's columns ({', '.join(columns[:6])}) are not the classes ({', '.join(classes[:6])})",
        hint="correct `submission_columns` or `classes` in competition.yaml",
    )


def _without_shared_ends(columns: list[str], classes: list[str]) -> list[str]:
    """The columns without the beginning and ending that turns the first of them into a class."""
    for label in sorted(classes, key=len, reverse=True):
        before, found, behind = columns[0].rpartition(label) if columns else ("", "", "")
        stripped = [name.removeprefix(before).removesuffix(behind) for name in columns]
        if found and sorted(stripped) == sorted(classes):
            return stripped
    return columns


def _target_columns(card: Card, decided: NDArray[Any]) -> dict[str, Any]:
    """One column a target, by name where the names are the same, else by position."""
    values = decided[:, None] if decided.ndim == 1 else decided
    targets, columns = list(card.targets), list(card.submission_columns)
    if len(targets) != values.shape[1] or len(columns) != values.shape[1]:
        raise DataError(
            f"{values.shape[1]} predicted columns do not fit {len(columns)} columns of the sample submission "
            f"({', '.join(columns[:6])}) and {len(targets)} targets",
            hint="correct `targets` or `submission_columns` in competition.yaml",
        )
    same_names = sorted(targets) == sorted(columns)
    return {name: values[:, targets.index(name) if same_names else place] for place, name in enumerate(columns)}


def _only_column(card: Card, what: str) -> str:
    if len(card.submission_columns) != 1:
        raise DataError(
            f"the metric takes {what}, but the submission has {len(card.submission_columns)} predicted columns: "
            f"{', '.join(card.submission_columns[:6])}",
            hint="correct `submission_columns` or `metric` in competition.yaml",
        )
    return card.submission_columns[0]
