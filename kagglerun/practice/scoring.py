"""Scores of a submission on the public and the private rows."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from kagglerun.errors import ConfigError, DataError, KagglerunError, PracticeError
from kagglerun.practice.competitions import Catalogue, Hosted
from kagglerun.practice.paths import PracticePaths
from kagglerun.practice.state import Store, Submission
from kagglerun.practice.table_text import read_typed

if TYPE_CHECKING:
    import pandas as pd

    from kagglerun.metrics import Metric

USAGE = "Usage"
"""The solution's column that says which rows make the public score."""

_log = logging.getLogger("kagglerun.practice")


@dataclass(frozen=True)
class Scores:
    """Scores on the two parts of the test rows; None where a part has no rows."""

    public: float | None
    private: float | None


def score_file(hosted: Hosted, path: Path, file_name: str) -> Scores:
    """Score a submission file.

    Args:
        hosted: the competition.
        path: the file as it was sent.
        file_name: its name on the user's machine; its ending says its format, and whether it is packed (.zip, .gz).

    Raises:
        DataError: the file does not fit; the message says why, as Kaggle shows it.
    """
    definition = hosted.definition
    ids = list(definition.ids)
    solution = read_values(hosted.paths.solution, ids, "the solution")
    submission = read_values(path, ids, "the submission", file_name)
    metric, parameters = hosted.scored_by(), definition.metric_parameters
    return score_tables(metric, submission, solution, ids, definition.classes, parameters)


def score_tables(
    metric: Metric,
    submission: pd.DataFrame,
    solution: pd.DataFrame,
    ids: list[str],
    classes: Sequence[str],
    parameters: Mapping[str, Any] | None = None,
) -> Scores:
    """Score a submission on the public and on the private rows.

    Args:
        metric: what scores it.
        submission: ids and predictions, see `Metric.score_frames`.
        solution: ids, truths and Usage (Public, Private or Ignored).
        ids: the id columns, as text in both tables.
        classes: class labels in order; empty where there are none.
        parameters: the metric's own; columns of the solution for weights and groups.

    Raises:
        DataError: the submission does not fit the solution.
    """
    labels, given = classes or None, dict(parameters or {})
    usage = solution[USAGE].str.casefold()
    ignored = _keys(solution[usage == "ignored"], ids)
    if ignored:
        submission = submission[[key not in ignored for key in _keys_in_order(submission, ids)]]
        solution, usage = solution[usage != "ignored"], usage[usage != "ignored"]
    # Scoring all rows first finds wrong columns, ids and values before the rows are parted.
    metric.score_frames(submission, solution, ids, labels, **given)
    scores = []
    for part in ("public", "private"):
        truth = solution[usage == part]
        known = _keys(truth, ids)
        rows = submission[[key in known for key in _keys_in_order(submission, ids)]]
        scores.append(metric.score_frames(rows, truth, ids, labels, **given) if len(truth) else None)
    return Scores(*scores)


def try_sample(
    metric: Metric,
    sample: pd.DataFrame,
    solution: pd.DataFrame,
    ids: Sequence[str],
    classes: Sequence[str],
    parameters: Mapping[str, Any],
) -> None:
    """Score the sample submission, as a first participant would, unless it is a form with blanks to fill in.

    Args: as for `score_tables`, with every cell as its text.

    Raises:
        PracticeError: it cannot be scored.
    """
    if (sample == "").to_numpy().any():
        return
    tables = [
        read_values(io.BytesIO(table.to_csv(index=False).encode()), list(ids), what)
        for table, what in ((sample, "the sample submission"), (solution, "the solution"))
    ]
    try:
        score_tables(metric, tables[0], tables[1], list(ids), classes, parameters)
    except (DataError, ConfigError) as error:
        raise PracticeError(
            f"the sample submission cannot be scored with {metric.name!r}: {error.message}", hint=error.hint
        ) from error
    except (TypeError, ValueError, LookupError) as error:
        given = ", ".join(f"{name}={value!r}" for name, value in parameters.items())
        raise PracticeError(f"{metric.name!r} cannot be scored with {given or 'no parameters'}: {error}") from error


def read_values(source: Path | IO[bytes], ids: list[str], what: str, name: str = "table.csv") -> pd.DataFrame:
    """Read a table with ids as text; only a blank is a missing value.

    Args:
        source: the file.
        ids: columns that stay text.
        what: names it in messages.
        name: the file's own name, whose ending tells its format.

    Raises:
        DataError: it cannot be read, or lacks an id column.
    """
    import pandas as pd

    try:
        table = read_typed(source, name, tuple(ids))
    except DataError as error:
        raise DataError(error.message.replace("it", what, 1)) from error
    if not isinstance(table.index, pd.RangeIndex):
        raise DataError(f"{what} has rows with more values than its header has columns")
    missing = [name for name in ids if name not in table.columns]
    if missing:
        raise DataError(f"{what} has no column {missing[0]!r}; it has: {', '.join(map(str, table.columns))}")
    return table


def _keys_in_order(table: pd.DataFrame, ids: list[str]) -> list[tuple[str, ...]]:
    return [tuple(key) for key in table[ids].itertuples(index=False, name=None)]


def _keys(table: pd.DataFrame, ids: list[str]) -> set[tuple[str, ...]]:
    return set(_keys_in_order(table, ids))


class Scorer:
    """Scores submissions one after another in the background, those left over from the last time first.

    Args:
        paths: where the files are.
        store: where the scores go.
        catalogue: the competitions.
    """

    def __init__(self, paths: PracticePaths, store: Store, catalogue: Catalogue) -> None:
        self._paths, self._store, self._catalogue = paths, store, catalogue
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="scorer")
        self._closed = threading.Event()

    def start(self, but_not: Collection[str] = ()) -> None:
        """Score what was still pending when the server stopped.

        Args:
            but_not: tokens of submissions that wait for a notebook to write their file.
        """
        for submission in self._store.pending():
            if submission.token not in but_not:
                self.add(submission)

    def add(self, submission: Submission) -> None:
        """Score a submission when its turn comes."""
        if not self._closed.is_set():
            self._worker.submit(self._score, submission)

    def close(self) -> None:
        """Stop after the submission at work; the rest stays pending and is scored next time."""
        self._closed.set()
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _score(self, submission: Submission) -> None:
        """Score one; whatever goes wrong becomes its error description."""
        try:
            hosted = self._catalogue.get(submission.slug)
            scores = score_file(hosted, self._paths.upload(submission.token), submission.file_name)
        except KagglerunError as error:
            self._store.finish(submission.ref, error=_description(error))
        except Exception:  # a user's own metric may raise anything; the server's log keeps the traceback
            _log.exception("submission %d could not be scored", submission.ref)
            self._store.finish(submission.ref, error="Evaluation Exception: the metric raised an unexpected exception")
        else:
            self._store.finish(submission.ref, scores.public, scores.private)


def _description(error: KagglerunError) -> str:
    text = error.message if error.hint is None else f"{error.message} ({error.hint})"
    return text[:1].upper() + text[1:]
