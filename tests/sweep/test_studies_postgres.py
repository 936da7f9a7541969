"""Studies in a team's PostgreSQL: a real one, started here."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from kagglerun.config.load import with_values
from kagglerun.errors import ConfigError
from kagglerun.jobs.control import job_info
from kagglerun.jobs.launch import relaunch
from kagglerun.jobs.records import JobState
from kagglerun.sweep.coordinator import run_study
from kagglerun.sweep.database import StudyTaken, studies_database
from kagglerun.sweep.dispatch import End
from kagglerun.sweep.mirror import StudyMirror
from kagglerun.sweep.study import prepare_study, read_spec
from kagglerun.sweep.trials import Trial, read_trials
from kagglerun.workspace import Workspace
from tests.sweep.conftest import toy_config
from tests.sweep.postgres import PASSWORD, Server, running_server
from tests.sweep.test_sweep_coordinator import TOY, Listener, paths_of, sweep
from tests.sweep.test_sweep_kills import n_finished, start, wait_until

NAME = "digits/digits-toy"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as running:
        yield running


@pytest.fixture
def team(server: Server, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace whose studies go to the server, which holds none yet."""
    monkeypatch.setenv("KAGGLERUN_STUDIES_URL", server.address_with_password)
    server.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    return workspace


def in_database(workspace: Workspace, name: str = NAME) -> list[tuple[str, float | None]]:
    import optuna

    storage = studies_database(workspace, "a reader's").open()
    try:
        return [(trial.state.name, trial.value) for trial in optuna.load_study(study_name=name, storage=storage).trials]
    finally:
        storage.engine.dispose()


def told(trials: list[Trial]) -> list[tuple[str, float | None]]:
    return [(str(trial.state), trial.value) for trial in trials]


