"""Every submission of a competition with the CV score of the run it came from."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kagglerun.config.card import Card
from kagglerun.experiment.runs import RunSummary, list_runs
from kagglerun.kaggle_api.records import SubmissionRecord, SubmissionState
from kagglerun.submission.ledger import LedgerEntry, read_ledger
from kagglerun.workspace import Workspace

_RUN_MARK = re.compile(r"\[run:(.+?) \w+:")


@dataclass(frozen=True)
class Scored:
    """A submission that was scored.

    Attributes:
        ref: the server's number for it.
        when: ISO 8601, UTC; empty where not known.
        file: name of what was sent.
        run: the run it came from; None for a file of the user's, and for a run that is not in this workspace.
        public: score on the public part.
        private: score on the private part, where shown.
    """

    ref: int
    when: str
    file: str
    run: RunSummary | None
    public: float | None
    private: float | None

    @property
    def cv(self) -> float | None:
        """Out-of-fold score of the run."""
        return None if self.run is None else self.run.score

    @property
    def name(self) -> str:
        """The run, else the file."""
        return self.file if self.run is None else self.run.run_id


@dataclass(frozen=True)
class Board:
    """The submissions of a competition.

    Attributes:
        submissions: all that were scored, oldest first.
        compared: of the runs with the same data, folds and metric the last submission of each, oldest first.
        left_out: why others are not compared, with their number.
        greater_is_better: direction of the scores.
    """

    submissions: tuple[Scored, ...]
    compared: tuple[Scored, ...]
    left_out: tuple[str, ...]
    greater_is_better: bool


def read_board(workspace: Workspace, card: Card, listed: Iterable[SubmissionRecord] | None) -> Board:
    """The submissions of a competition, each with its run.

    Args:
        workspace: whose runs and ledger.
        card: the competition.
        listed: the server's list; None: what the ledger of this workspace remembers.
    """
    entries = [entry for entry in read_ledger(workspace.ledger) if entry.competition == card.ref and entry.ref]
    runs = {run.run_id: run for run in list_runs(workspace, card.slug)}
    found = _from_ledger(entries, runs) if listed is None else _from_server(listed, entries, runs)
    submissions = tuple(sorted(found, key=lambda one: (one.when, one.ref)))
    compared = _comparable([one for one in submissions if one.public is not None])
    return Board(submissions, compared, _left_out(submissions, compared), bool(card.greater_is_better))


def _from_server(
    listed: Iterable[SubmissionRecord], entries: Sequence[LedgerEntry], runs: Mapping[str, RunSummary]
) -> list[Scored]:
    by_ref = {entry.ref: entry.run_id for entry in entries}
    found = []
    for record in listed:
        if record.state is not SubmissionState.COMPLETE:
            continue
        mark = _RUN_MARK.search(record.description)
        run = runs.get((mark.group(1) if mark else by_ref.get(record.ref)) or "")
        when = "" if record.date is None else record.date.isoformat(timespec="seconds")
        found.append(Scored(record.ref, when, record.file_name, run, record.public_score, record.private_score))
    return found


def _from_ledger(entries: Sequence[LedgerEntry], runs: Mapping[str, RunSummary]) -> list[Scored]:
    """The last line about each submission, at the time of its first."""
    first: dict[int, str] = {}
    last: dict[int, LedgerEntry] = {}
    for entry in entries:
        assert entry.ref is not None, "those without a number were left out"
        first.setdefault(entry.ref, entry.time)
        last[entry.ref] = entry
    return [
        Scored(
            ref,
            first[ref],
            entry.file.rsplit("/", 1)[-1],
            runs.get(entry.run_id or ""),
            entry.public_score,
            entry.private_score,
        )
        for ref, entry in last.items()
        if entry.state == "sent" and entry.public_score is not None
    ]


def _comparable(submissions: Sequence[Scored]) -> tuple[Scored, ...]:
    """The last submission of each run, of the runs with the folds that most share; of equally many the newest ones."""
    last = {one.run.run_id: one for one in submissions if one.run is not None and _has_score(one.run)}
    known = [one for one in submissions if one.run is not None and last.get(one.run.run_id) is one]
    if not known:
        return ()
    sizes = Counter(_comparable_key(one) for one in known)
    key = max((_comparable_key(one) for one in reversed(known)), key=lambda name: sizes[name])
    return tuple(one for one in known if _comparable_key(one) == key)


def _comparable_key(one: Scored) -> str:
    return (one.run.comparable if one.run else None) or ""


def _has_score(run: RunSummary) -> bool:
    return run.state == "FINISHED" and run.score is not None and run.score == run.score and run.comparable is not None


def _left_out(submissions: Sequence[Scored], compared: Sequence[Scored]) -> tuple[str, ...]:
    runs = {one.run.run_id for one in compared if one.run}
    reasons: Counter[str] = Counter()
    for one in submissions:
        if one in compared:
            continue
        if one.run is None:
            reasons["of no run of this workspace"] += 1
        elif one.run.run_id in runs:
            reasons["sent again later from the same run"] += 1
        elif one.public is None:
            reasons["without a public score"] += 1
        else:
            reasons["of runs with other data, folds or metric"] += 1
    return tuple(f"{count} {reason}" for reason, count in reasons.items())
