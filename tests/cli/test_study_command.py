"""`kagglerun study` and `kagglerun dashboard` on studies whose files are there."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from kagglerun.cli.main import run
from kagglerun.errors import JobError
from kagglerun.sweep.review.dashboard import serve_dashboard
from kagglerun.sweep.study import StudySpec, prepare_study
from kagglerun.sweep.trials import Trial, TrialState, write_trials
from kagglerun.workspace import StudyPaths, Workspace
from tests.sweep.conftest import toy_config
from tests.sweep.test_sweep_review import TOY, made


@pytest.fixture(autouse=True)
def _toy_and_wide_terminal(monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config) -> None:
    monkeypatch.syspath_prepend(str(pytestconfig.rootpath))
    monkeypatch.setattr("kagglerun.cli.console.out._width", 140)


@pytest.fixture
def study(workspace: Workspace) -> tuple[StudyPaths, StudySpec]:
    paths, spec = prepare_study(workspace, toy_config(20), objective=TOY)
    write_trials(paths, made())
    return paths, spec


def test_a_study_is_shown_with_its_best_its_failures_and_its_savings(
    study: tuple[StudyPaths, StudySpec], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["study"]) == 0
    said = capsys.readouterr().out
    for text in (
        "digits-toy",
        "14 of 20: 11 complete, 3 stopped early, 1 failed, 1 in work",
        "0.942 ±",
        "run digits-toy-0014",
        "9 of 70 fold fits saved (13%)",
        "1 x NonFiniteLoss: trial 2",
        "interrupted",
    ):
        assert text in said, said
    rows = [line.split() for line in said.splitlines()]
    ranked = [words[words.index("complete") - 1] for words in rows if "complete" in words and words[0] != "trials"]
    assert ranked[:3] == ["14", "13", "12"]


def test_top_and_all_say_how_many_trials_are_listed(
    study: tuple[StudyPaths, StudySpec], capsys: pytest.CaptureFixture[str]
) -> None:
    run(["study", "toy", "--top", "2"])
    assert "and 14 more" in capsys.readouterr().out
    run(["study", "toy", "--all"])
    said = capsys.readouterr().out
    assert "more (--all" not in said
    assert "in work" in said


def test_the_same_as_json_holds_every_trial(
    study: tuple[StudyPaths, StudySpec], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["study", "digits-toy", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert len(values["trials"]) == 16
    assert values["study"]["best"]["number"] == 14
    assert values["study"]["best"]["certainty"]["standard_error"] > 0
    assert values["trials"][3]["state"] == "PRUNED"


def test_pictures_are_drawn_when_asked_for(
    study: tuple[StudyPaths, StudySpec], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["study", "--draw"]) == 0
    said = capsys.readouterr().out
    assert str(study[0].study_page) in said
    assert len(list(study[0].plots.iterdir())) == 7


def test_without_a_name_the_study_worked_on_last_is_shown(
    workspace: Workspace, study: tuple[StudyPaths, StudySpec], capsys: pytest.CaptureFixture[str]
) -> None:
    other, _ = prepare_study(workspace, toy_config(5).model_copy(update={"name": "other"}), objective=TOY)
    write_trials(other, [Trial(0, {"optimizer.name": "sgd"})])
    run(["study"])
    assert capsys.readouterr().out.startswith("digits-other")
    write_trials(study[0], [Trial(16, {})])
    run(["study"])
    assert capsys.readouterr().out.startswith("digits-toy")
    assert run(["study", "digits"]) == 2
    assert "several studies match" in capsys.readouterr().err


def test_a_study_without_trials_and_a_workspace_without_studies_are_no_error_of_ours(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["study"]) == 2
    assert "kagglerun sweep" in capsys.readouterr().err
    prepare_study(workspace, toy_config(5), objective=TOY)
    assert run(["study"]) == 0
    assert "no trial yet" in capsys.readouterr().out
    assert run(["study", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["study"]["best"] is None
    assert run(["study", "nope"]) == 2
    assert "known: digits-toy" in capsys.readouterr().err


@pytest.fixture
def page(workspace: Workspace, study: tuple[StudyPaths, StudySpec]) -> Iterator[str]:
    pytest.importorskip("optuna_dashboard")
    with serve_dashboard(workspace, 0) as address:
        yield address.removesuffix("/dashboard")


def get(address: str) -> dict[str, object]:
    with urllib.request.urlopen(address, timeout=30) as reply:
        values: dict[str, object] = json.loads(reply.read())
    return values


def test_the_dashboard_shows_the_trials_of_every_study(page: str) -> None:
    assert [item["study_name"] for item in get(f"{page}/api/studies")["study_summaries"]] == ["digits/digits-toy"]  # type: ignore[attr-defined]
    trials = get(f"{page}/api/studies/0")["trials"]
    states = [trial["state"] for trial in trials]  # type: ignore[attr-defined]
    assert (states.count("Complete"), states.count("Pruned"), states.count("Fail")) == (11, 3, 1)


def test_the_dashboard_follows_a_sweep(
    page: str, study: tuple[StudyPaths, StudySpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kagglerun.sweep.review.dashboard._REFRESH_SECONDS", 0.0)
    write_trials(study[0], [Trial(16, {"optimizer.name": "sgd"})])
    assert len(get(f"{page}/api/studies/0")["trials"]) == 17  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("DELETE", "/api/studies/0", {}),
        ("POST", "/api/studies", {}),
        ("PUT", "/api/studies/0/note", {}),
        ("GET", "/api/studies", {"Host": "elsewhere.example"}),
    ],
)
def test_the_dashboard_refuses_changes_and_other_hosts(
    page: str, study: tuple[StudyPaths, StudySpec], method: str, path: str, headers: dict[str, str]
) -> None:
    before = study[0].trials.read_bytes()
    request = urllib.request.Request(page + path, method=method, headers=headers, data=None)
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request, timeout=30)
    assert study[0].trials.read_bytes() == before
    assert len(get(f"{page}/api/studies")["study_summaries"]) == 1  # type: ignore[arg-type]


def test_the_dashboard_is_bound_to_this_machine_and_a_taken_port_is_told(
    workspace: Workspace, study: tuple[StudyPaths, StudySpec], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("optuna_dashboard")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run(["dashboard", "--port", str(port)]) == 1
    assert f"kagglerun dashboard --port {port + 1}" in capsys.readouterr().err


def test_the_dashboard_ends_with_its_command(workspace: Workspace, study: tuple[StudyPaths, StudySpec]) -> None:
    pytest.importorskip("optuna_dashboard")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "kagglerun", "dashboard", "--port", str(port)]
    with subprocess.Popen(command, cwd=workspace.root, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert f"http://127.0.0.1:{port}/dashboard" in server.stdout.readline()
        assert get(f"http://127.0.0.1:{port}/api/meta")
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=30) == 0


def test_without_optuna_dashboard_the_command_says_what_to_install(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "optuna_dashboard", None)
    assert run(["dashboard"]) == 2
    assert "pip install 'kagglerun[dashboard]'" in capsys.readouterr().err


def test_with_two_objectives_the_unbeaten_trials_are_listed(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    objectives = ["score", "seconds_per_fold"]
    paths, _ = prepare_study(workspace, toy_config(20, objectives=objectives), objective=TOY)
    results = [(0.9, 30.0), (0.8, 10.0), (0.85, 40.0)]
    write_trials(
        paths,
        [
            Trial(number, {}, TrialState.COMPLETE, value=value, fold_scores=(value,) * 3, seconds=seconds)
            for number, (value, seconds) in enumerate(results)
        ],
    )
    assert run(["study"]) == 0
    said = capsys.readouterr().out
    assert "unbeaten    trial 0: score 0.9, seconds_per_fold 10" in said
    assert "trial 1: score 0.8, seconds_per_fold 3.3333" in said
    assert "trial 2: score" not in said


def test_a_study_with_values_that_are_not_of_its_search_space_is_left_out_of_the_dashboard_and_told_by_a_sweep(
    workspace: Workspace, study: tuple[StudyPaths, StudySpec]
) -> None:
    from kagglerun.sweep.proposal import Proposer
    from kagglerun.sweep.review.optuna_copy import all_studies
    from kagglerun.sweep.trials import read_trials

    assert len(all_studies(workspace).get_all_studies()) == 1
    paths, spec = study
    whole = paths.trials.read_text()
    for damage in ('"optimizer.lr": "abc"', '"optimizer.lr": null'):
        paths.trials.write_text(re.sub(r'"optimizer.lr": [0-9.e-]+', damage, whole))
        with pytest.raises(JobError, match="the params of trial 0 are not of the study's search space"):
            Proposer(spec, ()).propose(read_trials(paths)[:15])
        assert all_studies(workspace).get_all_studies() == []
