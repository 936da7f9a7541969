"""Writing the notebook: what it carries, its cells, and for Kaggle the description that `kaggle kernels push` reads."""

from __future__ import annotations

import base64
import hashlib
import inspect
import json
import lzma
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nbformat

from kagglerun.errors import ConfigError
from kagglerun.files import read_json, write_json, write_text
from kagglerun.notebooks import bootstrap
from kagglerun.notebooks.attached import MOST_EMBEDDED_BYTES, UNKNOWN_USER, data_set_slug, finding_cell
from kagglerun.notebooks.package import carried_wheel, runtime_lock, stored_zip
from kagglerun.notebooks.plan import NotebookPlan, PlanFiles
from kagglerun.notebooks.platforms import find_platform

KERNEL_METADATA = "kernel-metadata.json"
_LINE_LENGTH = 4000
KAGGLE_MACHINES = {"T4": "NvidiaTeslaT4", "P100": "NvidiaTeslaP100", "L4": "NvidiaL4", "A100": "NvidiaTeslaA100"}
"""What `kaggle kernels push --accelerator` calls them (github.com/Kaggle/kaggle-cli, docs/kernels.md)."""
GPUS = {"kaggle": tuple(KAGGLE_MACHINES), "colab": ("T4", "L4", "A100")}
"""The GPUs that a notebook can ask for."""


@dataclass(frozen=True)
class Carried:
    """What the notebook carries besides kagglerun.

    Attributes:
        config: the config as YAML.
        card: the competition's card as YAML; None where it was not fetched here.
        hooks: the competition's hooks.py, or None.
        manifest: names, sizes and digests of its files as JSON, or None.
        lock: requirements.lock.
    """

    config: str
    card: str | None
    hooks: str | None
    manifest: str | None
    lock: str


@dataclass(frozen=True)
class Notebook:
    """A notebook.

    Attributes:
        plan: what it does, with its run id.
        text: the notebook as JSON.
        attached: its payload where that is a data set beside it; None where it stands in the notebook.
    """

    plan: NotebookPlan
    text: str
    attached: str | None


def make_notebook(plan: NotebookPlan, carried: Carried) -> Notebook:
    """Make the notebook; the same plan and files give the same bytes.

    Args:
        plan: what it does; its `run_id` is a beginning, to which the digest of what it carries is added.
        carried: what goes with it.
    """
    lock = "" if plan.packages == "platform" else runtime_lock(carried.lock)
    plan = replace(plan, run_id=f"{plan.run_id}-{plan.platform}-{_digest(plan, carried)}")
    notebook = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
    payload = _payload(plan, carried, lock)
    attaches = plan.platform == "kaggle" and len(payload) > MOST_EMBEDDED_BYTES
    notebook.cells = _cells(plan, carried, payload, attaches)
    notebook.metadata.update(_metadata(plan))
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"kagglerun-{number}"  # nbformat's are random
    nbformat.validate(notebook)
    text = str(nbformat.writes(notebook))  # type: ignore[no-untyped-call]
    return Notebook(plan, text, payload if attaches else None)


def write_kernel_metadata(path: Path, file_name: str, notebook: Notebook, user: str | None) -> bool:
    """Write what `kaggle kernels push` reads; False when another notebook's stands there.

    Args:
        path: kernel-metadata.json beside the notebook.
        file_name: the notebook's file.
        notebook: the notebook.
        user: the user's name on Kaggle; None leaves a place to fill in.
    """
    if path.exists() and read_json(path).get("code_file") != file_name:
        return False
    write_json(path, kernel_metadata(file_name, notebook, user))
    return True


def kernel_metadata(file_name: str, notebook: Notebook, user: str | None) -> dict[str, Any]:
    """The description of a notebook on Kaggle; see `write_kernel_metadata`."""
    plan, owner = notebook.plan, user or UNKNOWN_USER
    data_sets = [f"{owner}/{data_set_slug(notebook.attached)}"] if notebook.attached else []
    slug = re.sub(r"[^a-z0-9]+", "-", plan.run_id.lower())[-50:].strip("-")
    practice = plan.competition.startswith("practice/")
    said = {
        "id": f"{owner}/{slug}",
        "title": slug,
        "code_file": file_name,
        "language": "python",
        "kernel_type": "notebook",
        "is_private": True,
        "enable_gpu": plan.gpu is not None,
        "enable_internet": True,
        "dataset_sources": data_sets,
        "competition_sources": [] if practice else [plan.competition.removeprefix("kaggle/")],
        "kernel_sources": [],
    }
    return said | ({"machine_shape": KAGGLE_MACHINES[plan.gpu]} if plan.gpu else {})


def _digest(plan: NotebookPlan, carried: Carried) -> str:
    """Tells notebooks from each other by what they train: the same work goes on in a notebook that is made again."""
    said = [plan.work, plan.competition, carried.config, carried.card, carried.hooks]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:8]


