"""Over two hundred faults at a submission, each tried over HTTP on the practice server by the command itself."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kagglerun.cli.main import run
from kagglerun.experiment.predictions import Predictions, write_predictions
from kagglerun.files import sha256_of_file, write_json, write_text
from kagglerun.kaggle_api.records import SubmissionRecord
from kagglerun.kaggle_api.submit import mark_of
from kagglerun.practice.faults import read_fault
from kagglerun.practice.paths import PracticePaths
from kagglerun.practice.server import ensure_running, faults_of, set_faults, stop
from kagglerun.practice.state import forget_submissions
from kagglerun.submission.ledger import entries_of
from kagglerun.workspace import Workspace
from tests.local_kaggle import host_coins, practice_client

_MANY, _SCARCE = "many", "scarce"
_KILLS = 36
_TAKES_SECONDS = 60
_COUNTED = 5
"""Undisturbed submissions whose points are counted."""


@dataclass(frozen=True)
class Case:
    """What goes wrong at one submission.

    Attributes:
        group: the row of the table.
        faults: of the server, as it reads them.
        kill_share: where it is killed, as a share of the points that a whole one passes; None for nowhere.
        full_at: the write of a list of submissions that finds the disk full; 0 for none.
        from_elsewhere: the same file is sent from another workspace while it is uploaded.
        scarce: in a competition with two submissions a day.
        must_hit: whether the fault meets a request at all.
    """

    group: str
    faults: tuple[str, ...] = ()
    kill_share: float | None = None
    full_at: int = 0
    from_elsewhere: bool = False
    scarce: bool = False
    must_hit: bool = True

    def __str__(self) -> str:
        rest = [f"killed at {self.kill_share:.3f}"] if self.kill_share is not None else []
        rest += [f"disk full at write {self.full_at}"] if self.full_at else []
        rest += ["the same from elsewhere"] if self.from_elsewhere else []
        return "+".join((*self.faults, *rest))


def _before_the_upload() -> Iterator[Case]:
    lost = ("api-break", "api-html", "api-error=500", "api-stall", "api-rate-limit=0", "unauthenticated")
    for method in ("GetCompetition", "GetSubmissionLimits", "ListSubmissions", "StartSubmissionUpload"):
        for fault in (*lost, "api-error=503", "api-rate-limit=900"):
            always = "*always" if fault == "api-error=503" else ""
            yield Case("before the upload", (f"{fault}@{method}{always}",))
    for fault in ("api-lost", "api-lost-half", "api-lost-error", "rules", "phone", "not-entered", "gone"):
        yield Case("before the upload", (f"{fault}@StartSubmissionUpload",))


def _at_the_upload() -> Iterator[Case]:
    cuts = ("upload-break=0", "upload-break=1", "upload-break", "upload-stall=0", "upload-stall", "upload-html")
    refusals = tuple(f"upload-error={status}" for status in (400, 403, 404, 410, 500, 502, 503))
    for fault in (*cuts, *refusals):
        yield Case("during the upload", (fault,))
    for fault in ("upload-break=0", "upload-break", "upload-stall", "upload-error=503", "upload-html"):
        yield Case("during the upload", (f"{fault}*always",))
    after = ("upload-lost", "upload-lost-stall", *(f"upload-lost-error={code}" for code in (400, 500, 502, 503, 504)))
    for fault in after:
        yield Case("after the upload", (fault,))
        yield Case("after the upload", (f"{fault}*always",))


def _at_the_create_call() -> Iterator[Case]:
    refused = ("api-break", "api-stall", "api-html", "api-rate-limit=0", "rules", "phone", "not-entered", "gone")
    statuses = tuple(f"api-error={status}" for status in (400, 403, 404, 408, 409, 500, 502, 503, 504, 520))
    for fault in (*refused, "unauthenticated", *statuses):
        yield Case("create call lost on the way", (f"{fault}@CreateSubmission",))


_LOST = ("api-lost", "api-lost-half", "api-lost-html", "api-lost-stall")
_LOST_STATUS = tuple(f"api-lost-error={status}" for status in (500, 502, 503, 504, 520, 400, 403, 404, 408, 429))


def _after_the_create_call() -> Iterator[Case]:
    for fault in _LOST:
        yield Case("answer lost after success", (f"{fault}@CreateSubmission",))
    for fault in _LOST_STATUS:
        yield Case("error after success", (f"{fault}@CreateSubmission",))


def _read_back() -> Iterator[Case]:
    """The answer is lost after success, and the list cannot be read, or does not know of it yet."""
    lists = (
        "api-lost@ListSubmissions*2",
        "api-error=503@ListSubmissions*3",
        "lag@ListSubmissions",
        "lag@ListSubmissions*3",
        "lag@ListSubmissions*always",
    )
    for fault in ("api-lost", "api-lost-stall", "api-lost-error=502", "api-lost-html"):
        for reading in lists:
            yield Case("answer and read-back lost", (f"{fault}@CreateSubmission", reading), must_hit=False)
    counts = "lag@GetSubmissionLimits*always"
    for fault in ("api-lost", "api-lost-error=504"):
        lasting = (f"{fault}@CreateSubmission", "lag@ListSubmissions*8")
        yield Case("answer and read-back lost", lasting)
        yield Case("answer and read-back lost", (*lasting, counts))


def _confirmation() -> Iterator[Case]:
    """The server tells of success, and the submission cannot be seen, or its score not be asked for."""
    for fault in ("api-break", "api-html", "api-error=503", "api-stall", "api-lost-half", "gone", "lag"):
        yield Case("success that cannot be read back", (f"{fault}@GetSubmission",))
        if fault != "api-stall":
            yield Case("success that cannot be read back", (f"{fault}@GetSubmission*always",))
    yield Case("success that cannot be read back", ("lag@GetSubmission*always", "lag@ListSubmissions*always"))
    yield Case("success that cannot be read back", ("api-error=503@GetSubmission*always", "lag@ListSubmissions*always"))
    for fault in ("api-break", "api-html", "api-error=500", "gone", "api-lost-half"):
        yield Case("leaderboard lost", (f"{fault}@DownloadLeaderboard*always",))


def _hollow() -> Iterator[Case]:
    yield Case("allowance used up in between", ("used-up",), scarce=True)
    yield Case("allowance used up in between", ("used-up", "api-lost@CreateSubmission"), scarce=True)
    yield Case("allowance used up in between", ("used-up", "api-lost-error=503@CreateSubmission"), scarce=True)
    yield Case("allowance used up in between", ("used-up", "api-lost-html@CreateSubmission"), scarce=True)
    for hollow in ("hollow", "hollow=999999"):
        yield Case("success told without a submission", (hollow,))
        yield Case("success told without a submission", ("used-up", hollow), scarce=True)
        yield Case("success told without a submission", (hollow, "api-error=503@GetSubmission*always"), must_hit=False)
        yield Case("success told without a submission", (hollow, "api-lost@CreateSubmission"))


def _local() -> Iterator[Case]:
    chance = random.Random(5)
    for number in range(_KILLS):
        yield Case("kill -9", kill_share=(number + chance.random()) / _KILLS)
    for number in range(6):
        faults = (("api-lost@CreateSubmission", "upload-break", "lag@ListSubmissions*2")[number % 3],)
        yield Case("kill -9 and a fault", faults, kill_share=(number + chance.random()) / 6, must_hit=False)
    for write in range(1, 7):
        yield Case("disk full at the ledger", full_at=write)
    for write in (2, 3):
        yield Case("disk full at the ledger", ("api-lost@CreateSubmission",), full_at=write, must_hit=write > 2)
    yield Case("the same file from elsewhere", from_elsewhere=True)
    yield Case("the same file from elsewhere", ("upload-break",), from_elsewhere=True)
    yield Case("the same file from elsewhere", ("api-break@ListSubmissions*2",), from_elsewhere=True)


CASES = (
    *_before_the_upload(),
    *_at_the_upload(),
    *_at_the_create_call(),
    *_after_the_create_call(),
    *_read_back(),
    *_confirmation(),
    *_hollow(),
    *_local(),
)
QUICK = (
    *(case for case in CASES if str(case) in ("upload-lost", "api-lost-error=503@CreateSubmission", "hollow")),
    [case for case in CASES if case.group == "kill -9"][_KILLS // 2],
)
"""One of each kind."""


@dataclass(frozen=True)
class Outcome:
    """What came of a case.

    Attributes:
        case: the case.
        status: exit status of the command with the fault; negative for the signal that killed it.
        told: what it printed.
        spent: submissions of this file after it.
        hit: whether a fault met a request, or the process was killed, or its disk full.
        again: exit status of the same command without a fault; None where it was done and was not typed again.
        told_again: what that printed.
        spent_again: submissions of this file after that.
        scores_known: whether the score stands in the ledger in the end.
    """

    case: Case
    status: int
    told: str
    spent: int
    hit: bool
    again: int | None
    told_again: str
    spent_again: int
    scores_known: bool

    @property
    def false_success(self) -> bool:
        """A success was reported and none was made."""
        says = self.status == 0 or "submitted:" in self.told or "had arrived" in self.told
        return (says and self.spent == 0) or (self.again == 0 and self.spent_again == 0)

    @property
    def slots(self) -> int:
        """Submissions that were made."""
        return max(self.spent, self.spent_again)

    @property
    def ends_well(self) -> bool:
        """The same command again gives one submission with its score, or says that it was sent before."""
        known = self.again in (None, 0) or (self.again == 3 and "was sent to" in self.told_again)
        return known and self.spent_again == 1 and (self.scores_known or self.case.from_elsewhere)


class Stand:
    """A workspace with a practice server, and processes that submit to it.

    Args:
        folder: an empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workspace, self._elsewhere = (self._workspace(folder / name) for name in ("here", "elsewhere"))
        for slug, daily in ((_MANY, 5000), (_SCARCE, 2)):
            host_coins(self.workspace, slug, daily=daily)
        self._server = ensure_running(self.workspace)
        (self._elsewhere.practice.parent).mkdir(parents=True, exist_ok=True)
        self._elsewhere.practice.symlink_to(self.workspace.practice)
        self._client = practice_client(self.workspace)
        self._nursery = subprocess.Popen(
            [sys.executable, "-m", "tests.submission.submit_nursery"],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._number = 0
        self.points = self._count_points()

    @staticmethod
    def _fetched(workspace: Workspace, slug: str) -> None:
        if not workspace.competition(slug).card.is_file():
            assert run(["--workspace", str(workspace.root), "fetch", f"practice/{slug}"]) == 0

    @staticmethod
    def _workspace(root: Path) -> Workspace:
        workspace = Workspace(root)
        workspace.competitions.mkdir(parents=True)
        workspace.sweeps.mkdir()
        return workspace

    def _count_points(self) -> int:
        """Points that a submission passes at least when nobody disturbs it. The first one waits longer for its score.

        How often the score is asked for differs from time to time; a kill must come before the quickest has ended.
        """
        self.submit(self.new_run())
        return min(int(self.submit(self.new_run())["passed"]) for _ in range(_COUNTED))

    def new_run(self, slug: str = _MANY) -> str:
        """A finished run with predictions of its own. Returns its id."""
        self._fetched(self.workspace, slug)
        self._number += 1
        run_id = f"run-{self._number:03d}"
        paths = self.workspace.run(slug, run_id)
        ids = pd.read_csv(self.workspace.competition(slug).data / "test.csv")[["id"]]
        bits = [(self._number >> place) & 1 for place in range(len(ids))]
        write_text(paths.config, f"competition: {slug}\n", durable=False)
        write_json(paths.fingerprint, {"comparable": "same"}, durable=False)
        write_json(paths.status, {"state": "FINISHED", "started": "2026-01-01T00:00:00+00:00"}, durable=False)
        score = {"score": 0.5, "fold_scores": [0.5], "metric": "accuracy", "greater_is_better": True}
        write_json(paths.metrics, score, durable=False)
        write_predictions(paths.test, Predictions(ids, np.array(bits, dtype=np.float64)[:, None], ("face",)))
        return run_id

    def submit(self, run_id: str, slug: str = _MANY, case: Case | None = None) -> dict[str, Any]:
        """Type the command. Returns its exit status, the points that it passed and what it printed."""
        file = self.workspace.run(slug, run_id).submission
        what = str(file) if case and case.from_elsewhere else run_id
        kill_at = 0 if case is None or case.kill_share is None else 1 + int(case.kill_share * self.points)
        order = {
            "workspace": str(self.workspace.root),
            "argv": ["submit", what, "--competition", f"practice/{slug}", "--yes"],
            "output": str(self.folder / "output.txt"),
            "kill_at": kill_at,
            "full_at": case.full_at if case else 0,
            "elsewhere": str(self._elsewhere.root) if case and case.from_elsewhere else None,
        }
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        self._nursery.stdin.write(json.dumps(order) + "\n")
        self._nursery.stdin.flush()
        said: dict[str, Any] = json.loads(self._nursery.stdout.readline())
        return {**said, "told": (self.folder / "output.txt").read_text("utf-8", errors="replace")}

    def _sent(self, slug: str, sha256: str) -> list[SubmissionRecord]:
        return [one for one in self._client.submissions(slug) if mark_of(sha256) in one.description]

    def tries(self, case: Case) -> Outcome:
        """Try a case, and the same command again without a fault."""
        slug = _SCARCE if case.scarce else _MANY
        forget_submissions(PracticePaths(self.workspace.practice), _SCARCE)
        run_id = self.new_run(slug)
        if case.from_elsewhere:
            self._fetched(self._elsewhere, slug)
            assert run(["--workspace", str(self.workspace.root), "submit", run_id, "--check"]) == 0
        set_faults(self._server, [read_fault(spec) for spec in case.faults])
        first = self.submit(run_id, slug, case)
        hits = sum(faults_of(self._server)[1].values())
        set_faults(self._server, ())
        file = self.workspace.run(slug, run_id).submission
        sha256 = sha256_of_file(file) if file.is_file() else ""
        spent = self._sent(slug, sha256) if sha256 else []
        if case.scarce and not spent:
            forget_submissions(PracticePaths(self.workspace.practice), _SCARCE)  # the next day
        again = self.submit(run_id, slug) if first["status"] else {"status": None, "told": ""}
        after = self._sent(slug, sha256_of_file(file)) if first["status"] else spent
        entries = entries_of(self.workspace.ledger, f"practice/{slug}", sha256_of_file(file))
        return Outcome(
            case,
            first["status"],
            first["told"],
            len(spent),
            bool(hits) or first["status"] == -9 or "disk is full" in first["told"] or case.from_elsewhere,
            again["status"],
            again["told"],
            len(after),
            any(entry.is_scored for entry in entries),
        )

    def close(self) -> None:
        """End the processes."""
        self._nursery.communicate()
        stop(self.workspace)


@contextmanager
def opened(folder: Path) -> Iterator[Stand]:
    """A stand in an empty folder, ended on leaving."""
    stand = Stand(folder)
    try:
        yield stand
    finally:
        stand.close()


def table(outcomes: Sequence[Outcome]) -> str:
    """A Markdown table of what came of the cases, a row for each kind."""
    rows = [
        "| what went wrong | faults | sent, scored | taken up or sent by the same command again | slots spent twice "
        "| false successes |",
        "|---|---|---|---|---|---|",
    ]
    groups = list(dict.fromkeys(outcome.case.group for outcome in outcomes))
    for group in (*groups, "all"):
        of = [one for one in outcomes if group in (one.case.group, "all")]
        at_once = sum(one.status == 0 for one in of)
        later = sum(one.status != 0 and one.ends_well for one in of)
        twice, false = sum(one.slots > 1 for one in of), sum(one.false_success for one in of)
        rows.append(f"| {group} | {len(of)} | {at_once} | {later} | {twice} | {false} |")
    return "\n".join(rows)


def clear(told: str) -> bool:
    """Whether an error is told in one to four lines without a traceback or a secret."""
    lines = [line for line in told.splitlines() if re.match(r"error:|  (→|->)", line)]
    return len(lines) <= 4 and "Traceback" not in told and "signature=" not in told
