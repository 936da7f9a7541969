"""The competition's files where Kaggle mounts them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kagglerun.kaggle_api.fetch import is_fetched
from kagglerun.kaggle_api.manifest import read_manifest
from kagglerun.notebooks.input_mount import find_mount, use_mount
from kagglerun.notebooks.platforms import find_platform, session_start
from kagglerun.workspace import CompetitionPaths, Workspace


@pytest.fixture
def mount(made: Workspace, tmp_path: Path) -> Path:
    folder = tmp_path / "input/made"
    shutil.copytree(made.competition("made").data, folder)
    (folder / ".manifest.json").unlink()
    return folder


@pytest.fixture
def there(tmp_path: Path) -> CompetitionPaths:
    return CompetitionPaths(tmp_path / "there/made")


def test_mounted_files_are_the_data_of_home(made: Workspace, mount: Path, there: CompetitionPaths) -> None:
    home = made.competition("made")
    assert use_mount(mount, home, there)
    assert is_fetched(there)
    assert read_manifest(there).sha256 == read_manifest(home).sha256
    assert (there.data / "train.csv").is_symlink()


def test_without_a_manifest_from_home_the_files_tell_theirs(
    made: Workspace, mount: Path, there: CompetitionPaths, tmp_path: Path
) -> None:
    assert use_mount(mount, CompetitionPaths(tmp_path / "nothing"), there)
    assert read_manifest(there).sha256 == read_manifest(made.competition("made")).sha256


@pytest.mark.parametrize("damage", ["missing", "cut", "changed"])
def test_other_files_than_those_of_home_are_not_used(
    made: Workspace, mount: Path, there: CompetitionPaths, damage: str
) -> None:
    train = mount / "train.csv"
    text = train.read_text()
    if damage == "missing":
        train.unlink()
    else:
        train.write_text(text[:-1] if damage == "cut" else text.replace("yes", "yet"))
    assert not use_mount(mount, made.competition("made"), there)
    assert not there.data.exists()


def test_both_places_of_kaggles_are_found(mount: Path, tmp_path: Path) -> None:
    assert find_mount(tmp_path / "input", "made") == mount
    (tmp_path / "input/competitions").mkdir()
    mount.rename(tmp_path / "input/competitions/made")
    assert find_mount(tmp_path / "input", "made") == tmp_path / "input/competitions/made"
    assert find_mount(tmp_path / "input", "other") is None
    assert find_mount(None, "made") is None


def test_session_begins_with_the_container_or_where_that_is_too_old_with_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "began"
    monkeypatch.setattr("kagglerun.notebooks.platforms._start_of_first_process", lambda: 1000.0)
    monkeypatch.setattr("time.time", lambda: 1000.0 + 3600)
    assert session_start(mark, 12) == 1000.0
    monkeypatch.setattr("time.time", lambda: 1000.0 + 20 * 3600)
    assert session_start(mark, 12) == mark.stat().st_mtime
    monkeypatch.setenv("KAGGLERUN_SESSION_STARTED", "77.5")
    assert session_start(mark, 12) == 77.5


def test_platforms_leave_time_to_save_and_say_how_to_go_on() -> None:
    for name in ("colab", "kaggle"):
        platform = find_platform(name)
        assert platform.hours * 60 > platform.spare_minutes >= 10
        assert "goes on where this one stopped" in platform.go_on
        assert "kagglerun sync pull" in platform.bring_home
