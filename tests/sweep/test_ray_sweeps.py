"""Sweeps on a real Ray cluster of several nodes on this machine, some of which are lost."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from kagglerun.cli.main import app
from kagglerun.config.load import save_config, with_values
from kagglerun.config.schema import Config
from kagglerun.errors import ConfigError, JobError
from kagglerun.files import sha256_of_file
from kagglerun.jobs.control import find_job, job_info, stop_job
from kagglerun.jobs.log import tail
from kagglerun.sweep.choose_workers import choose_ray
from kagglerun.sweep.coordinator import run_study
from kagglerun.sweep.ray.submit import submit_again
from kagglerun.sweep.study import prepare_study
from kagglerun.sweep.trials import Trial, TrialState, best_trial, read_trials
from kagglerun.tracking import all_tracked, behind
from kagglerun.workspace import CompetitionPaths, Workspace
from tests.experiment.conftest import competition
from tests.sweep.conftest import ROOT, toy_config
from tests.sweep.ray_cluster import SmallCluster, small_cluster
from tests.sweep.test_sweep_coordinator import TOY, Listener

__all__ = ["competition"]

pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray leaves sockets and files to the collector
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
_WAIT_SECONDS = 60


@pytest.fixture(scope="module")
def cluster() -> Iterator[SmallCluster]:
    """A head that executes nothing, and a node; tests add others, which they may lose."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT)  # for the toy; the package itself travels
    try:
        with small_cluster(nodes=1, include_dashboard=True, dashboard_port=0) as made:
            yield made
    finally:
        os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)


class Saboteur(Listener):
    """Does something once a trial has ended."""

    def __init__(self, after: str, act: Any) -> None:
        super().__init__()
        self._after, self._act = after, act

    def say(self, text: str) -> None:
        super().say(text)
        if self._act and text.startswith(self._after):
            act, self._act = self._act, None
            act()


def sweep(
    workspace: Workspace, config: Config, address: str | None, listener: Listener | None = None, objective: str = TOY
) -> list[Trial]:
    paths, _ = prepare_study(workspace, config, objective=objective)
    choose_ray(paths, address)
    run_study(workspace, paths, listener or Listener())
    return read_trials(paths)


def results(trials: list[Trial]) -> list[Any]:
    """What must not depend on who executes a study, and when."""
    return [(trial.params, trial.state, trial.value, trial.fold_scores, trial.stopped) for trial in trials]


