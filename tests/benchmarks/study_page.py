"""MLflow's page with a large study: how long its run table takes in headless Chromium, and whether its files open.

    python tests/benchmarks/study_page.py [TRIALS] [FOLDER_FOR_SCREENSHOTS]

The trials are journals as real runs of five folds write them (metrics, parameters and tags of an image model),
brought into MLflow by `track sync`; the page is served by the code of `kagglerun ui`. Times are the browser's: from the
request until what is asked for can be seen.
"""

from __future__ import annotations

import json
import math
import os
import random
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from kagglerun import tracking
from kagglerun.config.load import parse_config
from kagglerun.files import write_text
from kagglerun.sweep.review import draw_study
from kagglerun.sweep.study import StudySpec
from kagglerun.sweep.summary import summarise
from kagglerun.sweep.trials import Trial, TrialState
from kagglerun.workspace import Workspace
from tests.chromium import chromium, is_installed

TRIALS = 2000
ROUNDS = 3
EPOCHS = 10
_CLOSE_ASSISTANT = "button[data-component-id='mlflow.assistant.chat_panel.close']"
_SHOW_TRIALS = "button[data-component-id*='runnamecellrenderer']"


def report(n_trials: int = TRIALS, screenshots: Path | None = None) -> str:
    """The part of RESULTS.md."""
    if not is_installed():
        return "### MLflow's page\n\nNot measured: chromium or chromedriver is missing (`make system`)."
    with tempfile.TemporaryDirectory(prefix="kagglerun-page-") as folder:
        workspace = Workspace(Path(folder) / "workspace")
        for place in (workspace.competitions, workspace.sweeps):
            place.mkdir(parents=True)
        shown: dict[str, str] = {}
        for size in (20, n_trials):
            _make_study(workspace, f"digits-of-{size}", size, shown)
        with tracking.serve_ui(workspace, _free_port()) as server:
            server.wait_until_ready()
            with chromium(Path(folder) / "profile") as browser:
                _look(browser, server.address, n_trials, shown, screenshots)
    rows = [f"| {what} | {value} |" for what, value in shown.items()]
    head = f"### MLflow's page with a study of {n_trials:,} trials\n\n| what | measured |\n|---|---|"
    return "\n".join([head, *rows])


def _make_study(workspace: Workspace, name: str, size: int, shown: dict[str, str]) -> None:
    """A finished study in MLflow: parent with pictures, one child a trial."""
    spec = _spec(name, size)
    trials = [_trial(number) for number in range(size)]
    os.environ["KAGGLERUN_MLFLOW_URI"] = "none"
    parent = tracking.open_parent(workspace, "digits", name, {})
    for trial in trials:
        _journal(workspace, spec, trial, parent)
    began = time.perf_counter()
    files = draw_study(workspace.study("digits", name), spec, trials)
    shown[f"pictures of {size:,} trials: page and {len(files) - 1} PNG"] = (
        f"{time.perf_counter() - began:.1f} s, {sum(path.stat().st_size for path in files) / 1e6:.1f} MB"
    )
    tracking.close_parent(workspace, parent, "FINISHED", summarise(spec, trials).as_metrics(), files)
    del os.environ["KAGGLERUN_MLFLOW_URI"]
    began = time.perf_counter()
    reports = tracking.sync(workspace, tracking.behind(workspace))
    assert not any(report.problem for report in reports), reports
    each = (time.perf_counter() - began) / len(reports)
    shown[f"`track sync` of {size:,} runs"] = f"{1000 * each:.0f} ms a run"
    shown[f"MLflow's database after {size:,} runs more"] = f"{workspace.mlflow_db.stat().st_size / 1e6:.0f} MB"


def _spec(name: str, size: int) -> StudySpec:
    search = {
        "optimizer.lr": {"low": 1e-5, "high": 1e-1, "log": True},
        "optimizer.weight_decay": {"low": 0.0, "high": 0.5},
        "training.batch_size": {"low": 16, "high": 256, "step": 16},
        "optimizer.name": ["adamw", "sgd"],
    }
    values = {"competition": "digits", "model": {"kind": "image"}, "sweep": {"trials": size, "search": search}}
    config = parse_config(values, "the benchmark's config")
    return StudySpec(name=name, slug="digits", greater_is_better=True, objective="-", config=config)


