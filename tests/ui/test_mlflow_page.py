"""MLflow's page, as a person sees it: the real server of `kagglerun ui` in a real browser."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kagglerun import tracking
from kagglerun.workspace import Workspace
from tests.chromium import chromium, is_installed

_SCREENSHOTS = os.environ.get("KAGGLERUN_SCREENSHOTS")  # read before the environment is scrubbed
_CLOSE_ASSISTANT = "button[data-component-id='mlflow.assistant.chat_panel.close']"
_SHOW_TRIALS = "button[data-component-id*='runnamecellrenderer']"


@pytest.fixture
def tracked_runs(workspace: Workspace) -> Workspace:
    """A workspace with a study of two trials in MLflow."""
    parent = tracking.open_parent(workspace, "digits", "baseline", {})
    for number in range(2):
        run = workspace.run("digits", f"baseline-t{number}")
        tracker = tracking.open_tracker(
            workspace, run, name=run.run_id, params={"optimizer": {"lr": 0.001}}, tags={}, parent=parent
        )
        for epoch in range(5):
            tracker.log({"fold0/valid_loss": 1.0 / (epoch + 1 + number)}, epoch)
        tracker.log({"oof_score": 0.96875 + number / 64}, 0)
        tracker.end("FINISHED")
    tracking.close_parent(workspace, parent, "FINISHED", {"best_score": 0.984375}, [])
    return workspace


@pytest.fixture
def page(tracked_runs: Workspace) -> Iterator[str]:
    """Address of the page, served by the command itself; afterwards it is ended as Ctrl-C would."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "kagglerun", "ui", "--port", str(port)]
    with subprocess.Popen(command, cwd=tracked_runs.root, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert f"http://127.0.0.1:{port}" in server.stdout.readline()
        assert server.stdout.readline().strip() == "ready"
        yield f"http://127.0.0.1:{port}"
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=30) == 0
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0, "the server outlived its command"


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    if not is_installed():
        pytest.skip("chromium or chromedriver is not installed: make system")
    with chromium(tmp_path / "profile") as opened:
        yield opened


@pytest.mark.browser
@pytest.mark.slow
def test_runs_and_scores_are_seen_on_mlflows_page(browser: Any, page: str, tmp_path: Path) -> None:
    from selenium.webdriver.common.by import By

    browser.get(f"{page}/#/experiments/1/runs?workflowType=machine_learning")
    _wait_for(browser, "baseline", "3 matching runs")
    for button in browser.find_elements(By.CSS_SELECTOR, _CLOSE_ASSISTANT):
        button.click()
    browser.find_element(By.CSS_SELECTOR, _SHOW_TRIALS).click()
    _wait_for(browser, "baseline-t0", "baseline-t1")
    _save_screenshot(browser, tmp_path, "mlflow-runs.png")
    browser.find_element(By.LINK_TEXT, "baseline-t1").click()
    _wait_for(browser, "oof_score", "0.984375", "optimizer.lr", "0.001")
    _save_screenshot(browser, tmp_path, "mlflow-run.png")


def _wait_for(browser: Any, *texts: str) -> None:
    """Wait until the page shows all of `texts`."""
    deadline = time.monotonic() + 60
    while not all(text in _text(browser) for text in texts):
        assert time.monotonic() < deadline, f"{texts} are not all in: {_text(browser)}"
        time.sleep(0.3)


def _text(browser: Any) -> str:
    return str(browser.execute_script("return document.body.innerText"))


def _save_screenshot(browser: Any, folder: Path, name: str) -> None:
    path = Path(_SCREENSHOTS or folder) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    assert browser.save_screenshot(str(path))