def test_a_study_on_a_cluster_is_the_local_one_though_a_node_is_lost_in_the_middle(
    workspace: Workspace, cluster: SmallCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kagglerun.sweep.ray import ray_workers

    monkeypatch.setattr(ray_workers, "_HEAR_SECONDS", 0.2)  # trials are silent for longer
    config = toy_config(8, lag=3, workers=2)
    local = sweep(workspace, with_values(config, {"name": "local"}), None)
    doomed = cluster.add_node()
    saboteur = Saboteur("trial 2", lambda: cluster.lose_node(doomed))
    slow = with_values(config, {"name": "cluster", "hooks.delay": 0.3})
    assert results(sweep(workspace, slow, cluster.address, saboteur)) == results(local)
    assert any("was lost; another one takes the trial up" in line for line in saboteur.lines)


def test_a_trial_that_kills_its_worker_fails_and_the_others_do_not(workspace: Workspace, cluster: SmallCluster) -> None:
    config = toy_config(4, {"kill_at": [1], "fail_at": [2]}, lag=2, workers=2)
    found = sweep(workspace, config, cluster.address)
    assert [trial.state for trial in found[:3]] == [TrialState.COMPLETE, TrialState.FAIL, TrialState.FAIL]
    assert found[1].failure is not None and "SIGKILL" in found[1].failure.message
    assert found[2].failure is not None and found[2].failure.message == "it was told to fail"


def real_config(name: str, workers: int) -> Config:
    from tests.sweep.test_pruning_sweeps import make_config

    return with_values(
        make_config(name, "tabular_boosting", workers=workers, lag=3, trials=4),
        {"sweep.search": {"model.learning_rate": {"low": 1e-4, "high": 0.5, "log": True}}, "competition": "made"},
    )


def test_nodes_without_the_workspace_get_the_data_and_give_back_whole_runs(
    workspace: Workspace,
    competition: CompetitionPaths,
    cluster: SmallCluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from kagglerun.sweep.objective import EXPERIMENT

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    local = sweep(workspace, real_config("local", 1), None, objective=EXPERIMENT)
    lost, kept = (cluster.add_node(tmp_path / name) for name in ("lost", "kept"))
    saboteur = Saboteur("trial 1", lambda: cluster.lose_node(lost))
    # A node has one core: with three slots those without the workspace work as well as the one that shares it.
    found = sweep(workspace, real_config("cluster", 3), cluster.address, saboteur, EXPERIMENT)
    cluster.lose_node(kept)
    assert results(found) == results(local), saboteur.lines
    best = best_trial(found, greater_is_better=True)
    assert best is not None
    runs = [workspace.run("made", f"made-{name}-{best.number:04d}") for name in ("local", "cluster")]
    assert sha256_of_file(runs[0].oof) == sha256_of_file(runs[1].oof)
    assert sorted(path.name for path in runs[1].plots.glob("*.png"))
    assert list((tmp_path / "kept").glob("*/competitions/made/data/train.csv")), "its data was sent"
    assert not list((tmp_path / "kept").glob("*/runs/made/*/folds/*/*.txt")), "its runs came back"
    tracked = [run for run in all_tracked(workspace) if "cluster-0" in run.run_id]
    assert len(tracked) == 4 and not set(tracked) & set(behind(workspace)), "MLflow has all of them"


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_sweep_sent_to_the_cluster_is_listed_followed_stopped_and_resumed(
    workspace: Workspace, cluster: SmallCluster
) -> None:
    local = sweep(workspace, toy_config(6, lag=3, workers=2), None)
    config = with_values(toy_config(6, {"delay": 0.3}, lag=3, workers=2), {"name": "sent"})
    save_config(workspace.sweeps / "sent.yaml", config)
    url = f"http://{cluster.cluster.head_node.webui_url}"
    sent = CliRunner().invoke(app, ["sweep", "sent", "--ray-submit", "--ray", url, "--objective", TOY])
    assert sent.exit_code == 0, sent.output
    job = find_job(workspace, None)
    wait_until(lambda: any("trial 0" in line for line in tail(job, 50)))
    assert job_info(job).state.is_alive and job_info(job).progress
    assert stop_job(job).state == "stopped"
    submit_again(workspace, job)
    stopped = stop_job(job, now=True)
    assert stopped.state == "stopped"
    submit_again(workspace, job)
    wait_until(lambda: not job_info(job).state.is_alive)
    assert job_info(job).state == "done", tail(job, 20)
    assert results(read_trials(workspace.study("digits", "digits-sent"))) == results(local)
    assert any("printed by a trial" in line for line in tail(job, 200))


def test_a_cluster_that_is_not_there_is_said_at_once(workspace: Workspace) -> None:
    with pytest.raises(JobError, match=r"no Ray cluster answers at '127\.0\.0\.1:9'"):
        sweep(workspace, toy_config(2), "127.0.0.1:9")
    with pytest.raises(ConfigError, match="--ray 'nowhere' is no address"):
        sweep(workspace, toy_config(2), "nowhere")


def test_trials_that_no_node_can_hold_wait_and_the_log_says_so(
    workspace: Workspace, cluster: SmallCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kagglerun.sweep.ray import words

    monkeypatch.setattr(words, "_FIRST_WORD_SECONDS", 0.1)

    class Impatient(Listener):
        def say(self, text: str) -> None:
            super().say(text)
            self.stop_requested |= text.startswith("waiting")

    listener = Impatient()
    found = sweep(workspace, toy_config(2, gpus_per_trial=0.5, cpus_per_trial=2), cluster.address, listener)
    assert "waiting for the cluster: a trial reserves 0.5 GPU and 2 CPU cores, and no node of it has so much" in [
        *listener.lines
    ]
    assert [trial.state for trial in found] == [TrialState.RUNNING] * len(found)
