"""Whether a rehearsed notebook did what it must, and what went wrong where it did not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from kagglerun.code_competition.variants import LARGER, SMALLER, TestSetVariant
from kagglerun.config.card import Card
from kagglerun.errors import KagglerunError
from kagglerun.files import read_json
from kagglerun.sandbox.run import NotebookRun
from kagglerun.submission.findings import Level, of_level
from kagglerun.submission.guard import inspect_file
from kagglerun.submission.sample_format import read_like_sample
from kagglerun.submission.write import sample_path

REPORT = "inference.json"
_CAUSES = (
    (
        re.compile(
            r"name resolution|Name or service not known|Network is unreachable|URLError|ConnectionError|Errno 101|"
            r"NameResolutionError|ConnectError"
        ),
        "it asks the network, which a code competition's notebook does not have",
    ),
    (
        re.compile(r"No matching distribution|a package is missing"),
        "a wheel is missing: kagglerun package RUN --with NAME",
    ),
    (re.compile(r"ModuleNotFoundError|No module named"), "a package is missing: kagglerun package RUN --with NAME"),
    (re.compile(r"DeadKernelError"), "the process crashed, or the machine had no memory left"),
)
_MOST_LINES = 6
_SHOWN_OF_LOG = 3


@dataclass(frozen=True)
class VariantResult:
    """How the notebook did with one test set.

    Attributes:
        name: of the variant.
        ok: whether it passed.
        state: the notebook's own end, or "not tried".
        said: what went wrong, or what is worth knowing, one sentence each.
        rows: test rows.
        seconds: time of the whole notebook.
        peak_bytes: most memory it held.
    """

    name: str
    ok: bool
    state: str
    said: tuple[str, ...]
    rows: int = 0
    seconds: float = 0.0
    peak_bytes: int = 0


def judge(
    variant: TestSetVariant, run: NotebookRun, card: Card, output: Path, local: Path | None, public: Path | None
) -> VariantResult:
    """Judge one rehearsal.

    Args:
        variant: its test set.
        run: how the notebook ended.
        card: what is known of the competition.
        output: the submission file that it should have written.
        local: for the public test set, the file that `kagglerun submit` would send; they must be equal.
        public: for another one, the public rehearsal's file, with which shared rows are compared; None without one.
    """
    wrong = list(_wrong(variant, run, card, output, local))
    said = wrong or list(_worth_knowing(variant, card, output, public))
    report = output.with_name(REPORT)
    rows = variant.rows or (int(read_json(report)["rows"]) if report.is_file() else 0)
    return VariantResult(
        variant.name, not wrong, run.state, tuple(said[:_MOST_LINES]), rows, run.seconds, run.peak_bytes
    )


def _wrong(variant: TestSetVariant, run: NotebookRun, card: Card, output: Path, local: Path | None) -> Iterator[str]:
    if run.state != "finished":
        yield from _why(run)
        return
    try:
        checked = inspect_file(output, variant.paths, card)
    except KagglerunError as error:
        yield error.message
        return
    yield from (finding.what for finding in of_level(checked.findings, Level.ERROR))
    if local is not None and output.read_bytes() != local.read_bytes():
        how = difference(output, local, sample_path(variant.paths, card))
        yield f"{output.name} is not the file that was written here: {how}"
        yield from _left_out(output)


def _why(run: NotebookRun) -> Iterator[str]:
    """The notebook's error, with what it usually means."""
    lines = [line for line in (run.error or "").splitlines() if line.strip() and not line.startswith("in cell")]
    seen = "\n".join([*run.log[-40:], *lines])
    yield from (cause for pattern, cause in _CAUSES if pattern.search(seen) and run.state == "failed")
    if run.state != "failed":
        yield f"{run.state}: {lines[0] if lines else ''}"
        return
    yield from (line.strip()[:300] for line in lines[:_SHOWN_OF_LOG])


def _left_out(output: Path) -> Iterator[str]:
    """What the inference left out for want of time, and other notes of its own."""
    report = output.with_name(REPORT)
    if report.is_file():
        said = read_json(report)
        yield from said["left_out"]
        if said["reached"] < said["rows"]:
            yield f"only {said['reached']} of {said['rows']} rows were reached in time"


def _worth_knowing(variant: TestSetVariant, card: Card, output: Path, public: Path | None) -> Iterator[str]:
    yield from _left_out(output)
    report = output.with_name(REPORT)
    if report.is_file():
        yield from read_json(report)["notes"]
    if variant.name in (LARGER, SMALLER) and public is not None and public.is_file():
        changed = _changed_rows(output, public, card, sample_path(variant.paths, card))
        if changed:
            yield f"{changed} rows of the public test set got another prediction: a prediction depends on other rows"


def difference(mine: Path, other: Path, sample: Path) -> str:
    """Where two submission files differ, in words."""
    try:
        first, second = read_like_sample(mine, sample), read_like_sample(other, sample)
    except KagglerunError as error:
        return error.message
    if first.shape != second.shape or list(first.columns) != list(second.columns):
        there, here = (f"{len(table)} rows of {list(table.columns)}" for table in (first, second))
        return f"{there} there, {here} here"
    cells = first.ne(second)
    numbers = max((_largest_gap(first[name], second[name]) for name in first), default=float("nan"))
    largest = f", by {numbers:.2g} at most" if numbers > 0 else ""
    count = int(cells.to_numpy().sum())
    return f"{count} of {cells.size} cells differ{largest}" if count else "only the way it is written differs"


def _largest_gap(first: pd.Series[str], second: pd.Series[str]) -> float:
    """Largest difference of two columns where both hold numbers; 0 where neither does."""
    gaps = pd.to_numeric(first, errors="coerce") - pd.to_numeric(second, errors="coerce")
    return float(gaps.abs().fillna(0.0).max())


def _changed_rows(output: Path, public: Path, card: Card, sample: Path) -> int:
    """Rows of the public file that have another prediction in `output`; rows that are not in both do not count."""
    if not card.ids:
        return 0
    ids = list(card.ids)
    before, after = (read_like_sample(path, sample).set_index(ids) for path in (public, output))
    shared = before.index.intersection(after.index)
    if before.index.has_duplicates or after.index.has_duplicates:
        return 0
    return int(before.loc[shared].ne(after.loc[shared]).any(axis=1).sum())
