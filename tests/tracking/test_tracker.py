"""Trackers on a real SQLite database: what reaches MLflow, and that nothing of MLflow's reaches the run."""

from __future__ import annotations

import logging
import math
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

from kagglerun import tracking
from kagglerun.tracking import pusher
from kagglerun.tracking.journal import Journal, Values
from kagglerun.workspace import RunPaths, Workspace


def _open(workspace: Workspace, run: RunPaths, **changes: Any) -> tracking.Tracker:
    settings: dict[str, Any] = {
        "name": run.run_id,
        "params": {"seed": 1, "model": {"kind": "image", "options": {}}},
        "tags": {"comparable": "abc"},
    }
    return tracking.open_tracker(workspace, run, **{**settings, **changes})


def test_params_values_tags_artifacts_and_end_reach_mlflow(tracked: Workspace, run: RunPaths, mlflow: Any) -> None:
    run.plots.mkdir()
    (run.plots / "curve.png").write_bytes(b"png")
    tracker = _open(tracked, run)
    tracker.log({"fold0/loss": 0.5}, 0)
    tracker.log({"fold0/loss": 0.25}, 1)
    tracker.tag({"note": "good"})
    tracker.artifact(run.plots / "curve.png", "plots")
    tracker.artifact(run.config)
    tracker.end("FINISHED")
    found = mlflow.only()
    assert found.info.status == "FINISHED"
    assert found.info.run_name == run.run_id
    assert found.data.params == {"seed": "1", "model.kind": "image"}
    assert found.data.tags["comparable"] == "abc"
    assert found.data.tags["note"] == "good"
    assert mlflow.history(found.info.run_id, "fold0/loss") == [(0, 0.5), (1, 0.25)]
    assert mlflow.artifacts(found.info.run_id) == ["config.yaml", "plots"]
    assert mlflow.artifacts(found.info.run_id, "plots") == ["plots/curve.png"]


def test_a_resumed_run_goes_on_in_the_same_mlflow_run_without_doubling(
    tracked: Workspace, run: RunPaths, mlflow: Any
) -> None:
    first = _open(tracked, run)
    for step in range(3):
        first.log({"loss": 1.0 / (step + 1), "rest": math.nan}, step)
    first.end("KILLED", "stopped")
    assert mlflow.only().info.status == "KILLED"
    second = _open(tracked, run)
    for step in range(1, 5):
        second.log({"loss": 1.0 / (step + 1), "rest": math.nan}, step)
    second.end("FINISHED")
    found = mlflow.only()
    assert found.info.status == "FINISHED"
    assert mlflow.history(found.info.run_id, "loss") == [(step, 1.0 / (step + 1)) for step in range(5)]
    assert len(mlflow.history(found.info.run_id, "rest")) == 5


def test_trials_stand_under_their_study(tracked: Workspace, mlflow: Any) -> None:
    parent = tracking.open_parent(tracked, "digits", "base line/1", {"sampler": "tpe"})
    for number in range(2):
        trial = tracked.run("digits", f"trial-{number}")
        tracker = _open(tracked, trial, parent=parent)
        tracker.log({"score": number}, 0)
        tracker.end("FINISHED")
    tracking.close_parent(tracked, parent, "FINISHED", {"best_score": 1.0}, [])
    (study,) = [found for found in mlflow.runs() if found.info.run_name == "base line/1"]
    trials = [found for found in mlflow.runs() if found.info.run_name.startswith("trial")]
    assert len(trials) == 2
    assert study.info.status == "FINISHED"
    assert study.data.metrics == {"best_score": 1.0}
    assert {trial.data.tags["mlflow.parentRunId"] for trial in trials} == {study.info.run_id}
    again = tracking.open_parent(tracked, "digits", "base line/1", {})
    assert again == parent
    tracking.close_parent(tracked, again, "FINISHED", {"best_score": 2.0}, [])
    assert len(mlflow.runs()) == 3


def test_values_can_be_added_to_a_run_that_ended(tracked: Workspace, run: RunPaths, mlflow: Any) -> None:
    _open(tracked, run).end("FINISHED")
    tracking.add_values(tracked, run, {"public_score": 0.5}, {"submission": "42"})
    tracking.add_values(tracked, run, {"public_score": 0.5})
    tracking.add_values(tracked, run, {"public_score": 0.75})
    found = mlflow.only()
    assert found.info.status == "FINISHED"
    assert found.data.metrics == {"public_score": 0.75}
    assert found.data.tags["submission"] == "42"
    assert [value for _, value in mlflow.history(found.info.run_id, "public_score")] == [0.5, 0.75]


