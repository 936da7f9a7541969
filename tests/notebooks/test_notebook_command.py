"""`kagglerun notebook`: what it writes, what it carries, and what it refuses."""

from __future__ import annotations

import json
import shutil
import zipfile
from io import BytesIO
from pathlib import Path

import nbformat
import pytest

from kagglerun.cli.main import run
from kagglerun.config.load import load_config
from kagglerun.files import sha256_of_json, write_text
from kagglerun.notebooks import bootstrap
from kagglerun.notebooks.package import LOCK, runtime_lock
from kagglerun.notebooks.plan import PlanFiles
from kagglerun.workspace import Workspace

_LOCK = """\
numpy==2.5.5 ; python_full_version >= '3.12' \\
    --hash=sha256:aa \\
    --hash=sha256:bb
nvidia-cublas==13.4 ; sys_platform == 'linux' \\
    --hash=sha256:cc
nvidia-ml-py==13.1 \\
    --hash=sha256:dd
torch==2.15.0 \\
    --hash=sha256:ee
"""


@pytest.fixture(autouse=True)
def small_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wheel takes seconds to pack and is looked at elsewhere."""
    monkeypatch.setattr("kagglerun.notebooks.build.carried_wheel", lambda lock: ("kagglerun-0-any.whl", _wheel(lock)))
    monkeypatch.setattr("kagglerun.notebooks.build.runtime_lock", lambda _: _LOCK)


def _wheel(lock: str) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo(LOCK), lock)
    return buffer.getvalue()


def _unpacked(notebook: Path, folder: Path) -> PlanFiles:
    source = nbformat.read(notebook, as_version=4).cells[1].source
    bootstrap.unpack(source.partition('"""')[2].rpartition('"""')[0], str(folder))
    return PlanFiles(folder)


def test_notebook_is_valid_and_carries_config_card_hooks_and_manifest(made: Workspace, tmp_path: Path) -> None:
    hooks = "from kagglerun.hooks import CompetitionHooks\n\n\nclass Hooks(CompetitionHooks):\n    pass\n"
    write_text(made.competition("made").hooks, hooks)
    assert run(["notebook", "net.yaml", "optimizer.lr=0.5", "--for", "colab", "--train", "-o", "it.ipynb"]) == 0
    content = nbformat.read("it.ipynb", as_version=4)
    nbformat.validate(content)
    files = _unpacked(Path("it.ipynb"), tmp_path / "there")
    assert load_config(files.config).optimizer.lr == 0.5
    assert load_config(files.config).competition == "made"
    home = made.competition("made")
    assert files.competition.hooks.read_text() == hooks
    assert files.competition.card.read_bytes() == home.card.read_bytes()
    assert files.competition.manifest.read_bytes() == home.manifest.read_bytes()
    plan = files.read()
    assert (plan.work, plan.platform, plan.gpu, plan.competition) == ("train", "colab", "T4", "made")
    assert content.metadata["accelerator"] == "GPU"
    assert "lr: 0.5" in content.cells[0].source


def test_same_config_gives_the_same_bytes_and_another_one_another_run(made: Workspace) -> None:
    for name, more in {"one": [], "two": [], "three": ["optimizer.lr=0.1"]}.items():
        assert run(["notebook", "net.yaml", *more, "--for", "kaggle", "-o", f"{name}/n.ipynb"]) == 0
    one, two, three = (Path(name, "n.ipynb").read_bytes() for name in ("one", "two", "three"))
    assert one == two
    ids = [json.loads(Path(name, "kernel-metadata.json").read_text())["title"] for name in ("one", "three")]
    assert ids[0] != ids[1]
    assert one != three


def test_no_secret_of_this_machine_is_in_it(
    made: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KAGGLE_USERNAME", "somebody")
    monkeypatch.setenv("KAGGLE_KEY", "0123456789abcdef0123456789abcdef")
    write_text(made.settings, "notify_webhook: https://hooks.example/secret-place\n")
    assert run(["notebook", "net.yaml", "--for", "kaggle", "-o", "k/n.ipynb"]) == 0
    files = _unpacked(Path("k/n.ipynb"), Path("there").resolve())
    written = [path for path in (*Path("k").iterdir(), *files.folder.rglob("*")) if path.is_file()]
    everything = b"".join(path.read_bytes() for path in written) + capsys.readouterr().out.encode()
    assert b"0123456789abcdef" not in everything
    assert b"secret-place" not in everything
    assert json.loads(Path("k/kernel-metadata.json").read_text())["id"].startswith("somebody/")


def test_kaggle_gets_the_competition_the_gpu_and_the_internet(made: Workspace) -> None:
    assert run(["notebook", "net.yaml", "--for", "kaggle", "-o", "k/n.ipynb", "--gpu", "P100"]) == 0
    said = json.loads(Path("k/kernel-metadata.json").read_text())
    assert said["competition_sources"] == ["made"]
    assert (said["enable_gpu"], said["enable_internet"], said["is_private"]) == (True, True, True)
    assert said["machine_shape"] == "NvidiaTeslaP100"
    assert said["code_file"] == "n.ipynb"


def test_description_of_another_notebook_stays(made: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["notebook", "net.yaml", "--for", "kaggle", "-o", "k/n.ipynb"]) == 0
    assert run(["notebook", "net.yaml", "--for", "kaggle", "-o", "k/other.ipynb"]) == 0
    assert json.loads(Path("k/kernel-metadata.json").read_text())["code_file"] == "n.ipynb"
    assert "describes another notebook" in capsys.readouterr().out


def test_trees_need_no_gpu(made: Workspace) -> None:
    write_text(made.sweeps / "trees.yaml", "competition: made\nmodel: {kind: auto}\n")
    assert run(["notebook", "trees.yaml", "--for", "colab", "-o", "n.ipynb"]) == 0
    assert "accelerator" not in nbformat.read("n.ipynb", as_version=4).metadata


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--for is missing: the notebook runs on colab or kaggle"),
        (["--for", "collab"], "did you mean 'colab'?"),
        (["--for", "colab", "--packages", "newest"], "known: keep-torch, locked, platform"),
        (["--for", "colab", "--gpu", "P100"], "Colab has no GPU 'P100'; it has T4, L4, A100, none"),
        (["--for", "colab", "--train", "--sweep"], "choose one"),
        (["--for", "colab", "--sweep"], "no sweep.search"),
        (["--for", "colab", "optimiser.lr=1"], "unknown key 'optimiser'"),
        (["--for", "colab", "competition=practice/cats"], "hosted by this machine alone"),
        (["--for", "kaggle", "model.kind=image", "model.weights=here.pth"], "a file of this machine"),
    ],
)
def test_what_cannot_be_is_refused_with_the_allowed_values(
    made: Workspace, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    write_text(made.sweeps / "plain.yaml", "competition: made\n")
    assert run(["notebook", "plain.yaml", *arguments, "-o", "n.ipynb"]) == 2
    assert words in " ".join(capsys.readouterr().err.split())
    assert not Path("n.ipynb").exists()


def test_long_manifest_is_left_out(made: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kagglerun.cli.notebook._MOST_MANIFEST_BYTES", 10)
    assert run(["notebook", "net.yaml", "--for", "kaggle", "-o", "n.ipynb"]) == 0
    files = _unpacked(Path("n.ipynb"), tmp_path / "there")
    assert not files.competition.manifest.exists()
    listed = json.loads(made.competition("made").manifest.read_text())["files"]
    assert files.read().data == sha256_of_json([dict(file) for file in listed])


def test_platforms_own_torch_stays_where_asked() -> None:
    assert bootstrap.chosen(_LOCK, "locked").split("\n")[0].startswith("numpy==2.5.5")
    assert bootstrap.chosen(_LOCK, "locked") == _LOCK
    kept = bootstrap.chosen(_LOCK, "keep-torch")
    assert "torch==" not in kept
    assert "nvidia-cublas" not in kept
    assert "--hash=sha256:bb" in kept
    assert "nvidia-ml-py==13.1" in kept
    assert bootstrap.chosen(_LOCK, "platform") == ""


def test_lock_in_the_notebook_has_what_runs_and_no_tool_of_developers() -> None:
    lock = (Path(bootstrap.__file__).parents[1] / "environment/requirements.lock").read_text()
    small = runtime_lock(lock)
    names = {line.partition("==")[0] for line in small.splitlines() if line[0].isalnum()}
    assert {"torch", "timm", "optuna", "pandas", "numpy", "fsspec", "typer", "mlflow"} <= names
    assert names.isdisjoint({"pytest", "mypy", "ruff", "moto", "ray", "selenium", "pywin32", "appnope"})
    assert set(small.splitlines()) <= set(lock.splitlines())
    for line in small.splitlines():
        assert line[0].isalnum() or line.startswith("    --hash=sha256:")


def test_payload_too_large_for_kaggle_is_a_data_set_that_the_notebook_finds(
    made: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("kagglerun.notebooks.build.MOST_EMBEDDED_BYTES", 100)
    monkeypatch.setenv("KAGGLERUN_PLATFORM_ROOT", str(tmp_path))
    monkeypatch.setenv("KAGGLE_USERNAME", "somebody")
    monkeypatch.setenv("KAGGLE_KEY", "k")
    assert run(["notebook", "net.yaml", "--for", "kaggle", "-o", "k/n.ipynb"]) == 0
    assert "kaggle datasets create -p k/data-set    then: kaggle kernels push -p k" in capsys.readouterr().out
    described = json.loads(Path("k/data-set/dataset-metadata.json").read_text())
    assert json.loads(Path("k/kernel-metadata.json").read_text())["dataset_sources"] == [described["id"]]
    cell = nbformat.read("k/n.ipynb", as_version=4).cells[1].source
    names: dict[str, str] = {}
    with pytest.raises(SystemExit, match="Add Input"):
        exec(cell, names)
    mounted = tmp_path / "kaggle/input/datasets/somebody" / described["title"]
    mounted.parent.mkdir(parents=True)
    shutil.copytree("k/data-set", mounted)
    exec(cell, names)
    bootstrap.unpack(names["PAYLOAD"], str(tmp_path / "there"))
    assert PlanFiles(tmp_path / "there").read().competition == "made"
