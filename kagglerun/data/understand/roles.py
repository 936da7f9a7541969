"""Which table is the sample submission, which holds the training rows, which the test rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from kagglerun.data.tables import read_alike, read_header, read_table
from kagglerun.data.understand.findings import Findings
from kagglerun.data.understand.survey import Survey, stem
from kagglerun.errors import DataError

# Names Kaggle's hosts give the sample submission, the surest first.
_SAMPLE_NAMES = (
    re.compile(r"sample[_\- ]?submission"),
    re.compile(r"sample.*(sub|pred|entry|solution)|(submission|entry).*(sample|example|format)|example.*(sub|entry)"),
    re.compile(r"submission|submit|(^|_)null$|random_?predictions"),
)
_TEST = re.compile(r"(?<![a-z])test")
_NOT_TRAIN = re.compile(r"(?<![a-z])(test|val(id|idation)?(?![a-z])|eval|solution|submission)")


@dataclass(frozen=True)
class Materials:
    """The tables a card is inferred from.

    Attributes:
        survey: all files.
        sample_name, train_name, test_name: the tables' files.
        sample, train, test: their rows; test is None when no table lists the test rows.
    """

    survey: Survey
    sample_name: str
    train_name: str
    test_name: str | None
    sample: pd.DataFrame
    train: pd.DataFrame
    test: pd.DataFrame | None


def find_tables(findings: Findings, survey: Survey) -> Materials | None:
    """Settle `files.sample_submission`, `files.train_table` and `files.test_table`, and read them.

    Returns:
        None when the sample submission or the training table is not known.

    Raises:
        DataError: a table that the user named is missing, or one cannot be read.
    """
    sample_name = _find_sample(findings, survey)
    sample = None if sample_name is None else read_table(survey.root / sample_name)
    rest = [name for name in survey.tables if name != sample_name]
    columns = [] if sample is None else [str(name) for name in sample.columns]
    test_name = _find_test(findings, survey, rest, columns)
    train_name = _find_train(findings, survey, [name for name in rest if name != test_name], columns)
    if sample_name is None or train_name is None:
        return None
    names = [sample_name, train_name, *([test_name] if test_name else [])]
    missing = [name for name in names if not (survey.root / name).is_file()]
    if missing:
        raise DataError(f"{survey.root / missing[0]} is missing", hint="correct `files` in competition.yaml")
    sample, train, *tested = read_alike([survey.root / name for name in names])
    return Materials(survey, sample_name, train_name, test_name, sample, train, tested[0] if tested else None)


def _find_sample(findings: Findings, survey: Survey) -> str | None:
    field, fill_in = "files.sample_submission", "sample_submission: NAME.csv    (under files:)"
    if findings.is_written(field):
        return findings.take_text(field)
    for pattern in _SAMPLE_NAMES:
        found = _unpacked_only([name for name in survey.tables if pattern.search(stem(name))])
        exact = [name for name in found if stem(name) in ("sample_submission", "samplesubmission")]
        if len(found) > 1 and len(exact) == 1 and not any(_is_stage(name) for name in found):
            found = exact
        if len(found) == 1:
            return findings.settle(field, found[0], f"{found[0]} is the table that is named like a sample")
        if found:
            findings.ask(field, f"several tables are named like a sample: {_listed(found)}", fill_in)
            return None
    findings.ask(field, f"no table is named like a sample submission; tables: {_listed(survey.tables)}", fill_in)
    return None


def _is_stage(name: str) -> bool:
    """Whether the name speaks of a stage, a second or a later version: the sample in force is then not certain."""
    return re.search(r"stage|phase|round|final|v?\d$", stem(name)) is not None


def _find_test(findings: Findings, survey: Survey, names: Sequence[str], sample_columns: list[str]) -> str | None:
    field = "files.test_table"
    if findings.is_written(field):
        return findings.take_text(field)
    named = [name for name in names if _TEST.search(stem(name))]
    fitting = _unpacked_only([name for name in named if _may_hold_test_rows(survey, name, sample_columns)])
    best = _most_exact(fitting, "test")
    if len(best) == 1:
        because = f"{best[0]} is named so, and lacks the sample submission's predicted columns"
        return findings.settle(field, best[0], because)
    if named:
        several = f"several tables may hold the test rows: {_listed(best)}"
        because = several if best else f"{named[0]} has the sample submission's predicted columns too"
        findings.ask(field, because, "test_table: NAME.csv    (under files:)")
        return None
    findings.settle(field, None, "no table is named like test rows; the sample submission lists them")
    return None


def _may_hold_test_rows(survey: Survey, name: str, sample_columns: list[str]) -> bool:
    """A table named test that has all of the sample's columns holds labels, not the rows to predict."""
    return not sample_columns or not set(sample_columns) <= set(read_header(survey.root / name))


def _find_train(findings: Findings, survey: Survey, names: Sequence[str], sample_columns: list[str]) -> str | None:
    field, fill_in = "files.train_table", "train_table: NAME.csv    (under files:)"
    if findings.is_written(field):
        return findings.take_text(field)
    usable = [name for name in names if not _NOT_TRAIN.search(stem(name))]
    predicted = set(sample_columns[1:]) or set(sample_columns)
    with_targets = [name for name in usable if predicted & set(read_header(survey.root / name))]
    named = [name for name in usable if stem(name).startswith(("train", "labels"))]
    for group, why in ((with_targets, "has the sample submission's predicted columns"), (named, "is named so")):
        best = _most_exact(_unpacked_only(group), "train")
        if len(best) == 1:
            return findings.settle(field, best[0], f"{best[0]} {why}")
        if best:
            findings.ask(field, f"several tables may hold the training rows: {_listed(best)}", fill_in)
            return None
    where = "; the labels may be in folder or file names" if survey.others else ""
    findings.ask(field, f"no table holds training rows and targets; tables: {_listed(names)}{where}", fill_in)
    return None


def _most_exact(names: Sequence[str], word: str) -> list[str]:
    """The names closest to `word`: the word itself, those that start with it, all; then the least deep."""
    for matches in (
        [name for name in names if stem(name) == word],
        [name for name in names if stem(name).startswith(word)],
        list(names),
    ):
        if matches:
            depth = min(name.count("/") for name in matches)
            return [name for name in matches if name.count("/") == depth]
    return []


def _unpacked_only(names: Sequence[str]) -> list[str]:
    """Without archives of tables that lie unpacked beside them."""
    plain = {name for name in names if not name.lower().endswith((".zip", ".gz"))}
    return [name for name in names if name in plain or name.rpartition(".")[0] not in plain]


def _listed(names: Sequence[str]) -> str:
    return (", ".join(names[:8]) + (", ..." if len(names) > 8 else "")) or "none"
