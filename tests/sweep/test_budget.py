"""What a sweep may spend."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from kagglerun.config.load import load_config
from kagglerun.config.sweep import SweepConfig
from kagglerun.errors import ConfigError
from kagglerun.sweep.budget import Budget, Spent, parse_until, read_spent, settle_until
from kagglerun.sweep.trials import Trial, TrialState
from kagglerun.workspace import StudyPaths, Workspace
from tests.sweep.conftest import toy_config

NOON = datetime(2026, 11, 21, 12, 0)
HOUR = 3600.0


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def made(folder: Path, clock: Clock, gpus: float = 0.0, **limits: object) -> Budget:
    folder.mkdir(parents=True, exist_ok=True)
    return Budget(
        StudyPaths(folder), SweepConfig.model_validate(limits), gpus, clock, lambda: NOON.timestamp() + clock.now
    )


def done(number: int, seconds: float) -> Trial:
    return Trial(number, {}, TrialState.COMPLETE, value=0.5, seconds=seconds)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("13:30", datetime(2026, 11, 21, 13, 30)),
        ("08:00", datetime(2026, 11, 22, 8, 0)),
        ("8:00", datetime(2026, 11, 22, 8, 0)),
        ("12:00", datetime(2026, 11, 22, 12, 0)),
        ("2026-12-01 08:00", datetime(2026, 12, 1, 8, 0)),
        ("2026-12-01", datetime(2026, 12, 1)),
    ],
)
def test_a_time_of_day_is_the_next_one(text: str, moment: datetime) -> None:
    assert parse_until(text, NOON) == moment


@pytest.mark.parametrize("text", ["25:00", "8", "noon", "2026-11-21 11:59", ""])
def test_what_is_no_time_or_has_passed_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="until is") as caught:
        parse_until(text, NOON)
    assert "--until 08:00" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("written", "text"),
    [("18:00", "18:00"), ("08:00", "08:00"), ("9:05", "09:05"), ("2099-12-01", "2099-12-01"), ("25:00", "25:00")],
)
def test_times_that_yaml_reads_as_something_else_are_understood(workspace: Workspace, written: str, text: str) -> None:
    path = workspace.sweeps / "timed.yaml"
    path.write_text(f"sweep:\n  until: {written}\n")
    assert load_config(path).sweep.until == text
    assert load_config(path, [f"sweep.until={written}"]).sweep.until == text


@pytest.mark.parametrize(("workers", "lag"), [(1, 2), (2, 4), (16, 32), (17, 51), (512, 2048), (4096, 32768)])
def test_the_lag_follows_from_the_workers(workers: int, lag: int) -> None:
    assert SweepConfig(workers=workers).usual_lag == lag


def test_the_time_of_day_is_settled_once_and_not_at_each_resume() -> None:
    settled = settle_until(toy_config(until="08:00"))
    assert settled.sweep.until is not None
    assert datetime.fromisoformat(settled.sweep.until) > datetime.now()
    assert settle_until(settled) == settled


def test_hours_count_over_all_attempts(tmp_path: Path) -> None:
    clock = Clock()
    first = made(tmp_path, clock, hours=2)
    clock.now = 1.5 * HOUR
    first.tick(running=1, save=True)
    assert first.is_over() is None
    clock.now = 100 * HOUR  # it did not run in between
    second = made(tmp_path, clock, hours=2)
    assert second.is_over() is None
    clock.now += 0.6 * HOUR
    second.tick(running=1)
    assert second.is_over() == "2 hours are spent"


def test_a_killed_sweep_loses_half_a_minute_of_its_account_at_most(tmp_path: Path) -> None:
    clock = Clock()
    budget = made(tmp_path, clock, hours=2)
    for _ in range(1000):
        clock.now += 1.0
        budget.tick(running=1)
    assert read_spent(StudyPaths(tmp_path)).seconds >= 970


def test_gpu_hours_count_the_gpus_of_the_trials_that_run(tmp_path: Path) -> None:
    clock = Clock()
    budget = made(tmp_path, clock, gpus=0.5, gpu_hours=1)
    clock.now = 0.9 * HOUR
    budget.tick(running=2)
    assert budget.spent.gpu_seconds == pytest.approx(0.9 * HOUR)
    assert budget.is_over() is None
    clock.now = 1.1 * HOUR
    budget.tick(running=2)
    assert budget.is_over() == "the budget of 1 GPU-hours is spent"


def test_gpu_hours_do_not_end_a_sweep_without_a_gpu(tmp_path: Path) -> None:
    clock = Clock()
    budget = made(tmp_path, clock, gpu_hours=0.001)
    clock.now = HOUR
    budget.tick(running=2)
    assert budget.is_over() is None


def test_a_trial_that_would_not_be_done_in_time_is_not_started(tmp_path: Path) -> None:
    clock = Clock()
    budget = made(tmp_path, clock, until="2026-11-21 13:00")
    known = [done(0, 600), done(1, 900), done(2, 5000)]
    assert budget.is_too_short([]) is None
    assert budget.is_too_short(known) is None
    clock.now = HOUR - 800
    assert budget.is_too_short(known) == "it is nearly 2026-11-21 13:00"
    assert budget.is_over() is None
    clock.now = HOUR
    assert budget.is_over() == "it is nearly 2026-11-21 13:00"


@pytest.mark.parametrize(
    "damaged", ["{", "[]", '{"seconds": "a", "gpu_seconds": 1}', '{"seconds": NaN, "gpu_seconds": -5}']
)
def test_a_damaged_account_begins_anew(tmp_path: Path, damaged: str) -> None:
    StudyPaths(tmp_path).spent.write_text(damaged)
    assert read_spent(StudyPaths(tmp_path)) == Spent()
