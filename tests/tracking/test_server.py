"""Tracking to an MLflow server instead of the workspace's own database."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from kagglerun import tracking
from kagglerun.workspace import RunPaths, Workspace


@pytest.mark.slow
def test_values_and_artifacts_reach_a_server_without_a_word(
    tracked: Workspace, run: RunPaths, mlflow: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tracking.serve_ui(tracked, port) as server:
        server.wait_until_ready()
        monkeypatch.setenv("KAGGLERUN_MLFLOW_URI", server.address)
        tracker = tracking.open_tracker(tracked, run, name="a run", params={"seed": 1}, tags={})
        tracker.log({"loss": 0.5}, 3)
        tracker.artifact(run.config)
        tracker.end("FINISHED")
        (report,) = tracking.sync(tracked, [run])
        assert (report.problem, report.written) == (None, 0)
        found = mlflow.only()
        assert found.info.status == "FINISHED"
        assert mlflow.history(found.info.run_id, "loss") == [(3, 0.5)]
    assert list(tracked.mlflow_artifacts.rglob("config.yaml"))
    assert capfd.readouterr() == ("", "")
    monkeypatch.setenv("KAGGLERUN_MLFLOW_URI", f"http://127.0.0.1:{port}")
    tracking.add_values(tracked, run, {"public_score": 0.5})
    (report,) = tracking.sync(tracked, [run])
    assert report.problem is not None
    assert report.problem.endswith("it cannot be reached")
