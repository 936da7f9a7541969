"""What the notebook's own cells do, in the kernel."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import pytest

from kagglerun.errors import NotebookError
from kagglerun.notebooks import kernel
from kagglerun.notebooks.kernel import connect
from kagglerun.notebooks.plan import NotebookPlan

_KEY = "0123456789abcdef"


@pytest.fixture
def content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KAGGLERUN_PLATFORM_ROOT", str(tmp_path))
    return tmp_path / "content"


def _folder(content: Path, platform: str = "colab", competition: str = "titanic") -> str:
    plan = NotebookPlan("it-1", platform, "train", competition, None, None, 1, 12, 60, "locked")
    folder = content / "kagglerun/plan"
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text(json.dumps(plan.to_dict()))
    return str(folder)


def _module(monkeypatch: pytest.MonkeyPatch, name: str, **members: object) -> None:
    module = types.ModuleType(name)
    module.__dict__.update(members)
    monkeypatch.setitem(sys.modules, name, module)


def _colab(monkeypatch: pytest.MonkeyPatch, content: Path, secrets: dict[str, str]) -> None:
    def mount(place: str) -> None:
        Path(place, "MyDrive").mkdir(parents=True)

    _module(monkeypatch, "google.colab", __path__=[])
    _module(monkeypatch, "google.colab.drive", mount=mount)
    _module(monkeypatch, "google.colab.userdata", get=secrets.__getitem__)


def test_colab_mounts_drive_and_reads_the_secrets_without_showing_them(
    content: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _colab(monkeypatch, content, {"KAGGLE_USERNAME": "somebody", "KAGGLE_KEY": _KEY})
    session = connect(_folder(content))
    assert session.secrets.values == {"KAGGLE_USERNAME": "somebody", "KAGGLE_KEY": _KEY}
    assert (content / "drive/MyDrive/kagglerun").is_dir()
    said = capsys.readouterr().out
    assert "from the secrets: KAGGLE_USERNAME, KAGGLE_KEY" in said
    assert _KEY not in said + repr(session)
    assert not any(_KEY in path.read_text() for path in content.rglob("*") if path.is_file())


def test_practice_competition_asks_for_no_secret(content: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _colab(monkeypatch, content, {"KAGGLE_KEY": _KEY})
    assert connect(_folder(content, competition="practice/wine")).secrets.values == {}


def test_drive_that_is_not_allowed_is_an_error_and_not_a_session_without_memory(
    content: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: str) -> None:
        raise ValueError("mount failed")

    _module(monkeypatch, "google.colab", __path__=[])
    _module(monkeypatch, "google.colab.drive", mount=refused)
    with pytest.raises(NotebookError, match="Drive could not be mounted: mount failed"):
        connect(_folder(content))


def test_kaggles_secrets_are_found_by_their_names(content: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Client:
        def get_secret(self, label: str) -> str:
            if label != "KAGGLE_API_TOKEN":
                raise RuntimeError("No user secrets exist for kernel id 1 and label " + label)
            return _KEY

    _module(monkeypatch, "kaggle_secrets", UserSecretsClient=Client)
    assert connect(_folder(content, "kaggle")).secrets.values == {"KAGGLE_API_TOKEN": _KEY}


def test_session_prints_no_colours_and_no_moving_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    environment = kernel._plain_environment()
    assert "FORCE_COLOR" not in environment
    assert environment["NO_COLOR"] == "1"


def test_failed_session_fails_the_cell(content: Path, capsys: pytest.CaptureFixture[str]) -> None:
    session = connect(_folder(content, "kaggle"))
    with pytest.raises(NotebookError, match="ended with code 1"):
        session.work()
    said = " ".join(capsys.readouterr().out.split())
    assert "no Kaggle credentials were found" in said
    assert "the data of titanic is not here" in said
