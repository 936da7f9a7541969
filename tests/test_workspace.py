from __future__ import annotations

from pathlib import Path

import pytest

from kagglerun.competition_ref import CompetitionRef
from kagglerun.errors import ConfigError, WorkspaceError
from kagglerun.workspace import Workspace


@pytest.mark.parametrize(
    ("name", "slug", "source", "shown"),
    [
        ("titanic", "titanic", None, "titanic"),
        ("practice/digits", "digits", "practice", "practice/digits"),
        ("kaggle/titanic", "titanic", "kaggle", "titanic"),
        (" titanic/ ", "titanic", None, "titanic"),
        ("https://www.kaggle.com/competitions/plates-s4e3/data?x=1", "plates-s4e3", "kaggle", "plates-s4e3"),
        ("https://www.kaggle.com/c/titanic", "titanic", "kaggle", "titanic"),
    ],
)
def test_a_competition_is_named_by_slug_source_or_address(name: str, slug: str, source: str, shown: str) -> None:
    ref = CompetitionRef.parse(name)
    assert (ref.slug, ref.source) == (slug, source)
    assert str(ref) == shown


@pytest.mark.parametrize("name", ["", "..", "a b", "practice/", "other/digits", "../../etc", "practice/../x", "/"])
def test_what_is_not_a_slug_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="not a competition's name"):
        CompetitionRef.parse(name)


def test_the_nearest_workspace_upward_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("competitions/x/data", "sweeps"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "competitions/x/data")
    assert Workspace.find().root == tmp_path.resolve()


def test_without_a_workspace_the_error_says_how_to_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WorkspaceError) as caught:
        Workspace.find()
    assert caught.value.hint == "kagglerun init"
    monkeypatch.setenv("KAGGLERUN_WORKSPACE", str(tmp_path / "missing"))
    with pytest.raises(WorkspaceError, match="missing"):
        Workspace.find()


def test_the_current_competition_stands_in_for_a_name(workspace: Workspace) -> None:
    with pytest.raises(ConfigError) as caught:
        workspace.resolve_competition(None)
    assert "kagglerun fetch" in str(caught.value.hint)
    workspace.set_current("titanic")
    assert workspace.resolve_competition(None) == "titanic"
    assert workspace.resolve_competition("practice/digits") == "digits"


def test_runs_are_found_by_the_start_of_their_id(workspace: Workspace) -> None:
    for run_id in ("alpha-1", "alpha-2", "beta"):
        config = workspace.run("made", run_id).config
        config.parent.mkdir(parents=True)
        config.write_text("seed: 1\n")
    assert workspace.find_run("be").run_id == "beta"
    assert workspace.find_run("alpha-2").slug == "made"
    with pytest.raises(ConfigError, match="several runs"):
        workspace.find_run("alpha")
    with pytest.raises(ConfigError, match="no run 'gamma'"):
        workspace.find_run("gamma")


def test_configs_are_found_by_name_or_path_and_a_wrong_name_lists_them(workspace: Workspace) -> None:
    (workspace.sweeps / "mine.yaml").write_text("seed: 1\n")
    expected = (workspace.sweeps / "mine.yaml").resolve()
    for name in ("mine", "mine.yaml", "sweeps/mine.yaml", str(expected)):
        assert workspace.config_file(name) == expected
    with pytest.raises(ConfigError, match=r"mine\.yaml"):
        workspace.config_file("yours")


@pytest.mark.parametrize("name", ["", ".", "..", "../../x", "a/b", ".hidden", "-x", "two\nlines", "x" * 200])
def test_what_cannot_be_a_folder_is_no_runs_id(workspace: Workspace, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be a run's id"):
        workspace.run("digits", name)


def test_a_runs_id_may_have_spaces_and_quotes(workspace: Workspace) -> None:
    assert workspace.run("digits", "it's a run").folder.parent == workspace.runs / "digits"
