"""Whatever goes wrong at a submission: at most one slot, no false success, and the same command again ends well.

Real HTTP from the practice server in its own process, and the command in processes that are really killed. `make bench`
prints the table of all of them.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.submission.fault_cases import CASES, QUICK, Case, Stand, clear, opened


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KAGGLERUN_MLFLOW_URI", "none")
        with opened(tmp_path_factory.mktemp("submitted")) as stand:
            yield stand


def _require(stand: Stand, case: Case) -> None:
    came = stand.tries(case)
    story = f"{came.told}\n--- again ---\n{came.told_again}"
    assert came.slots <= 1, story
    assert not came.false_success, story
    assert came.ends_well, story
    assert came.hit or not case.must_hit, f"nothing went wrong\n{story}"
    assert clear(came.told) and clear(came.told_again), story


@pytest.mark.parametrize("case", QUICK, ids=str)
def test_at_most_one_slot_and_no_false_success(stand: Stand, case: Case) -> None:
    _require(stand, case)


@pytest.mark.long
@pytest.mark.parametrize("case", [case for case in CASES if case not in QUICK], ids=str)
def test_two_hundred_faults_cost_at_most_one_slot_each(stand: Stand, case: Case) -> None:
    _require(stand, case)


def test_what_is_done_is_refused_when_it_is_typed_again(stand: Stand) -> None:
    run_id = stand.new_run()
    assert stand.submit(run_id)["status"] == 0
    again = stand.submit(run_id)
    assert again["status"] == 3
    assert "was sent to practice/many before" in again["told"]


def test_there_are_over_two_hundred_of_them() -> None:
    names = [str(case) for case in CASES]
    assert len(set(names)) == len(names) >= 200
