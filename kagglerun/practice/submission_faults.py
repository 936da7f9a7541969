"""Faults of what becomes of a submission: an allowance used up by others, a hollow success, lists that lag behind."""

from __future__ import annotations

import secrets
from datetime import datetime

from kagglerun.practice.competitions import Definition
from kagglerun.practice.host import Host
from kagglerun.practice.state import Submission, Upload

_CREATE = "CreateSubmission"


def before_entering(host: Host, definition: Definition, now: datetime) -> None:
    """Let another client use up the day's allowance, when that was ordered."""
    if host.faults.take(("used-up",), {_CREATE}) is None:
        return
    left = definition.max_daily_submissions - host.store.used_today(definition.slug, now)
    for _ in range(left):
        theirs = Upload(secrets.token_urlsafe(24), definition.slug, "theirs.csv", 1)
        host.store.add_upload(theirs, now)
        entered = host.store.add_submission(theirs, "another client's", now, definition.max_daily_submissions)
        if entered is not None:
            host.store.finish(entered.ref)


def hollow_ref(host: Host) -> int | None:
    """The number of a submission that shall be told and not made; None when none shall."""
    fault = host.faults.take(("hollow",), {_CREATE})
    return None if fault is None else fault.value or 0


def known_submissions(host: Host, slug: str, method: str) -> list[Submission]:
    """All submissions to a competition that an answer knows of, the latest first.

    Args:
        host: the server's parts.
        slug: the competition.
        method: the call that is answered.
    """
    found = host.store.submissions(slug)
    older = [submission for submission in found if submission.time < host.faults.ordered()]
    lags = len(older) < len(found) and host.faults.take(("lag",), {method}) is not None
    return older if lags else found


def is_known(host: Host, submission: Submission) -> bool:
    """Whether the answer to the question for this one submission knows of it."""
    is_new = submission.time >= host.faults.ordered()
    return not (is_new and host.faults.take(("lag",), {"GetSubmission"}) is not None)
