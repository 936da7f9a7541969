"""The inference notebook, and the descriptions by which the official client pushes it and its data set."""

from __future__ import annotations

import hashlib
import inspect
import re
from pathlib import Path
from typing import Any

import nbformat

from kagglerun.code_competition import notebook_program
from kagglerun.code_competition.package_files import PackagePaths
from kagglerun.files import write_json
from kagglerun.notebooks.attached import UNKNOWN_USER
from kagglerun.notebooks.build import KAGGLE_MACHINES

WORKING = Path("/kaggle/working")
_LONGEST_SLUG = 50
_LICENSE = {"name": "other"}


def slug_of(competition: str, run_id: str) -> str:
    """Name of a run's data set and notebook on Kaggle: 6 to 50 characters, the same for the same run."""
    mark = hashlib.sha256(f"{competition}/{run_id}".encode()).hexdigest()[:6]
    plain = re.sub(r"[^a-z0-9]+", "-", f"{competition}-{run_id}".lower()).strip("-")
    return f"{plain[: _LONGEST_SLUG - 7].strip('-')}-{mark}"


def make_notebook(slug: str, competition: str, output: str, hours: float, memory_gb: float) -> str:
    """The notebook as JSON; the same arguments give the same bytes.

    Args:
        slug: of the data set.
        competition: the competition's slug.
        output: name of the submission file.
        hours: after so long the inference ends with what it has.
        memory_gb: memory that the inference may take, in 10^9 bytes.
    """
    program = inspect.getsource(notebook_program)
    find = (
        f"data_set = find_input({slug!r}, ('datasets/*',), 'inference.json')\n"
        f"data_set = unpacked(data_set, Path('/tmp') / {slug!r})\n"
        f"data = find_input({competition!r}, ('competitions',), '*')\n"
        "print(data_set, data, sep='\\n')"
    )
    run = f"predict(data_set, data, Path({str(WORKING / output)!r}), hours={hours:g}, memory_gb={memory_gb:g})"
    text = (
        f"# {competition}\n\nPredicts with the data set `{slug}`, made by kagglerun, and writes `{output}`. It "
        f"needs no internet. After {hours:g} hours it ends with what it has."
    )
    notebook = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
    notebook.cells = [
        nbformat.v4.new_markdown_cell(text),  # type: ignore[no-untyped-call]
        _code(program),
        _code(find),
        _code("install(data_set / 'wheels')"),
        _code(run),
    ]
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata["language_info"] = {"name": "python"}
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"kagglerun-{number}"  # nbformat's are random
    nbformat.validate(notebook)
    return str(nbformat.writes(notebook))  # type: ignore[no-untyped-call]


def _code(source: str) -> Any:
    return nbformat.v4.new_code_cell(source)  # type: ignore[no-untyped-call]


def write_descriptions(paths: PackagePaths, slug: str, competition: str, gpu: str | None, user: str | None) -> None:
    """Write dataset-metadata.json and kernel-metadata.json.

    Args:
        paths: the package.
        slug: of the data set and the notebook.
        competition: the competition's slug.
        gpu: e.g. "T4"; None for none.
        user: the user's name on Kaggle; None leaves a place to fill in.
    """
    owner = user or UNKNOWN_USER
    data_set = {"title": slug, "id": f"{owner}/{slug}", "licenses": [_LICENSE]}
    write_json(paths.data_set_metadata, data_set)
    kernel = {
        "id": f"{owner}/{slug}",
        "title": slug,
        "code_file": paths.notebook_file(slug).name,
        "language": "python",
        "kernel_type": "notebook",
        "is_private": True,
        "enable_gpu": gpu is not None,
        "enable_tpu": False,
        "enable_internet": False,
        "dataset_sources": [f"{owner}/{slug}"],
        "competition_sources": [competition],
        "kernel_sources": [],
        "model_sources": [],
    }
    write_json(paths.kernel_metadata, kernel | ({"machine_shape": KAGGLE_MACHINES[gpu]} if gpu else {}))