def _trial(number: int) -> Trial:
    numbers = random.Random(number)
    params = {
        "optimizer.lr": 10 ** numbers.uniform(-5, -1),
        "optimizer.weight_decay": numbers.uniform(0, 0.5),
        "training.batch_size": 16 * numbers.randint(1, 16),
        "optimizer.name": numbers.choice(["adamw", "sgd"]),
    }
    quality = 0.97 - 0.04 * (math.log10(params["optimizer.lr"]) + 3) ** 2
    folds = tuple(quality + numbers.gauss(0, 0.004) for _ in range(5))
    curve = tuple(folds[0] * (1 - math.exp(-1 - epoch)) for epoch in range(EPOCHS))
    times = {"started_at": 60.0 * (number // 2), "ended_at": 60.0 * (number // 2) + 55}
    trial = Trial(number, params, fold_scores=folds, curve=curve, seconds=50.0, **times)
    if number > 20 and quality < 0.95:
        return replace(
            trial, state=TrialState.PRUNED, fold_scores=folds[:2], seconds=20.0, stopped="worse beyond doubt"
        )
    return replace(trial, state=TrialState.COMPLETE, value=statistics.fmean(folds))


def _journal(workspace: Workspace, spec: StudySpec, trial: Trial, parent: str) -> None:
    """What a run of the trial tracks."""
    run = workspace.run("digits", spec.run_id(trial.number))
    write_text(run.config, "seed: 1\n", durable=False)
    params = spec.config.model_dump(mode="json", exclude={"sweep"})
    params["optimizer"]["lr"] = trial.params["optimizer.lr"]
    tags = {f"fingerprint.{part}": "0123456789abcdef" * 4 for part in ("data", "folds", "metric", "config", "code")}
    tags |= {"study": spec.name, "trial": str(trial.number), "competition": "practice/digits"}
    tracker = tracking.open_tracker(workspace, run, name=run.run_id, params=params, tags=tags, parent=parent)
    for fold, score in enumerate(trial.fold_scores):
        for epoch, reached in enumerate(trial.curve):
            names = ("lr", "train_loss", "valid_loss", "valid_score")
            tracker.log({f"fold{fold}/{name}": float(reached or 0.0) for name in names}, epoch)
        tracker.log({"fold_score": float(score or 0.0)}, fold)
    if trial.value is not None:
        tracker.log({"oof_score": trial.value, "fold_score_mean": trial.value, "seconds": 50.0}, 0)
    tracker.end("FINISHED")


def _look(browser: Any, address: str, n_trials: int, shown: dict[str, str], screenshots: Path | None) -> None:
    from selenium.webdriver.common.by import By

    table = f"{address}/#/experiments/1/runs?workflowType=machine_learning"
    _seconds(browser, table, "matching runs", f"digits-of-{n_trials}")  # fills the browser's cache with MLflow's script
    for button in browser.find_elements(By.CSS_SELECTOR, _CLOSE_ASSISTANT):
        button.click()
    times = [_seconds(browser, table, "matching runs", f"digits-of-{n_trials}") for _ in range(ROUNDS)]
    shown["run table of the experiment, until its rows are there"] = _told(times)
    shown["a click on the study, until its trials are there"] = _told([_expand(browser, f"digits-of-{n_trials}-")])
    _picture(browser, screenshots, "table.png")
    parent = _parent_id(browser, address, f"digits-of-{n_trials}")
    run = f"{address}/#/experiments/1/runs/{parent}"
    shown["page of the study's run"] = _told([_seconds(browser, run, "best_score") for _ in range(ROUNDS)])
    shown["its `study.html` among the artifacts"] = _told(
        [_artifact(browser, run, "study.html") for _ in range(ROUNDS)]
    )
    time.sleep(2)
    _picture(browser, screenshots, "page.png")
    for name in ("history", "parallel_coordinates"):
        shown[f"its `{name}.png` among the artifacts"] = _told([_artifact(browser, run, f"{name}.png")])
        _picture(browser, screenshots, f"{name}.png")


def _seconds(browser: Any, address: str, *texts: str) -> float:
    """Time to load a page, from a blank one, until it shows all of the texts."""
    browser.get("about:blank")
    began = time.perf_counter()
    browser.get(address)
    _until(lambda: all(text in _text(browser) for text in texts), f"{texts} at {address}")
    return time.perf_counter() - began


def _expand(browser: Any, text: str) -> float:
    """Time from a click until the first study's trials are there."""
    from selenium.webdriver.common.by import By

    button = browser.find_elements(By.CSS_SELECTOR, _SHOW_TRIALS)[0]
    began = time.perf_counter()
    button.click()
    _until(lambda: text in _text(browser), f"{text} after the click")
    return time.perf_counter() - began


def _artifact(browser: Any, run: str, name: str) -> float:
    """Time until the file is shown: an image that was decoded, or a page whose heading is there."""
    browser.get("about:blank")
    began = time.perf_counter()
    browser.get(f"{run}/artifacts/{name}")
    if name.endswith(".png"):
        script = "return [...document.images].some(image => image.src.startsWith('blob:') && image.naturalWidth > 300)"
        _until(lambda: browser.execute_script(script), name)
    else:
        _until(lambda: _heading_in_frame(browser), name)
    return time.perf_counter() - began


def _heading_in_frame(browser: Any) -> bool:
    """Whether the page in MLflow's frame ran its script, which writes the heading."""
    from selenium.webdriver.common.by import By

    for frame in browser.find_elements(By.TAG_NAME, "iframe"):
        browser.switch_to.frame(frame)
        found = browser.execute_script("return document.getElementById('name')?.textContent ?? ''")
        browser.switch_to.default_content()
        if found:
            return True
    return False


def _parent_id(browser: Any, address: str, name: str) -> str:
    script = """
        const done = arguments[arguments.length - 1];
        fetch("/ajax-api/2.0/mlflow/runs/search", {method: "POST", headers: {"Content-Type": "application/json"},
            body: JSON.stringify({experiment_ids: ["1"], filter: `tags.\\`kagglerun.study\\` = '${arguments[0]}'`})})
            .then(reply => reply.json()).then(found => done(JSON.stringify(found.runs.map(run => run.info.run_id))));
    """
    found: list[str] = json.loads(browser.execute_async_script(script, name))
    return found[0]


def _until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not seen within a minute: {what}")
        time.sleep(0.02)


def _text(browser: Any) -> str:
    return str(browser.execute_script("return document.body.innerText"))


def _told(seconds: list[float]) -> str:
    if len(seconds) == 1:
        return f"{seconds[0]:.1f} s"
    return f"{statistics.median(seconds):.1f} s (median of {len(seconds)}, at most {max(seconds):.1f})"


def _picture(browser: Any, folder: Path | None, name: str) -> None:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        browser.save_screenshot(str(folder / name))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    arguments = sys.argv[1:]
    print(
        report(
            int(arguments[0]) if arguments else TRIALS, Path(arguments[1]).absolute() if len(arguments) > 1 else None
        )
    )
