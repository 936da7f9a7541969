"""What `kagglerun practice list` and `show` tell."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from kagglerun.practice.competitions import Catalogue, Hosted, read_hosted
from kagglerun.practice.leaderboard import rank_of, shown
from kagglerun.practice.paths import PracticePaths
from kagglerun.practice.state import Store, Submission


@dataclass(frozen=True)
class Line:
    """A competition in the list. `rank` is empty where the competition came without a leaderboard."""

    slug: str
    is_built_in: bool
    task: str
    metric: str
    train_rows: int | None
    test_rows: int
    daily: int
    left_today: int
    best: str = ""
    rank: str = ""


@dataclass(frozen=True)
class Result:
    """A submission with its scores as Kaggle shows them."""

    ref: int
    time: str
    file_name: str
    message: str
    status: str
    error: str
    public: str
    private: str
    rank: str


def overview(paths: PracticePaths, catalogue: Catalogue) -> list[Line]:
    """All competitions. Built-in ones are described without making them."""
    store = Store(paths.database)
    now = datetime.now(UTC)
    return [_line(paths, catalogue, store, slug, now) for slug in catalogue.slugs()]


def results(paths: PracticePaths, hosted: Hosted) -> list[Result]:
    """A competition's submissions, the latest first."""
    submissions = Store(paths.database).submissions(hosted.definition.slug)
    return [_result(hosted, submission) for submission in submissions]


def _line(paths: PracticePaths, catalogue: Catalogue, store: Store, slug: str, now: datetime) -> Line:
    built_in = catalogue.built_in(slug)
    if built_in is not None and not catalogue.is_made(slug):
        train, test, daily = built_in.rows - built_in.test_rows, built_in.test_rows, built_in.daily
        return Line(slug, True, built_in.task, built_in.metric, train, test, daily, daily)
    hosted = read_hosted(paths.competition(slug))
    definition = hosted.definition
    scores = [s.private_score for s in store.submissions(slug) if s.private_score is not None]
    best = (max(scores) if definition.greater_is_better else min(scores)) if scores else None
    return Line(
        slug=slug,
        is_built_in=built_in is not None,
        task=definition.task,
        metric=definition.metric,
        train_rows=definition.train_rows,
        test_rows=definition.test_rows,
        daily=definition.max_daily_submissions,
        left_today=max(0, definition.max_daily_submissions - store.used_today(slug, now)),
        best="" if best is None else shown(best),
        rank=_rank(hosted, best),
    )


def _result(hosted: Hosted, submission: Submission) -> Result:
    return Result(
        ref=submission.ref,
        time=submission.time.strftime("%m-%d %H:%M"),
        file_name=submission.file_name,
        message=submission.description,
        status=submission.status.lower(),
        error=submission.error or "",
        public="" if submission.public_score is None else shown(submission.public_score),
        private="" if submission.private_score is None else shown(submission.private_score),
        rank=_rank(hosted, submission.private_score),
    )


def _rank(hosted: Hosted, score: float | None) -> str:
    if score is None or not hosted.paths.leaderboard.is_file():
        return ""
    rank, teams = rank_of(hosted, score)
    return f"{rank}/{teams}"
