"""A run's use of the machine lies in its journal, in its picture, and for others to see while it works."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from kagglerun.config.load import parse_config
from kagglerun.config.schema import Config
from kagglerun.errors import DiskFull
from kagglerun.experiment.run import resolve_config, run_experiment
from kagglerun.experiment.watch import run_watch
from kagglerun.experiment.watch.live import Live, read_live, this_process, write_live
from kagglerun.experiment.watch.picture import draw_machine
from kagglerun.experiment.watch.run_watch import RunWatch, worked_seconds
from kagglerun.experiment.watch.starved import StarvedGpus
from kagglerun.files import read_json, write_json
from kagglerun.tracking import open_tracker
from kagglerun.tracking.journal import Body, End, Journal, Start, Tags, Values
from kagglerun.workspace import CompetitionPaths, RunPaths, Workspace
from tests.fake_nvml import Gpu, fake_nvml

_UNKNOWN = parse_config({}, "the test's config")


@pytest.fixture
def run(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> RunPaths:
    monkeypatch.setenv("KAGGLERUN_MLFLOW_URI", "none")
    return workspace.run("made", "one")


def watched(run: RunPaths, stretches: int, starved: StarvedGpus | None = None) -> list[Body]:
    """Watch until so many stretches are in the journal; what the journal holds."""
    tracker = open_tracker(Workspace.find(), run, name="one", params={}, tags={})
    before = len(told(run))
    with RunWatch(run, tracker, _UNKNOWN, seconds=0.01, starved=starved):
        deadline = time.monotonic() + 30
        while len(told(run)) < before + stretches:
            assert time.monotonic() < deadline
            time.sleep(0.005)
    tracker.end("KILLED")
    return [entry.body for entry in Journal(run.journal).read()]


def told(run: RunPaths) -> list[Values]:
    bodies = [entry.body for entry in Journal(run.journal).read()]
    return [
        body for body in bodies if isinstance(body, Values) and any(key.startswith("system/") for key in body.values)
    ]


def test_gpus_cores_and_memory_are_in_the_journal(run: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Gpu("GPU-a", free=70, processes={os.getpid(): 4}, utilisation=41)
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(Gpu("GPU-other", processes={1: 1}), gpu))
    watched(run, 1)
    values = told(run)[0].values
    assert values["system/gpu_1_utilization_percentage"] == 41
    assert values["system/gpu_1_memory_usage_megabytes"] == 10_000
    assert values["system/gpu_1_power_usage_watts"] == 250
    assert values["system/gpu_1_temperature_celsius"] == 61
    assert values["system/cpu_cores_busy"] >= 0 and values["system/memory_gigabytes"] > 0
    assert not any(name.startswith("system/gpu_0") for name in values)
    assert "system/loader_wait_percentage" not in values, "nothing was trained"


def test_a_second_attempt_counts_on_from_the_first(run: RunPaths) -> None:
    journal = Journal(run.journal)
    journal.append(Start("one"), Values({"system/cpu_cores_busy": 1.0}, 340), Values({"fold0/train_loss": 0.5}, 900))
    journal.append(End("KILLED"))
    assert worked_seconds(journal) == 340
    watched(run, 2)
    assert all(340 <= body.step < 345 for body in told(run)[1:])


def test_a_warning_goes_to_the_log_and_into_the_journal(
    run: RunPaths, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("kagglerun.experiment.watch.starved.STARVED_SECONDS", 0.03)
    gpu = Gpu("GPU-a", processes={os.getpid(): 4}, utilisation=3)
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(gpu))
    with caplog.at_level(logging.WARNING, "kagglerun.experiment"):
        bodies = watched(run, 8, StarvedGpus())
    (record,) = caplog.records
    assert "GPU 0 was busy for 3%" in record.message and "kagglerun profile" in record.message
    (tags,) = [body for body in bodies if isinstance(body, Tags)]
    assert tags.tags["kagglerun.warning"].startswith("GPU 0 was busy for 3%")


def test_of_trials_that_share_a_gpu_one_says_that_it_starves(
    run: RunPaths, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("kagglerun.experiment.watch.starved.STARVED_SECONDS", 0.03)
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(Gpu("GPU-a", processes={os.getpid(): 4}, utilisation=3)))
    other = Workspace.find().run("made", "other")
    write_live(other, this_process(gpus=("0", "1"), warning="GPU 0 was busy for 4%"))
    with caplog.at_level(logging.WARNING, "kagglerun.experiment"):
        bodies = watched(run, 8, StarvedGpus())
    assert caplog.records == []
    assert any(isinstance(body, Tags) for body in bodies), "its own journal has it all the same"


def test_a_run_in_work_says_so_and_an_ended_one_does_not(run: RunPaths) -> None:
    tracker = open_tracker(Workspace.find(), run, name="one", params={}, tags={})
    with RunWatch(run, tracker, _UNKNOWN, seconds=60):
        live = read_live(run)
        assert live is not None and live.pid == os.getpid()
    tracker.end("FINISHED")
    assert read_live(run) is None and not run.live.exists()


def test_what_a_killed_process_left_is_no_run_in_work(run: RunPaths) -> None:
    live = this_process()
    write_live(run, Live(live.pid, "another boot:1", live.host, live.time))
    assert read_live(run) is None
    write_json(run.live, {"torn": 1})
    assert read_live(run) is None
    write_live(run, Live(1, "x", "another machine", time.time()))
    assert read_live(run) is not None
    write_live(run, Live(1, "x", "another machine", time.time() - 100))
    assert read_live(run) is None


def test_a_full_disk_does_not_end_the_watching(run: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise DiskFull("the disk is full")

    monkeypatch.setattr("kagglerun.experiment.watch.live.write_json", full)
    watched(run, 2)


def lines(run: RunPaths, count: int, first: int = 0, gpu: bool = True) -> None:
    """A journal of so many stretches, with a loss after every third one."""
    for number in range(first, first + count):
        values = {"system/cpu_cores_busy": 1.5, "system/memory_gigabytes": 2.0, "system/loader_wait_percentage": 40.0}
        if gpu:
            values |= {
                "system/gpu_0_utilization_percentage": 20.0 + number % 7,
                "system/gpu_0_memory_usage_megabytes": 9e3,
            }
        Journal(run.journal).append(Values(values, 10 * (number + 1)))
        if number % 3 == 2:
            Journal(run.journal).append(
                Values({"fold0/train_loss": 1 / (number + 1), "fold0/valid_score": 0.5}, number)
            )


@pytest.mark.parametrize("gpu", [True, False])
def test_the_picture_is_drawn_from_the_journal_alone(run: RunPaths, gpu: bool) -> None:
    journal = Journal(run.journal)
    journal.append(Start("one"))
    lines(run, 12, gpu=gpu)
    journal.append(Start("one"))
    lines(run, 12, first=12, gpu=gpu)
    picture = draw_machine(run)
    assert picture == run.plots / "machine.png"
    first = picture.read_bytes()
    assert first.startswith(b"\x89PNG")
    draw_machine(run)
    assert picture.read_bytes() == first


def test_a_run_that_was_over_at_once_has_no_picture(run: RunPaths) -> None:
    assert draw_machine(run) is None
    Journal(run.journal).append(Start("one"), Values({"fold0/train_loss": 1.0}, 0))
    lines(run, 1)
    assert draw_machine(run) is None
    assert not run.plots.exists()


def neural(workspace: Workspace, **training: object) -> Config:
    values: Mapping[str, object] = {
        "name": "made",
        "model": {"kind": "tabular_neural", "width": 16, "depth": 1},
        "cv": {"n_splits": 2},
        "training": {"epochs": 20, "batch_size": 16, "cpu_threads": 1, "device": "cpu", **training},
    }
    return resolve_config(workspace, parse_config(values, "test"))


def test_a_real_run_is_watched_and_its_picture_kept_and_the_result_is_the_same(
    workspace: Workspace, competition: CompetitionPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert competition.manifest.exists()
    monkeypatch.setenv("KAGGLERUN_MLFLOW_URI", "none")
    run_experiment(workspace, neural(workspace), "unwatched")
    monkeypatch.setattr(run_watch, "_SECONDS", 0.05)
    monkeypatch.setattr("kagglerun.experiment.watch.picture._LEAST_POINTS", 2)
    run_experiment(workspace, neural(workspace), "watched")
    plain, run = workspace.run("made", "unwatched"), workspace.run("made", "watched")
    assert run.oof.read_bytes() == plain.oof.read_bytes()
    assert read_json(run.metrics)["score"] == read_json(plain.metrics)["score"]
    assert not run.live.exists()
    values = [body.values for body in told(run)]
    assert any("system/loader_wait_percentage" in each for each in values)
    assert any(each.get("system/samples_per_second", 0) > 0 for each in values)
    kept = [getattr(entry.body, "path", None) for entry in Journal(run.journal).read()]
    assert (run.plots / "machine.png").exists() and str(Path("plots") / "machine.png") in kept


@pytest.mark.long
def test_folds_in_other_processes_tell_how_they_wait(
    workspace: Workspace, competition: CompetitionPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert competition.manifest.exists()
    monkeypatch.setenv("KAGGLERUN_MLFLOW_URI", "none")
    monkeypatch.setattr(run_watch, "_SECONDS", 0.5)
    run_experiment(workspace, neural(workspace, epochs=200, batch_size=4), "watched", processes=2)
    run = workspace.run("made", "watched")
    assert any(body.values.get("system/samples_per_second", 0) > 0 for body in told(run))
    assert all(0 <= body.values.get("system/loader_wait_percentage", 0) <= 100 for body in told(run))
