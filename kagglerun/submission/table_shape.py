"""Checks of a submission's columns and rows against the sample submission."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from kagglerun.config.card import Card
from kagglerun.metrics import Metric, PredictionKind
from kagglerun.submission.findings import Finding, error, warning
from kagglerun.submission.words import counted, quoted

_SEVERAL_ROWS = (PredictionKind.MASK, PredictionKind.BOXES)
_COLUMNS_WHY = "Kaggle takes exactly the sample submission's columns"
_ROWS_WHY = "Kaggle takes exactly the sample submission's ids, each as often as it stands there"


def check_columns(table: pd.DataFrame, sample: pd.DataFrame) -> Iterator[Finding]:
    """Compare the columns' names and order.

    Args:
        table: the file, every cell its text.
        sample: the sample submission, likewise.
    """
    have, wanted = list(table.columns), list(sample.columns)
    if have == wanted:
        return
    missing = [name for name in wanted if name not in have]
    unknown = [name for name in have if name not in wanted]
    if not missing and not unknown:
        reason = f"has its columns in the order {quoted(have)}"
    else:
        parts = [f"lacks {quoted(missing)}"] if missing else []
        parts += [f"has {quoted(unknown)} too many"] if unknown else []
        reason = " and ".join(parts)
    yield error(
        f"the file {reason}; the sample submission has {quoted(wanted)}", _COLUMNS_WHY, _rename(missing, unknown)
    )


def check_ids(table: pd.DataFrame, sample: pd.DataFrame, card: Card, metric: Metric) -> Iterator[Finding]:
    """Compare the rows' ids: which, how often and in which order.

    Of masks and boxes each image may have several rows, which is told.

    Args:
        table: the file, every cell its text.
        sample: the sample submission, likewise.
        card: names the id columns.
        metric: what will score the file.
    """
    ids = [name for name in card.ids if name in table and name in sample]
    if len(ids) < len(card.ids):
        return
    have, wanted = _keys(table, ids), _keys(sample, ids)
    if ids and metric.prediction in _SEVERAL_ROWS and have.duplicated().any():
        images, asked = have.drop_duplicates(ignore_index=True), wanted.drop_duplicates(ignore_index=True)
        yield from _same_ids(images, asked, ids)
        if not wanted.duplicated().any():
            several = f"{len(have)} rows for {len(images)} images; the sample submission has one row an image"
            yield warning(several, "the competition may take one row an image only")
        return
    yield from _same_ids(have, wanted, ids)


def _rename(missing: Sequence[str], unknown: Sequence[str]) -> str | None:
    """What to do about names that do not fit."""
    if any(name == "" or str(name).startswith("Unnamed: ") for name in unknown):
        return "write it without the row numbers: to_csv(..., index=False)"
    spelt = {str(name).strip().casefold(): name for name in missing}
    found = [(name, spelt[str(name).strip().casefold()]) for name in unknown if str(name).strip().casefold() in spelt]
    return f"rename {found[0][0]!r} to {found[0][1]!r}" if found else None


def _same_ids(have: pd.Series[Any], wanted: pd.Series[Any], ids: list[str]) -> Iterator[Finding]:
    if len(have) == len(wanted) and bool((have.to_numpy() == wanted.to_numpy()).all()):
        return
    count = f"the file has {len(have)} rows, the sample submission {len(wanted)}"
    counts = f"; {count}" if len(have) != len(wanted) else ""
    twice = have[have.duplicated() & ~have.isin(wanted[wanted.duplicated()])]
    missing, unknown = wanted[~wanted.isin(have)], have[~have.isin(wanted)]
    hint, wrong = _respell(missing, unknown), False
    for problem, rows in (("there twice", twice), ("missing", missing), ("not in the sample submission", unknown)):
        if len(rows):
            wrong = True
            named = counted(len(rows), "/".join(ids))
            yield error(f"{named} {problem}, the first is {rows.iloc[0]!r}{counts}", _ROWS_WHY, hint)
    if wrong:
        return
    if counts:
        yield error(count, _ROWS_WHY)
        return
    different = np.flatnonzero(have.to_numpy() != wanted.to_numpy())
    if len(different):
        row = int(different[0])
        yield warning(
            f"the rows are in another order than in the sample submission: "
            f"row {row + 1} is {have.iloc[row]!r} instead of {wanted.iloc[row]!r}",
            "Kaggle pairs rows by their ids; were only the ids moved, every prediction would be another row's",
        )


def _respell(missing: pd.Series[Any], unknown: pd.Series[Any]) -> str | None:
    """What to do where ids only look different: 1.0 for 1, 7 for 007, a blank too many."""
    if missing.empty or unknown.empty:
        return None
    if {_plain(text) for text in unknown} == {_plain(text) for text in missing}:
        return f"the ids are the sample's, written otherwise ({unknown.iloc[0]!r}): read and write them as text"
    return None


def _plain(text: str) -> str:
    bare = text.strip().removesuffix(".0")
    return bare.lstrip("0") or bare


def _keys(table: pd.DataFrame, ids: list[str]) -> pd.Series[Any]:
    if not ids:
        return pd.Series([""] * len(table), dtype=object)
    keys = table[ids[0]].astype(object)
    for name in ids[1:]:
        keys = keys + " / " + table[name].astype(object)
    return keys