def test_a_locked_database_does_not_hold_up_the_run(
    tracked: Workspace, run: RunPaths, mlflow: Any, caplog: pytest.LogCaptureFixture
) -> None:
    holder = sqlite3.connect(tracked.mlflow_db, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    tracker = _open(tracked, run, flush_seconds=0.2)
    for step in range(50):
        tracker.log({"loss": 1.0}, step)
    tracker.end("FINISHED")
    assert f"kagglerun track sync {run.run_id}" in caplog.text
    assert len([entry for entry in Journal(run.journal).read() if isinstance(entry.body, Values)]) == 50
    holder.execute("ROLLBACK")
    holder.close()
    (report,) = tracking.sync(tracked, [run])
    assert report.problem is None
    assert len(mlflow.history(mlflow.only().info.run_id, "loss")) == 50


def test_a_slow_database_does_not_pile_up_threads_and_what_it_missed_is_brought_at_the_end(
    tracked: Workspace, mlflow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pusher, "_ends_linger", True)
    monkeypatch.setattr(pusher, "_lingering", [])
    runs = [tracked.run("digits", f"trial-{number:02}") for number in range(20)]
    with sqlite3.connect(tracked.mlflow_db) as other:
        other.execute("BEGIN EXCLUSIVE")
        for run in runs:
            run.folder.mkdir(parents=True)
            tracker = _open(tracked, run)
            tracker.log({"oof_score": 0.5}, 0)
            tracker.end("FINISHED")
        at_work = [thread for thread in threading.enumerate() if thread.name.startswith("tracking trial-")]
        assert 0 < len(at_work) < 12
    assert tracking.wait_for_ends(60)
    assert tracking.catch_up(tracked, runs, lambda: True) > 0
    assert tracking.catch_up(tracked, runs, lambda: False) == 0
    assert sorted(found.info.run_name for found in mlflow.runs()) == [run.run_id for run in runs]
    assert {found.info.status for found in mlflow.runs()} == {"FINISHED"}


def test_a_server_that_is_down_does_not_hold_up_the_run(
    tracked: Workspace,
    run: RunPaths,
    mlflow: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("KAGGLERUN_MLFLOW_URI", "http://user:secret@127.0.0.1:9")
    tracker = _open(tracked, run)
    tracker.log({"loss": 1.0}, 0)
    tracker.end("FINISHED")
    assert caplog.text.count("kagglerun track sync") == 1
    assert "secret" not in caplog.text + "".join(capfd.readouterr())
    monkeypatch.delenv("KAGGLERUN_MLFLOW_URI")
    (report,) = tracking.sync(tracked, [run])
    assert (report.problem, report.written) == (None, 3)
    assert mlflow.only().info.status == "FINISHED"


def test_what_mlflow_refuses_is_told_once_and_the_rest_arrives(
    tracked: Workspace, run: RunPaths, mlflow: Any, caplog: pytest.LogCaptureFixture
) -> None:
    _open(tracked, run, params={"seed": 1, "lr": 0.1}).end("FAILED")
    tracker = _open(tracked, run, params={"seed": 2, "lr": 0.1, "new": "x" * 9000})
    tracker.log({"a metric: with/odd*names?": 1.0, "..": 2.0, "fine": 3.0}, 0)
    tracker.end("FINISHED")
    found = mlflow.only()
    assert found.data.params["seed"] == "1"
    assert "9000 characters" in found.data.params["new"]
    assert found.data.metrics == {"a metric: with/odd_names_": 1.0, "fine": 3.0}
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert "metric '..'" in warnings[0].message
    assert "and 1 more" in warnings[0].message


def test_a_killed_run_is_found_out_and_its_values_arrive(tracked: Workspace, run: RunPaths, mlflow: Any) -> None:
    code = f"""
        import time
        from kagglerun import tracking
        from kagglerun.workspace import Workspace
        workspace = Workspace.find()
        run = workspace.run("digits", {run.run_id!r})
        tracker = tracking.open_tracker(workspace, run, name="r", params={{}}, tags={{}})
        for step in range(1000000):
            tracker.log({{"loss": float(step)}}, step)
            if step == 200:
                print("far enough", flush=True)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        (report,) = tracking.sync(tracked, [run])
        assert report.live
        os.kill(process.pid, signal.SIGKILL)
    with run.journal.open("ab") as stream:
        stream.write(b'{"time_ms": 1, "ki')
    (report,) = tracking.sync(tracked, [run])
    assert report.state == "KILLED"
    found = mlflow.only()
    assert found.info.status == "KILLED"
    written = [entry.body for entry in Journal(run.journal).read() if isinstance(entry.body, Values)]
    assert len(written) > 200
    assert len(mlflow.history(found.info.run_id, "loss")) == len(written)
    (again,) = tracking.sync(tracked, [run])
    assert again.written == 0


def test_syncing_without_the_note_of_where_it_was_changes_nothing(
    tracked: Workspace, run: RunPaths, mlflow: Any
) -> None:
    tracker = _open(tracked, run)
    tracker.log({"loss": 1.0, "rest": math.nan}, 0)
    tracker.end("FINISHED")
    before = mlflow.only()
    run.tracking.unlink()
    (report,) = tracking.sync(tracked, [run])
    assert report.written == 3
    after = mlflow.only()
    assert after.info.run_id == before.info.run_id
    assert after.info.end_time == before.info.end_time
    assert len(mlflow.history(after.info.run_id, "loss")) == 1
    assert len(mlflow.history(after.info.run_id, "rest")) == 1


def test_a_run_deleted_from_the_database_is_made_again(tracked: Workspace, run: RunPaths, empty_database: Path) -> None:
    tracker = _open(tracked, run)
    tracker.log({"loss": 1.0}, 0)
    tracker.end("FINISHED")
    with sqlite3.connect(tracked.mlflow_db) as database:
        for table in ("metrics", "latest_metrics", "params", "tags", "runs"):
            database.execute(f"DELETE FROM {table}")
    database.close()
    tracking.add_values(tracked, run, {"public_score": 0.5})
    with sqlite3.connect(tracked.mlflow_db) as database:
        assert sorted(database.execute("SELECT key, value FROM latest_metrics")) == [
            ("loss", 1.0),
            ("public_score", 0.5),
        ]
    database.close()


@pytest.mark.long
def test_several_processes_make_the_database_and_write_to_it_at_once(workspace: Workspace) -> None:
    code = """
        import sys
        from kagglerun import tracking
        from kagglerun.workspace import Workspace
        workspace = Workspace.find()
        for number in range(3):
            run = workspace.run("digits", f"run-{sys.argv[1]}-{number}")
            tracker = tracking.open_tracker(workspace, run, name=run.run_id, params={"n": number}, tags={})
            for step in range(20):
                tracker.log({"loss": 1.0 / (step + 1)}, step)
            tracker.end("FINISHED")
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    processes = [
        subprocess.Popen([*command, str(index)], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for index in range(3)
    ]
    for process in processes:
        stdout, stderr = process.communicate(timeout=120)
        assert (process.returncode, stdout, stderr) == (0, "", "")
    with sqlite3.connect(workspace.mlflow_db) as database:
        assert database.execute("SELECT COUNT(*) FROM runs WHERE status = 'FINISHED'").fetchone() == (9,)
        assert database.execute("SELECT COUNT(*) FROM metrics").fetchone() == (180,)
        assert database.execute("SELECT COUNT(*) FROM experiments WHERE name = 'digits'").fetchone() == (1,)
    database.close()
    assert [path.name for path in workspace.state.glob("*.tmp")] == []


def test_mlflow_switched_off_leaves_the_journal(
    workspace: Workspace, run: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLERUN_MLFLOW_URI", "none")
    tracker = _open(workspace, run)
    tracker.log({"loss": 1.0}, 0)
    tracker.end("FINISHED")
    assert Journal(run.journal).state() == "FINISHED"
    assert not workspace.mlflow_db.exists()


def test_the_settings_name_a_server_and_the_environment_goes_first(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tracking.tracking_uri(workspace) == f"sqlite:///{workspace.mlflow_db}"
    workspace.settings.parent.mkdir()
    workspace.settings.write_text("mlflow_uri: http://127.0.0.1:5000\n")
    assert tracking.tracking_uri(workspace) == "http://127.0.0.1:5000"
    monkeypatch.setenv("KAGGLERUN_MLFLOW_URI", "http://127.0.0.1:6000")
    assert tracking.tracking_uri(workspace) == "http://127.0.0.1:6000"


def test_a_full_disk_does_not_stop_the_run(
    workspace: Workspace, run: RunPaths, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("KAGGLERUN_MLFLOW_URI", "none")
    run.journal.symlink_to("/dev/full")
    tracker = _open(workspace, run)
    tracker.log({"loss": 1.0}, 0)
    tracker.log({"loss": 2.0}, 1)
    tracker.end("FINISHED")
    assert len(caplog.records) == 1
    assert "No space left" in caplog.text


def test_null_tracker_takes_everything(tmp_path: Path) -> None:
    tracker: tracking.Tracker = tracking.NullTracker()
    tracker.log({"loss": 1.0}, 0)
    tracker.tag({"a": "b"})
    tracker.artifact(tmp_path)
    tracker.end("FINISHED")
