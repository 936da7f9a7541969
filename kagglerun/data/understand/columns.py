"""Which columns name a row, and which are predicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import pandas as pd
from pandas.api import types

from kagglerun.data.tables import row_keys
from kagglerun.data.understand.findings import Findings, plain
from kagglerun.data.understand.roles import Materials
from kagglerun.metrics.labels import label_text

_ASK_IDS = "ids: [COLUMN]"


@dataclass(frozen=True)
class Columns:
    """What the columns of the sample submission mean.

    Attributes:
        ids: columns that name a row.
        targets: columns of the training table that are predicted.
        predicted: columns of the sample submission that are predicted.
        wide: labels of the one target in the order of `predicted`, when these are one probability a class.
    """

    ids: tuple[str, ...]
    targets: tuple[str, ...]
    predicted: tuple[str, ...]
    wide: tuple[Any, ...] | None


def find_columns(findings: Findings, materials: Materials) -> Columns | None:
    """Settle `ids`, `submission_columns` and `targets`.

    Returns:
        None when one of them is not known.
    """
    ids = _find_ids(findings, materials)
    if ids is None:
        return None
    inferred = tuple(str(name) for name in materials.sample.columns if name not in ids)
    if not inferred:
        findings.ask("ids", "the sample submission has no column besides the ids", _ASK_IDS)
        return None
    because = f"columns of {materials.sample_name} besides the ids"
    predicted = tuple(findings.settle("submission_columns", inferred, because))
    targets = _find_targets(findings, materials, ids, predicted)
    if not targets:
        return None
    missing = [name for name in targets if name not in materials.train.columns]
    if missing:
        findings.ask(
            "files.train_table", f"{materials.train_name} has no column {missing[0]!r}", "train_table: NAME.csv"
        )
        return None
    wide = None
    if len(targets) == 1 and len(predicted) > 1:
        wide = wide_labels(materials.train[targets[0]], predicted)
    return Columns(ids, targets, predicted, wide)


def _find_ids(findings: Findings, materials: Materials) -> tuple[str, ...] | None:
    names = [str(name) for name in materials.sample.columns]
    if findings.is_written("ids"):
        return tuple(findings.take("ids"))
    if materials.test is None:
        return _ids_without_test_table(findings, materials, names)
    shared = [name for name in names if name in materials.test.columns]
    leading = list(takewhile(lambda name: name in shared, names))
    if shared and shared != leading:
        return _no_ids(findings, f"{materials.sample_name} repeats columns of the test table after {names[0]!r}")
    if len(leading) == len(names):
        return _no_ids(findings, f"every column of {materials.sample_name} is in the test table")
    if not shared:
        return _ids_by_position(findings, materials, materials.test, names)
    return _checked_ids(findings, materials, materials.test, tuple(leading))


def _no_ids(findings: Findings, because: str) -> tuple[str, ...] | None:
    findings.ask("ids", because, _ASK_IDS)
    return None


def _ids_without_test_table(findings: Findings, materials: Materials, names: list[str]) -> tuple[str, ...] | None:
    first = materials.sample[names[0]]
    if len(names) < 2 or not first.is_unique or first.isna().any():
        return _no_ids(findings, f"there is no test table, and {names[0]!r} of the sample does not name each row once")
    because = f"first column of {materials.sample_name}, {len(first)} different values; there is no test table"
    return tuple(findings.settle("ids", (names[0],), because))


def _ids_by_position(
    findings: Findings, materials: Materials, test: pd.DataFrame, names: list[str]
) -> tuple[str, ...] | None:
    """The sample shares no column with the test table: rows pair by position, or the ids are made of something."""
    sample, same_length = materials.sample, len(materials.sample) == len(test)
    if same_length and all(name in materials.train.columns for name in names):
        because = f"{materials.sample_name} has no id column; its {len(sample)} rows are the test table's, in order"
        return tuple(findings.settle("ids", (), because))
    if same_length and names[0] not in materials.train.columns and _counts_rows(sample[names[0]]) and len(names) > 1:
        because = f"first column of {materials.sample_name}; it numbers the rows of the test table"
        return tuple(findings.settle("ids", (names[0],), because))
    return _no_ids(
        findings,
        f"no column of {materials.sample_name} ({', '.join(names[:4])}) is in the test table: "
        "the ids may be made of several columns",
    )


def _counts_rows(column: pd.Series[Any]) -> bool:
    return bool(types.is_integer_dtype(column) and len(column) > 1 and (column.diff().iloc[1:] == 1).all())


def _checked_ids(
    findings: Findings, materials: Materials, test: pd.DataFrame, ids: tuple[str, ...]
) -> tuple[str, ...] | None:
    """Leading columns of the sample that are in the test table: they must name each row once, in both."""
    wanted, given = row_keys(materials.sample, ids), row_keys(test, ids)
    together = " and ".join(repr(name) for name in ids)
    if wanted.has_duplicates or given.has_duplicates:
        where = materials.sample_name if wanted.has_duplicates else materials.test_name
        return _no_ids(findings, f"{together} does not name each row of {where} once")
    unknown = wanted[~wanted.isin(given)]
    if len(unknown):
        return _no_ids(
            findings, f"{len(unknown)} values of {together} in the sample are not in the test table, e.g. {unknown[0]}"
        )
    first = "first column" if len(ids) == 1 else "first columns"
    more = "" if len(given) == len(wanted) else f", which has {len(given) - len(wanted)} rows more"
    because = f"{first} of {materials.sample_name}; its {len(wanted)} values are in {materials.test_name}{more}"
    return tuple(findings.settle("ids", ids, because))


def _find_targets(
    findings: Findings, materials: Materials, ids: Sequence[str], predicted: tuple[str, ...]
) -> tuple[str, ...]:
    if findings.is_written("targets"):
        return tuple(findings.take("targets"))
    train, test = materials.train, materials.test
    hidden = [str(name) for name in train.columns if name not in ids and (test is None or name not in test.columns)]
    if all(name in hidden for name in predicted):
        lacking = "" if test is None else f" and not in {materials.test_name}"
        because = f"predicted columns of {materials.sample_name}, found in {materials.train_name}{lacking}"
        return tuple(findings.settle("targets", predicted, because))
    whole = [name for name in hidden if len(predicted) > 1 and wide_labels(train[name], predicted) is not None]
    if len(whole) == 1 and not any(name in train.columns for name in predicted):
        because = f"its values are the predicted columns of {materials.sample_name}, one probability a class"
        return tuple(findings.settle("targets", (whole[0],), because))
    absent = [name for name in predicted if name not in train.columns]
    what = (
        f"{absent[0]!r} of the sample is no column of" if absent else "the predicted columns are also test columns of"
    )
    suggestion = f"[{hidden[0]}]" if len(hidden) == 1 else "[COLUMN]"
    only_here = f"; columns only in the training table: {', '.join(hidden[:8]) or 'none'}"
    findings.ask("targets", f"{what} {materials.train_name}{only_here}", f"targets: {suggestion}")
    return ()


def wide_labels(column: pd.Series[Any], names: Sequence[str]) -> tuple[Any, ...] | None:
    """The column's labels in the order of the names that stand for them; None when they do not match.

    A name is the label itself, or the label after the same beginning in all names (`Class_1`, `Status_C`). A name
    whose label does not occur in the column stands for its own text.
    """
    labels = {label_text(value): plain(value) for value in column.dropna().unique()[: len(names) + 1]}
    if not 2 <= len(labels) <= len(names):
        return None
    for start in (0, _common_start(names)):
        texts = [label_text(name[start:]) for name in names]
        complete = len(labels) == len(names)
        if set(labels) <= set(texts) and (complete or start == 0):
            return tuple(labels.get(text, text) for text in texts)
    for separator in ("_", "-", " ", ""):
        start = len(f"{column.name}{separator}")
        texts = [label_text(name[start:]) for name in names]
        if all(name.startswith(f"{column.name}{separator}") for name in names) and set(labels) <= set(texts):
            return tuple(labels.get(text, text) for text in texts)
    return None


def _common_start(names: Sequence[str]) -> int:
    """Number of characters with which all names begin."""
    return sum(1 for _ in takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False)))