def files_with(text: str, folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


def test_a_study_is_written_to_the_server_and_not_to_the_workspace(team: Workspace) -> None:
    trials = sweep(team, toy_config(5, hooks={"fail_at": [2]}))
    assert in_database(team) == told(trials)
    assert not team.studies_db.exists()
    more = sweep(team, toy_config(7, hooks={"fail_at": [2]}))
    assert in_database(team) == told(more)
    assert len(more) == 8


def test_the_password_is_written_nowhere(team: Workspace, server: Server) -> None:
    job = start(team, toy_config(3))
    wait_until(lambda: not job_info(job).state.is_alive)
    assert job_info(job).state is JobState.DONE, job.log.read_text()
    assert in_database(team) == told(read_trials(paths_of(team)))
    assert files_with(PASSWORD, team.root) + files_with("s3cret", team.root) == []


def test_a_wrong_password_does_not_stop_a_sweep_and_is_not_repeated(
    team: Workspace, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLERUN_STUDIES_URL", server.address_with_password.replace("s3cret", "wr0ng"))
    listener = Listener()
    assert len(sweep(team, toy_config(2), listener)) == 2
    said = [line for line in listener.lines if "cannot be written" in line]
    assert f"PostgreSQL at 127.0.0.1:{server.port}/postgres cannot be written" in said[0]
    assert "password authentication failed" in said[0]
    assert "wr0ng" not in "".join(listener.lines)


def test_a_coordinator_in_a_copy_of_the_workspace_is_refused(team: Workspace) -> None:
    """The lock of the file system does not reach another machine; the server's does."""
    paths, spec = prepare_study(team, toy_config(2), objective=TOY)
    with (
        StudyMirror(team, paths, spec, print),
        pytest.raises(
            StudyTaken, match=r"kagglerun .*:\d+ works on the study digits/digits-toy in PostgreSQL at 127"
        ) as no,
    ):
        run_study(team, paths, Listener())
    assert "kagglerun stop" in str(no.value.hint)
    assert run_study(team, paths, Listener()) is End.DONE


def test_another_workspaces_study_of_the_same_name_is_left_alone(team: Workspace, tmp_path: Path) -> None:
    trials = sweep(team, toy_config(3))
    other = Workspace(tmp_path / "a colleague's")
    other.competitions.mkdir(parents=True)
    other.sweeps.mkdir()
    with pytest.raises(StudyTaken, match="belongs to another workspace"):
        sweep(other, toy_config(3))
    assert len(sweep(other, with_values(toy_config(3), {"name": "mine"}))) == 3
    assert in_database(team) == told(trials)


def test_a_server_that_restarts_in_mid_sweep_costs_nothing(team: Workspace, server: Server) -> None:
    listener = Restarting(server)
    trials = sweep(team, toy_config(8, hooks={"delay": 0.05}), listener)
    assert listener.restarted
    assert in_database(team) == told(trials)
    assert len(trials) == 8


class Restarting(Listener):
    """Crashes the server once three trials are done, and starts it again a little later."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server
        self.restarted = False

    def progress(self, text: str, numbers: Any) -> None:
        super().progress(text, numbers)
        if numbers["trials_done"] == 3 and not self.restarted:
            self._server.stop()
        if numbers["trials_done"] == 5 and not self.restarted:
            self._server.start()
            self.restarted = True


def test_a_killed_coordinator_goes_on_and_the_server_has_every_trial_once(team: Workspace) -> None:
    job = start(team, toy_config(8, hooks={"delay": 0.02}, workers=2, lag=3))
    for target in (2, 5):
        wait_until(lambda target=target: n_finished(team) >= target)
        os.kill(job_info(job).pid or 0, signal.SIGKILL)
        wait_until(lambda: job_info(job).state is JobState.KILLED)
        relaunch(team, job)
    wait_until(lambda: not job_info(job).state.is_alive)
    assert job_info(job).state is JobState.DONE, job.log.read_text()
    assert in_database(team) == told(read_trials(paths_of(team)))


def test_the_lock_goes_with_its_connection(team: Workspace, server: Server) -> None:
    first, second = (studies_database(team, NAME) for _ in range(2))
    first.hold()
    with pytest.raises(StudyTaken):
        second.hold()
    first.hold()
    server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'kagglerun%'")
    second.hold()
    with pytest.raises(psycopg.OperationalError):
        first.hold()
    first.release()
    with pytest.raises(StudyTaken):
        first.hold()
    second.release()
    first.hold()
    first.release()


def test_the_address_may_stand_in_the_settings_without_its_password(
    team: Workspace, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KAGGLERUN_STUDIES_URL")
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    team.state.mkdir()
    team.settings.write_text(f"studies_uri: {server.address}\n")
    trials = sweep(team, toy_config(2))
    assert in_database(team) == told(trials)
    assert read_spec(paths_of(team)).name == "digits-toy"


@pytest.mark.parametrize("query", ["", "?password=s3cret"])
def test_a_password_in_the_settings_is_refused(workspace: Workspace, query: str) -> None:
    workspace.state.mkdir()
    user = "team" if query else "team:s3cret"
    workspace.settings.write_text(f"studies_uri: postgresql://{user}@127.0.0.1/studies{query}\n")
    with pytest.raises(ConfigError, match="holds a password") as refused:
        studies_database(workspace, NAME)
    assert "s3cret" not in refused.value.message + str(refused.value.hint)
    assert ".pgpass" in str(refused.value.hint)


@pytest.mark.parametrize(
    "address", ["mysql://team:s3cret@host/db", "postgresql://team:s3cret%zz@host/db", "sqlite:///x"]
)
def test_an_address_of_something_else_is_refused(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("KAGGLERUN_STUDIES_URL", address)
    with pytest.raises(ConfigError, match="KAGGLERUN_STUDIES_URL is no address of a PostgreSQL") as refused:
        prepare_study(workspace, toy_config(2), objective=TOY)
    assert "s3cret" not in refused.value.message + str(refused.value.hint)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg2", "postgresql+psycopg"])
def test_addresses_are_taken_in_every_common_form(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setenv("KAGGLERUN_STUDIES_URL", f"{scheme}://team:s3cret@example.org:6543/studies")
    assert studies_database(workspace, NAME).label == "PostgreSQL at example.org:6543/studies"
