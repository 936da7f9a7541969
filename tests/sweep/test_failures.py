"""When failing trials end a sweep."""

from __future__ import annotations

import pytest

from kagglerun.errors import TrainingError
from kagglerun.sweep.failures import failures_that_end_it, refuse_to_go_on_failing
from kagglerun.sweep.trials import Failure, Trial, TrialState


def trials(kinds: str) -> list[Trial]:
    """One trial a letter: `.` complete, `r` in work, others a kind of failure."""
    made = []
    for number, letter in enumerate(kinds):
        state = {".": TrialState.COMPLETE, "r": TrialState.RUNNING}.get(letter, TrialState.FAIL)
        failure = Failure(letter, "why") if state is TrialState.FAIL else None
        made.append(Trial(number, {}, state, value=1.0 if letter == "." else None, failure=failure))
    return made


@pytest.mark.parametrize(
    ("kinds", "ends"),
    [
        ("", 0),
        ("...", 0),
        ("aa", 0),
        ("aaa", 3),
        (".baaa", 3),
        (".aaa.", 0),
        ("aaar", 3),
        ("raaa", 0),
        ("ababa", 0),
        ("ababab", 6),
        ("abcabc", 6),
        (".ababaa", 6),
    ],
)
def test_failures_of_one_kind_count_more_than_mixed_ones(kinds: str, ends: int) -> None:
    assert len(failures_that_end_it(trials(kinds), 3)) == ends


def test_the_error_names_kinds_and_the_next_step() -> None:
    with pytest.raises(
        TrainingError, match=r"3 trials in a row failed, all with a; the last \(trial 2\): why"
    ) as caught:
        refuse_to_go_on_failing(trials("aaa"), 3)
    assert "kagglerun resume" in str(caught.value.hint)
    with pytest.raises(TrainingError, match="with a, b"):
        refuse_to_go_on_failing(trials("ababab"), 3)
    refuse_to_go_on_failing(trials("aa."), 3)
