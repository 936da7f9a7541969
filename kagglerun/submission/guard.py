"""Checks before a submission slot is spent.

Kaggle's own refusals cost a slot or a day; each of these costs nothing. A file without an error has the rows and
columns of the sample submission, and values that the metric takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from kagglerun.config.card import Card
from kagglerun.data.tables import load_competition
from kagglerun.errors import DataError, SubmissionInvalid
from kagglerun.files import sha256_of_file
from kagglerun.hooks import competition_metric
from kagglerun.submission.file_text import check_text
from kagglerun.submission.findings import Finding, Level, error, of_level, refuse
from kagglerun.submission.ledger import read_ledger
from kagglerun.submission.likeness import by_ids
from kagglerun.submission.reference import newest_reference
from kagglerun.submission.sample_format import read_like_sample
from kagglerun.submission.sent_before import check_sent_before
from kagglerun.submission.shift import check_shift
from kagglerun.submission.swapped import check_against_run, check_shares
from kagglerun.submission.table_shape import check_columns, check_ids
from kagglerun.submission.training_targets import training_targets
from kagglerun.submission.values import check_values
from kagglerun.submission.write import read_sample, sample_path
from kagglerun.workspace import CompetitionPaths, RunPaths, Workspace


@dataclass(frozen=True)
class CheckedFile:
    """A submission file and what the checks say of it.

    Attributes:
        path: the file.
        rows: number of rows; 0 where it could not be read.
        columns: its columns.
        sha256: hex digest.
        findings: errors and warnings, in the order of the checks.
    """

    path: Path
    rows: int
    columns: tuple[str, ...]
    sha256: str
    findings: tuple[Finding, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is odd about it, one sentence each."""
        return tuple(finding.what for finding in of_level(self.findings, Level.WARNING))

    @property
    def may_be_sent(self) -> bool:
        """Whether there is no error."""
        return not of_level(self.findings, Level.ERROR)


def check_file(
    path: Path,
    paths: CompetitionPaths,
    card: Card,
    *,
    run: RunPaths | None = None,
    workspace: Workspace | None = None,
) -> CheckedFile:
    """Check a submission file, and refuse one with errors.

    Args:
        path: the file, in the sample submission's format.
        paths: the competition's files.
        card: what is known of it; resolved.
        run: the run that it was written from; its test predictions are compared with its out-of-fold ones.
        workspace: whose ledger and runs the file is compared with; None for the file alone.

    Returns:
        The file; its findings are warnings.

    Raises:
        SubmissionInvalid: wrong columns, rows, ids or values; the message names all errors, at most three lines.
        UnresolvedCard: the card lacks what the checks need.
        DataError: the sample submission is not there.
    """
    checked = inspect_file(path, paths, card, run=run, workspace=workspace)
    refuse(checked.findings, _like_the_sample(paths, card))
    return checked


def inspect_file(
    path: Path,
    paths: CompetitionPaths,
    card: Card,
    *,
    run: RunPaths | None = None,
    workspace: Workspace | None = None,
) -> CheckedFile:
    """Check a submission file, whatever is found; arguments as for `check_file`.

    Raises:
        SubmissionInvalid: there is no such file.
        UnresolvedCard: the card lacks what the checks need.
        DataError: the sample submission is not there.
    """
    card.require_resolved(paths.card)
    if not path.is_file():
        raise SubmissionInvalid(f"there is no file {path}", hint="kagglerun submit best")
    sample, sha256 = sample_path(paths, card), sha256_of_file(path)
    text = check_text(path, sample)
    unread = CheckedFile(path, 0, (), sha256, text.findings)
    if not text.readable:
        return unread
    try:
        table = read_like_sample(path, sample, text.separator)
    except (DataError, SubmissionInvalid) as problem:
        said = error(problem.message, "what cannot be read cannot be scored", problem.hint)
        return replace(unread, findings=(*text.findings, said))
    checked = CheckedFile(path, len(table), tuple(map(str, table.columns)), sha256, text.findings)
    checked = replace(checked, findings=(*checked.findings, *_check_table(table, paths, card)))
    if not checked.may_be_sent:
        return checked
    return replace(checked, findings=(*checked.findings, *_compared(checked, table, paths, card, run, workspace)))


def _check_table(table: pd.DataFrame, paths: CompetitionPaths, card: Card) -> Iterator[Finding]:
    sample, metric = read_sample(paths, card), competition_metric(paths, card)
    yield from check_columns(table, sample)
    yield from check_ids(table, sample, card, metric)
    yield from check_values(table, sample, card, metric, training_targets(paths, card))


def _compared(
    checked: CheckedFile,
    table: pd.DataFrame,
    paths: CompetitionPaths,
    card: Card,
    run: RunPaths | None,
    workspace: Workspace | None,
) -> Iterator[Finding]:
    """A file without errors against training rows, runs and what was sent before."""
    metric = competition_metric(paths, card)
    if run is not None:
        yield from check_shift(run, card, lambda: load_competition(paths, card))
    else:
        yield from check_shares(table, card, metric, training_targets(paths, card))
        reference = None if workspace is None else newest_reference(workspace, paths, card)
        rows = None if reference is None else by_ids(table, card.ids, read_sample(paths, card))
        if reference is not None and rows is not None:
            yield from check_against_run(rows, reference.cells, card, reference.run_id)
    if workspace is not None:
        entries = read_ledger(workspace.ledger)
        yield from check_sent_before(table, checked.sha256, sample_path(paths, card), card, metric, entries)


def _like_the_sample(paths: CompetitionPaths, card: Card) -> str:
    return f"make it like {sample_path(paths, card)}; `kagglerun submit RUN` writes such a file"
