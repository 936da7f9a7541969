"""What the server knows, as the messages of Kaggle's API."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TypeVar

from kagglerun.practice import leaderboard as places
from kagglerun.practice import wire
from kagglerun.practice.competitions import DEADLINE, Hosted
from kagglerun.practice.host import USER, Host
from kagglerun.practice.state import Submission
from kagglerun.practice.wire import ApiError

T = TypeVar("T")

_PAGE_SIZE, _LARGEST_PAGE = 20, 200


def page_of(items: Sequence[T], message: wire.PagedRequest) -> tuple[Sequence[T], str]:
    """The asked-for page of a list, and the token of the next one ("" on the last)."""
    size = min(message.page_size or _PAGE_SIZE, _LARGEST_PAGE)
    if size < 1:
        raise ApiError(400, f"Page size {message.page_size} is not positive")
    start = (max(message.page or 1, 1) - 1) * size
    if message.page_token:
        if not message.page_token.isdecimal():
            raise ApiError(400, "Invalid page token")
        start = int(message.page_token)
    end = start + size
    return items[start:end], str(end) if end < len(items) else ""


def competition_answer(host: Host, hosted: Hosted) -> wire.Competition:
    """A competition, with our place on its leaderboard."""
    definition = hosted.definition
    board = places.leaderboard(hosted, host.store.submissions(definition.slug))
    return wire.Competition(
        id=zlib.crc32(definition.slug.encode()) & 0x7FFFFFFF,
        ref=f"https://www.kaggle.com/competitions/{definition.slug}",
        title=definition.title,
        url=f"https://www.kaggle.com/competitions/{definition.slug}",
        description=definition.description,
        deadline=DEADLINE,
        team_count=len(board),
        user_has_entered=host.entered(hosted),
        user_rank=places.our_rank(board),
        enabled_date=definition.created,
        date_created=definition.created,
        max_daily_submissions=definition.max_daily_submissions,
        evaluation_metric=definition.evaluation_metric,
        is_kernels_submissions_only=definition.notebooks_only,
    )


def submission_answer(submission: Submission) -> wire.Submission:
    """A submission. Practice competitions show the private score too."""

    def score(value: float | None) -> str | None:
        return None if value is None else places.shown(value)

    return wire.Submission(
        ref=submission.ref,
        total_bytes=submission.bytes,
        date=submission.time,
        description=submission.description,
        error_description=submission.error,
        file_name=submission.file_name,
        public_score=score(submission.public_score),
        private_score=score(submission.private_score),
        status=submission.status.value,
        submitted_by=USER,
        submitted_by_ref=USER,
        team_name=places.TEAM,
        url=f"https://www.kaggle.com/submissions/{submission.ref}/{submission.ref}.raw",
    )


def in_order(submissions: list[Submission], order: str, hosted: Hosted) -> list[Submission]:
    """Submissions by date (latest first), by name, or by a score (best first, unscored last)."""
    if order == "SUBMISSION_SORT_BY_NAME":
        return sorted(submissions, key=lambda submission: submission.file_name)
    if order not in ("SUBMISSION_SORT_BY_PUBLIC_SCORE", "SUBMISSION_SORT_BY_PRIVATE_SCORE"):
        return submissions
    sign = -1.0 if hosted.definition.greater_is_better else 1.0

    def key(submission: Submission) -> tuple[bool, float]:
        public = order == "SUBMISSION_SORT_BY_PUBLIC_SCORE"
        score = submission.public_score if public else submission.private_score
        return score is None, sign * (score or 0.0)

    return sorted(submissions, key=key)