def _payload(plan: NotebookPlan, carried: Carried, lock: str) -> str:
    name, wheel = carried_wheel(lock)
    at = PlanFiles(Path())
    texts: Mapping[Path, str | None] = {
        at.plan: json.dumps(plan.to_dict(), indent=2) + "\n",
        at.config: carried.config,
        at.competition.card: carried.card,
        at.competition.hooks: carried.hooks,
        at.competition.manifest: carried.manifest,
    }
    files = {path.as_posix(): text.encode() for path, text in texts.items() if text is not None}
    packed = base64.b85encode(lzma.compress(stored_zip({**files, name: wheel}))).decode()
    return "\n".join(textwrap.wrap(packed, _LINE_LENGTH, break_on_hyphens=False))


def _cells(plan: NotebookPlan, carried: Carried, payload: str, attaches: bool) -> list[Any]:
    platform = find_platform(plan.platform)
    folder = str(platform.local / "plan")
    code = inspect.getsource(bootstrap)
    install = f"{code}\n\ninstall(PAYLOAD, {folder!r}, {plan.packages!r})\n"
    hidden = {"jupyter": {"source_hidden": True}, "cellView": "form", "_kg_hide-input": True}
    embedded = f'# @title kagglerun, packed\nPAYLOAD = """\n{payload}\n"""'
    connect = f"from kagglerun.notebooks.kernel import connect\n\nsession = connect({folder!r})"
    return [
        nbformat.v4.new_markdown_cell(_introduction(plan, carried, attaches)),  # type: ignore[no-untyped-call]
        _code(finding_cell(payload, platform.inputs) if attaches and platform.inputs else embedded, hidden),
        _code(f"# @title install\n{install}", hidden),
        _code(connect, {}),
        _code("session.work()", {}),
    ]


def _code(source: str, metadata: Mapping[str, Any]) -> Any:
    return nbformat.v4.new_code_cell(source, metadata=dict(metadata))  # type: ignore[no-untyped-call]


def _introduction(plan: NotebookPlan, carried: Carried, attaches: bool) -> str:
    platform = find_platform(plan.platform)
    steps = _colab_steps(plan) if plan.platform == "colab" else _kaggle_steps(plan, attaches)
    doing = "Sweeps" if plan.work == "sweep" else "Trains"
    return "\n".join(
        [
            f"# {plan.run_id}",
            "",
            f"{doing} one config on the competition `{plan.competition}` with kagglerun. What follows is all it needs; "
            "no secret is in it.",
            "",
            *[f"{number}. {step}" for number, step in enumerate(steps, start=1)],
            "",
            f"The session lives {plan.hours:g} hours at most; the notebook saves and stops {platform.spare_minutes:g} "
            f"minutes before. To go on: {platform.go_on}. The result has the same bits as without the break.",
            "",
            "```yaml",
            carried.config.rstrip(),
            "```",
        ]
    )


def _colab_steps(plan: NotebookPlan) -> list[str]:
    steps = ["Open it in Colab (File > Upload notebook)."]
    if plan.gpu:
        steps.append(f"Runtime > Change runtime type: {plan.gpu} GPU.")
    if not plan.competition.startswith("practice/"):
        steps.append(
            "The key at the left (Secrets): add `KAGGLE_API_TOKEN` (kaggle.com > Settings > API), with access for this "
            "notebook. `KAGGLE_USERNAME` and `KAGGLE_KEY` serve as well."
        )
    return [
        *steps,
        "Runtime > Run all, and allow it your Drive: checkpoints and results are kept in its folder kagglerun.",
    ]


def _kaggle_steps(plan: NotebookPlan, attaches: bool) -> list[str]:
    first = ["`kaggle datasets create -p FOLDER/data-set`: kagglerun itself, once."] if attaches else []
    steps = [
        *first,
        "`kaggle kernels push -p FOLDER` with the folder it is in, or Create > New Notebook > File > Import.",
    ]
    settings = f"Settings: accelerator {plan.gpu or 'none'}" + ("" if plan.packages == "platform" else ", internet on")
    steps.append(f"{settings}, persistence of files.")
    if not plan.competition.startswith("practice/"):
        steps.append(f"Add Input: the competition `{plan.competition}`, whose rules you have accepted.")
    return [*steps, "Save Version > Save & Run All: it runs to its end without a browser."]


def _metadata(plan: NotebookPlan) -> dict[str, Any]:
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    language = {"language_info": {"name": "python"}}
    if plan.platform == "colab":
        own: dict[str, Any] = {"colab": {"provenance": []}}
        own |= {"accelerator": "GPU"} if plan.gpu else {}
        if plan.gpu:
            own["colab"]["gpuType"] = plan.gpu
    else:
        shape = {"accelerator": "nvidiaTeslaT4" if plan.gpu == "T4" else (plan.gpu or "none")}
        own = {"kaggle": {**shape, "isGpuEnabled": plan.gpu is not None, "isInternetEnabled": True}}
    return {**kernel, **language, **own}


def check_gpu(platform: str, gpu: str | None) -> None:
    """Refuse a GPU that the platform does not have.

    Raises:
        ConfigError: it does not; the message lists those that it has.
    """
    if gpu is not None and gpu not in GPUS[platform]:
        known = ", ".join((*GPUS[platform], "none"))
        raise ConfigError(f"{find_platform(platform).title} has no GPU {gpu!r}; it has {known}", hint="--gpu T4")


def dump(path: Path, notebook: str) -> None:
    """Write the notebook in one step."""
    write_text(path, notebook)
