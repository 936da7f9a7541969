"""Databases as they really break: locked by a writer, cut short, of another schema, a server that is away."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from local_kaggle import Reply, ScriptedKaggle

from kagglerun.environment.doctor.probe import DatabaseState
from kagglerun.environment.doctor.probes import databases
from kagglerun.environment.doctor.probes.databases import database_states, revisions, sqlite_state
from kagglerun.workspace import Workspace


def _made(path: Path, revision: str | None) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE runs (name TEXT)")
        connection.executemany("INSERT INTO runs VALUES (?)", [("x" * 500,)] * 200)
        if revision is not None:
            connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
            connection.execute("INSERT INTO alembic_version VALUES (?)", (revision,))
    connection.close()


def _newest(role: str) -> str:
    wanted = databases._compared(role, None)["schema_wanted"]
    assert isinstance(wanted, str)
    return wanted


@pytest.mark.parametrize("role", ["MLflow", "studies"])
def test_the_installed_library_has_one_newest_schema(role: str) -> None:
    assert _newest(role)


def test_revisions_follow_from_the_migrations(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text('revision = "a"\ndown_revision = None\n')
    (tmp_path / "b.py").write_text("revision: str = 'b'\ndown_revision: str | None = 'a'\n")
    (tmp_path / "c.py").write_text('revision = "c"\ndown_revision = ("b", "a")\n')
    assert revisions(tmp_path) == ("c", frozenset("abc"))
    assert revisions(tmp_path / "absent") == (None, frozenset())


def test_a_database_that_is_well(tmp_path: Path) -> None:
    path = tmp_path / "what's # in a 100 % name.db"
    assert sqlite_state("MLflow", path) == DatabaseState("MLflow", str(path), exists=False)
    assert not path.exists(), "nothing is made by looking"
    _made(path, _newest("MLflow"))
    before = path.read_bytes()
    state = sqlite_state("MLflow", path)
    assert (state.damage, state.locked, state.failure) == (None, False, None)
    assert state.schema == state.schema_wanted
    assert path.read_bytes() == before


def test_a_writer_that_holds_the_lock_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "_LOCK_SECONDS", 0.1)
    path = tmp_path / "studies.db"
    _made(path, None)
    writer = sqlite3.connect(path)
    for how in ("BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"):
        writer.execute(how)
        state = sqlite_state("studies", path)
        assert (state.locked, state.damage, state.failure) == (True, None, None), how
        writer.rollback()
    writer.close()
    assert not sqlite_state("studies", path).locked


def test_damage_is_noticed(tmp_path: Path) -> None:
    whole, cut, nonsense = tmp_path / "whole.db", tmp_path / "cut.db", tmp_path / "nonsense.db"
    _made(whole, "a")
    content = whole.read_bytes()
    cut.write_bytes(content[:8192] + b"\xff" * 4096 + content[12288:])
    nonsense.write_text("this is no database, but long enough to be taken for one" * 100)
    assert sqlite_state("MLflow", cut).damage is not None
    assert sqlite_state("MLflow", nonsense).damage == "file is not a database"


def test_an_older_schema_is_told_from_a_newer_one(tmp_path: Path) -> None:
    older, newer = tmp_path / "older.db", tmp_path / "newer.db"
    _made(older, "v2.6.0.a")
    _made(newer, "v99.0.0.a")
    assert not sqlite_state("studies", older).is_newer
    assert sqlite_state("studies", older).schema != sqlite_state("studies", older).schema_wanted
    assert sqlite_state("studies", newer).is_newer


def test_the_workspaces_databases_are_found_and_servers_left_alone_offline(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [(state.role, state.exists) for state in database_states(workspace)] == [
        ("MLflow", False),
        ("studies", False),
    ]
    workspace.settings.parent.mkdir()
    workspace.settings.write_text("mlflow_uri: http://127.0.0.1:9\nstudies_uri: postgresql://127.0.0.1:9/db\n")
    assert database_states(workspace, ask_network=False) == ()
    server, studies = database_states(workspace)
    assert server.failure is not None
    assert "does not answer" in server.failure
    assert studies.failure is not None
    monkeypatch.setenv("KAGGLERUN_STUDIES_URL", "postgresql://me:s3cret@127.0.0.1:9/db")
    monkeypatch.setenv("KAGGLERUN_MLFLOW_URI", "none")
    (alone,) = database_states(workspace)
    assert "s3cret" not in repr(alone)
    monkeypatch.delenv("KAGGLERUN_STUDIES_URL")
    workspace.settings.write_text("no_such_key: 1\n")
    assert "no_such_key" in str(database_states(workspace)[0].failure)


def test_a_tracking_server_is_asked_for_its_health(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted = ScriptedKaggle()
    monkeypatch.setenv("KAGGLERUN_MLFLOW_URI", scripted.url)
    scripted.answers["health"] = Reply(200, b"OK")
    assert database_states(workspace)[0].failure is None
    scripted.answers["health"] = Reply(500, b"no")
    assert "500" in str(database_states(workspace)[0].failure)
    scripted.close()


@pytest.mark.long
def test_databases_that_the_libraries_just_made_have_the_schema_that_is_wanted(workspace: Workspace) -> None:
    from kagglerun.sweep.database import open_storage
    from kagglerun.tracking import prepare_database

    prepare_database(workspace)
    open_storage(workspace.studies_db)
    states = database_states(workspace)
    assert [state.exists for state in states] == [True, True]
    assert [state.schema for state in states] == [state.schema_wanted for state in states]
    assert not any(state.locked or state.damage or state.failure for state in states)


@pytest.mark.long
def test_a_postgresql_is_looked_at_without_showing_its_password(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.sweep.postgres import PASSWORD, running_server

    monkeypatch.setenv("KAGGLERUN_MLFLOW_URI", "none")
    with running_server() as server:
        monkeypatch.setenv("KAGGLERUN_STUDIES_URL", server.address_with_password)
        (empty,) = database_states(workspace)
        assert (empty.failure, empty.schema, empty.locked) == (None, None, False)
        server.execute("CREATE TABLE alembic_version (version_num text)")
        server.execute("INSERT INTO alembic_version VALUES ('v2.6.0.a')")
        (older,) = database_states(workspace)
        assert (older.schema, older.is_newer) == ("v2.6.0.a", False)
        assert PASSWORD not in repr(older)
        monkeypatch.setenv("KAGGLERUN_STUDIES_URL", server.address.replace("@", ":wrong@"))
        (refused,) = database_states(workspace)
        assert "password authentication failed" in str(refused.failure)
        assert "wrong" not in repr(refused)
