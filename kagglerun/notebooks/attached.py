"""A notebook's payload as a data set on Kaggle, for when it is too large to stand in the notebook."""

from __future__ import annotations

import hashlib
from pathlib import Path

from kagglerun.files import write_json, write_text
from kagglerun.notebooks.keep import MOUNTS

MOST_EMBEDDED_BYTES = 950_000
"""Kaggle is said to refuse notebooks of more than 1 MB (its users' reports; not measured); Colab takes far more."""
UNKNOWN_USER = "INSERT_YOUR_USER_NAME"
_FIND = """\
# @title kagglerun, attached
from pathlib import Path

found = [path for mount in {mounts!r} for path in Path({inputs!r}).glob(mount + {name!r})]
if not found:
    raise SystemExit("Add Input: the data set {slug}, which kagglerun notebook wrote beside this notebook")
PAYLOAD = found[-1].read_text()
"""


def payload_name(payload: str) -> str:
    """Name of the file that holds a payload; another payload has another one."""
    return f"kagglerun-{hashlib.sha256(payload.encode()).hexdigest()[:12]}.txt"


def data_set_slug(payload: str) -> str:
    """Slug and title of the data set that holds a payload."""
    return payload_name(payload).removesuffix(".txt")


def finding_cell(payload: str, inputs: Path) -> str:
    """Source of the cell that reads the payload where Kaggle mounts data sets.

    Args:
        payload: the payload.
        inputs: /kaggle/input.
    """
    return _FIND.format(
        inputs=str(inputs),
        mounts=[f"{mount}/" for mount in MOUNTS],
        name=payload_name(payload),
        slug=data_set_slug(payload),
    )


def write_data_set(folder: Path, payload: str, user: str | None) -> None:
    """Write what `kaggle datasets create -p FOLDER` takes.

    Args:
        folder: where to.
        payload: the payload.
        user: the user's name on Kaggle; None leaves a place to fill in.
    """
    slug = data_set_slug(payload)
    write_text(folder / payload_name(payload), payload)
    said = {"title": slug, "id": f"{user or UNKNOWN_USER}/{slug}", "licenses": [{"name": "other"}]}
    write_json(folder / "dataset-metadata.json", said)
