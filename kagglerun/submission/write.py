"""A submission file from predictions: rows, order and columns of the sample submission, copied, never rebuilt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kagglerun.config.card import Card, Task
from kagglerun.data.long_layout import is_paired, paired_outputs
from kagglerun.data.table_files import read_cells
from kagglerun.data.tables import read_table
from kagglerun.errors import DataError
from kagglerun.experiment.own_cells import holds_tuples, spread
from kagglerun.experiment.predictions import Predictions
from kagglerun.files import atomic_path
from kagglerun.hooks import competition_metric
from kagglerun.metrics import PredictionKind
from kagglerun.metrics.layout import decided_outputs, predicted_columns
from kagglerun.submission.label_spelling import label_texts
from kagglerun.submission.lists import holds_lists, list_columns
from kagglerun.submission.sample_format import suffix_of, write_like_sample
from kagglerun.workspace import CompetitionPaths


def write_submission(paths: CompetitionPaths, card: Card, predictions: Predictions, destination: Path) -> Path:
    """Write a submission file.

    Args:
        paths: the competition's files.
        card: what is known of it; resolved.
        predictions: for the test rows; values (n, n_outputs) float64, or cells of the hooks' own.
        destination: the file to write, in one step; it gets the ending of the sample's format.

    Returns:
        The file that was written.

    Raises:
        DataError: the predictions do not fit the sample submission.
    """
    card.require_resolved(paths.card)
    text, typed = read_sample(paths, card), _typed_sample(paths, card)
    several = predictions.cells is not None and holds_tuples(predictions.cells)
    if several:
        once = ~typed.duplicated(list(card.ids)).to_numpy()
        text, typed = text[once].reset_index(drop=True), typed[once].reset_index(drop=True)
    rows = _rows_of(typed[list(card.ids)], predictions.ids, card)
    predicted = {name: values[rows] for name, values in _columns(paths, card, predictions, text).items()}
    sample = sample_path(paths, card)
    if several:
        spread_rows = spread(text.drop(columns=list(predicted)), pd.DataFrame(predicted))[list(text.columns)]
        text, predicted = spread_rows, {name: spread_rows[name].to_numpy() for name in predicted}
    written = destination.with_suffix(suffix_of(sample))
    with atomic_path(written) as temporary:
        write_like_sample(sample, text, predicted, temporary)
    return written


def predicted_cells(paths: CompetitionPaths, card: Card, predictions: Predictions) -> pd.DataFrame | None:
    """What `write_submission` would write into the predicted columns, a row for each row of the sample submission.

    None where an id may have several rows. Arguments and errors as for `write_submission`.
    """
    if predictions.cells is not None and holds_tuples(predictions.cells):
        return None
    text, typed = read_sample(paths, card), _typed_sample(paths, card)
    rows = _rows_of(typed[list(card.ids)], predictions.ids, card)
    return pd.DataFrame({name: values[rows] for name, values in _columns(paths, card, predictions, text).items()})


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
    return read_cells(sample_path(paths, card))


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
    if not names:
        return _rows_by_position(wanted, given, card)
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


def _rows_by_position(wanted: pd.DataFrame, given: pd.DataFrame, card: Card) -> NDArray[np.int64]:
    """Of a sample submission without ids: its rows are the test rows in their order."""
    if len(wanted) != len(given):
        raise DataError(
            f"the sample submission has {len(wanted)} rows and no ids, and there are {len(given)} predictions",
            hint=f"kagglerun fetch {card.ref} --force, then train again: the data is not the one that was trained on",
        )
    return np.arange(len(wanted), dtype=np.int64)


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


def _columns(paths: CompetitionPaths, card: Card, predictions: Predictions, sample: pd.DataFrame) -> dict[str, Any]:
    """The predicted columns, by name, for the rows of `predictions`."""
    if predictions.cells is not None:
        return {str(name): predictions.cells[name].to_numpy() for name in predictions.cells}
    metric = competition_metric(paths, card)
    if is_paired(card):
        asked = paired_outputs(card, predictions.ids)
        outputs = decided_outputs(metric, card, predictions.values)
        return {card.submission_columns[0]: outputs[np.arange(len(outputs)), asked]}
    if holds_lists(card, metric):
        return list_columns(paths, card, metric, predictions.values, sample)
    texts = list(sample[card.submission_columns[0]]) if len(card.submission_columns) == 1 else []
    if metric.prediction is PredictionKind.LABEL and card.learnt_task is Task.MULTICLASS:
        _require_same_kind(card, texts)
    return predicted_columns(metric, card, predictions.values, label_texts(card.classes or (), texts))


def _require_same_kind(card: Card, sample: list[str]) -> None:
    """Refuse to write words where the sample submission holds numbers: which stands for which is not known."""
    cells = [text for text in sample if text.strip()]
    numbers = bool(cells) and all(_is_number(text) for text in cells)
    if numbers and card.classes and not any(_is_number(str(label)) for label in card.classes):
        raise DataError(
            f"the sample submission holds numbers such as {cells[0]!r} in {card.submission_columns[0]!r}, the classes "
            f"are words such as {card.classes[0]!r}: which number stands for which class is not known",
            hint="correct `targets` in competition.yaml, or write the cells yourself: `cells()` in hooks.py",
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
