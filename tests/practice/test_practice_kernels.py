"""Notebooks, data sets and models on the practice server, with the official, unmodified `kaggle` command."""

from __future__ import annotations

import json
import re
import shutil
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.practice.official import Official
from tests.practice.small import Client

KERNELS = "kernels.KernelsApiService"
needs_sandbox = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed: make system")


def write_kernel(folder: Path, slug: str, cells: Sequence[str], **changes: Any) -> Path:
    """A folder as `kaggle kernels push -p` takes it."""
    folder.mkdir(parents=True, exist_ok=True)
    code = [
        {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None, "source": source, "id": f"c{at}"}
        for at, source in enumerate(cells)
    ]
    notebook = {"cells": code, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (folder / "work.ipynb").write_text(json.dumps(notebook))
    said = {
        "id": f"practice/{slug}",
        "title": slug,
        "code_file": "work.ipynb",
        "language": "python",
        "kernel_type": "notebook",
        "is_private": True,
        "enable_gpu": False,
        "enable_internet": False,
        "dataset_sources": [],
        "competition_sources": [],
        "kernel_sources": [],
        "model_sources": [],
    }
    (folder / "kernel-metadata.json").write_text(json.dumps({**said, **changes}))
    return folder


def wait_until_done(client: Client, slug: str) -> dict[str, Any]:
    while True:
        said = client.call("GetKernelSessionStatus", KERNELS, userName="practice", kernelSlug=slug).json()
        if said["status"] in ("COMPLETE", "ERROR"):
            return said
        time.sleep(0.05)


@pytest.mark.long
@needs_sandbox
def test_a_pushed_notebook_runs_and_its_output_and_log_are_pulled(
    official: Official, client: Client, tmp_path: Path
) -> None:
    data = tmp_path / "weights"
    (data / "deep").mkdir(parents=True)
    (data / "deep" / "w.txt").write_text("0.25")
    (data / "plain.txt").write_text("plain")
    about = {"title": "weights of mine", "id": "practice/weights-of-mine", "licenses": [{"name": "CC0-1.0"}]}
    (data / "dataset-metadata.json").write_text(json.dumps(about))
    assert "is being created" in official.run("datasets", "create", "-p", "weights", "--dir-mode", "zip")
    assert official.run("datasets", "status", "practice/weights-of-mine").strip() == "ready"

    cells = [
        "from pathlib import Path\nroot = Path('/kaggle/input')",
        "weight = float((root / 'weights-of-mine/deep/w.txt').read_text())\nprint('weight', weight)",
        "rows = (root / 'competitions/digits/sample_submission.csv').read_text().splitlines()\n"
        "assert rows == (root / 'digits/sample_submission.csv').read_text().splitlines()\n"
        "Path('made').mkdir()\nPath('made/count.txt').write_text(str(len(rows)))",
    ]
    sources = {"dataset_sources": ["practice/weights-of-mine"], "competition_sources": ["digits"]}
    write_kernel(tmp_path / "k", "reads-its-inputs", cells, **sources)
    pushed = official.run("kernels", "push", "-p", "k")
    assert "Kernel version 1 successfully pushed" in pushed
    followed = official.run("kernels", "logs", "practice/reads-its-inputs", "--follow")
    assert "weight 0.25" in followed
    assert wait_until_done(client, "reads-its-inputs")["status"] == "COMPLETE"
    assert "COMPLETE" in official.run("kernels", "status", "practice/reads-its-inputs")
    assert "weight 0.25" in official.run("kernels", "logs", "practice/reads-its-inputs")
    assert "made/count.txt" in official.run("kernels", "files", "practice/reads-its-inputs", "--csv")
    official.run("kernels", "output", "practice/reads-its-inputs", "-p", "out")
    assert int((tmp_path / "out" / "made" / "count.txt").read_text()) > 100
    assert "weight" in (tmp_path / "out" / "reads-its-inputs.log").read_text()

    official.run("kernels", "pull", "practice/reads-its-inputs", "-p", "pulled", "-m")
    again = json.loads((tmp_path / "pulled" / "kernel-metadata.json").read_text())
    assert again["dataset_sources"] == ["practice/weights-of-mine"] and again["enable_internet"] is False
    cells_again = json.loads((tmp_path / "pulled" / "reads-its-inputs.ipynb").read_text())["cells"]
    assert [cell["source"] for cell in cells_again] == cells
    assert "reads-its-inputs" in official.run("kernels", "list", "--mine", "--csv")


@pytest.mark.long
@needs_sandbox
def test_a_notebook_that_raises_ends_in_an_error_that_its_log_explains(
    official: Official, client: Client, tmp_path: Path
) -> None:
    write_kernel(tmp_path / "k", "raises-at-once", ["print('so far')", "1 / 0"])
    official.run("kernels", "push", "-p", "k")
    said = wait_until_done(client, "raises-at-once")
    assert said["status"] == "ERROR" and "ZeroDivisionError" in said["failureMessage"]
    assert "ZeroDivisionError" in official.run("kernels", "status", "practice/raises-at-once")
    assert "so far" in official.run("kernels", "logs", "practice/raises-at-once")


@pytest.mark.long
def test_data_sets_have_versions_files_and_downloads(official: Official, tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    about = {"title": "a small data set", "id": "practice/a-small-data-set", "licenses": [{"name": "CC0-1.0"}]}
    (folder / "dataset-metadata.json").write_text(json.dumps(about))
    (folder / "a.csv").write_text("x\n1\n")
    official.run("datasets", "create", "-p", "d")
    assert "already in use" in official.run("datasets", "create", "-p", "d")
    (folder / "b.csv").write_text("y\n2\n")
    assert "version is being created" in official.run("datasets", "version", "-p", "d", "-m", "second one")
    assert re.search(r"^b\.csv,4", official.run("datasets", "files", "practice/a-small-data-set", "--csv"), re.M)
    asked = official.run("datasets", "status", "practice/a-small-data-set", "--format", "json")
    assert json.loads(asked)["current_version_number"] == 2
    official.run("datasets", "download", "practice/a-small-data-set")
    with zipfile.ZipFile(tmp_path / "a-small-data-set.zip") as packed:
        assert sorted(packed.namelist()) == ["a.csv", "b.csv"]
    official.run("datasets", "download", "practice/a-small-data-set", "-f", "b.csv", "-p", "one")
    assert (tmp_path / "one" / "b.csv").read_text() == "y\n2\n"
    assert "a-small-data-set" in official.run("datasets", "list", "--mine", "--csv")
    official.run("datasets", "status", "practice/no-such-one", fails=True)


@pytest.mark.long
def test_models_have_instances_with_files(official: Official, tmp_path: Path) -> None:
    card, instance = tmp_path / "model", tmp_path / "instance"
    card.mkdir()
    instance.mkdir()
    about = {"ownerSlug": "practice", "slug": "mine", "title": "Mine", "isPrivate": True, "description": "# Mine"}
    (card / "model-metadata.json").write_text(json.dumps(about))
    assert "was created" in official.run("models", "create", "-p", "model")
    said = {
        "ownerSlug": "practice",
        "modelSlug": "mine",
        "instanceSlug": "small",
        "framework": "pyTorch",
        "licenseName": "Apache 2.0",
    }
    (instance / "model-instance-metadata.json").write_text(json.dumps(said))
    (instance / "w.safetensors").write_bytes(b"weights")
    assert "was created" in official.run("models", "instances", "create", "-p", "instance")
    (instance / "w.safetensors").write_bytes(b"better")
    ref = "practice/mine/pyTorch/small"
    assert "was created" in official.run("models", "instances", "versions", "create", ref, "-p", "instance")
    files = official.run("models", "instances", "versions", "files", f"{ref}/2", "--csv")
    assert "w.safetensors,6" in files
    official.run("models", "instances", "versions", "download", f"{ref}/1", "--untar", "-p", "got")
    assert (tmp_path / "got" / "w.safetensors").read_bytes() == b"weights"
    assert "practice/mine" in official.run("models", "get", "practice/mine")


def test_sources_that_are_not_there_are_named(client: Client) -> None:
    said = client.call(
        "SaveKernel",
        KERNELS,
        slug="practice/lacks-things",
        newTitle="lacks things",
        text='{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}',
        language="python",
        kernelType="notebook",
        datasetDataSources=["practice/none-here"],
        competitionDataSources=["digits", "no-such-one"],
    ).json()
    assert said["versionNumber"] == 1
    assert said["invalidDatasetSources"] == ["practice/none-here"]
    assert said["invalidCompetitionSources"] == ["no-such-one"]


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "..", "a/../../b", ""])
def test_no_file_of_a_data_set_can_be_written_elsewhere(client: Client, name: str) -> None:
    started = client.call("StartBlobUpload", "blobs.BlobApiService", name=name, contentLength=1).json()
    assert client.storage("PUT", started["createUrl"], data=b"x").status_code == 200
    made = client.call(
        "CreateDataset", "datasets.DatasetApiService", slug="leads-out", files=[{"token": started["token"]}]
    )
    assert made.status_code == 400 or name == ""
    assert not list(client.paths.folder.rglob("evil"))


def test_a_deleted_notebook_is_gone(client: Client) -> None:
    said = {"slug": "practice/soon-deleted", "newTitle": "soon deleted", "language": "python", "kernelType": "script"}
    assert client.call("SaveKernel", KERNELS, text="print(1)", **said).json()["versionNumber"] == 1
    assert client.call("DeleteKernel", KERNELS, userName="practice", kernelSlug="soon-deleted").status_code == 200
    gone = client.call("GetKernelSessionStatus", KERNELS, userName="practice", kernelSlug="soon-deleted")
    assert gone.status_code == 403 and "was denied" in gone.text
    assert client.call("DeleteKernel", KERNELS, userName="practice", kernelSlug="soon-deleted").status_code == 404
    assert client.call("DeleteKernel", KERNELS, userName="somebody", kernelSlug="soon-deleted").status_code == 403
