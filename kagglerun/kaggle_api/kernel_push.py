"""Pushing a notebook ("kernel" in Kaggle's API), once: after a lost reply or a kill it is looked for on the server."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kagglerun.errors import ConnectionFailed, KernelFailed
from kagglerun.files import read_json, sha256_of_json, write_json
from kagglerun.kaggle_api.client import KaggleClient
from kagglerun.kaggle_api.kernels import KIND, KernelVersion
from kagglerun.kaggle_api.owned import NotThere, about, ask_owned, user_of

KERNEL_METADATA = "kernel-metadata.json"
_READ_BACK_SECONDS = (0.0, 2.0, 5.0, 10.0)
_SETTINGS = ("enable_gpu", "enable_internet", "machine_shape")
_SOURCES = ("dataset", "competition", "kernel", "model")


@dataclass(frozen=True)
class _Push:
    """What is pushed: the notebook in the form that the official client sends, and its description."""

    ref: str
    text: str
    said: dict[str, Any]
    depends: str

    @property
    def cells(self) -> list[list[str]]:
        """What the notebook does; servers may write the rest in their own way."""
        return cells_of(self.text)

    @property
    def digest(self) -> str:
        """Tells pushes from each other: its cells, its settings, what it reads."""
        kept = [name for name in self.said if name in _SETTINGS or name.endswith("_sources")]
        return sha256_of_json([self.ref, self.cells, {name: self.said[name] for name in kept}, self.depends])


def push_kernel(client: KaggleClient, folder: Path, *, memory: Path | None = None, depends: str = "") -> KernelVersion:
    """Push a notebook, which then runs there; the same one is pushed once.

    Args:
        client: where to.
        folder: kernel-metadata.json and the notebook.
        memory: a file that remembers what was pushed, written before and after; without it each call pushes.
        depends: digest of what it reads: the same notebook with other data is pushed again.

    Raises:
        KernelFailed: the server did not take it, or lacks one of its inputs.
        ConnectionFailed: it is not known whether it arrived; the same command looks, where it has a memory.
        KaggleError: the server refused, or could not be reached.
    """
    push = _read_push(client, folder, depends)
    current = _current(client, push.ref)
    known = _known(push, current, memory)
    if known is not None:
        _remember(memory, push, "pushed", known)
        return KernelVersion(push.ref, known, pushed=False)
    before = current[0] if current else 0
    _remember(memory, push, "pushing", before)
    version = _save(client, push, before)
    _remember(memory, push, "pushed", version)
    return KernelVersion(push.ref, version)


def cells_of(text: str) -> list[list[str]]:
    """Kind and source of each cell; empty for what is no notebook."""
    try:
        cells = json.loads(text)["cells"]
        return [[cell["cell_type"], "".join(cell["source"])] for cell in cells]
    except (ValueError, KeyError, TypeError):
        return []


def _read_push(client: KaggleClient, folder: Path, depends: str) -> _Push:
    said: dict[str, Any] = read_json(folder / KERNEL_METADATA)
    user = user_of(client)
    said["dataset_sources"] = [_owned_by(user, source) for source in said.get("dataset_sources", [])]
    body = json.loads((folder / said["code_file"]).read_text("utf-8"))
    for cell in body["cells"]:
        cell["source"] = "".join(cell["source"])
        if cell["cell_type"] == "code":
            cell["outputs"] = []
    return _Push(f"{user}/{str(said['id']).split('/')[-1]}", json.dumps(body), said, depends)


def _owned_by(user: str, source: str) -> str:
    """A data set whose owner was not known when the description was written is the user's own."""
    owner, _, slug = source.partition("/")
    return f"{user}/{slug}" if owner.startswith("INSERT_") else source


def _known(push: _Push, current: tuple[int, str] | None, memory: Path | None) -> int | None:
    """The version that this push made before, where it is the newest one; None where it must be made."""
    if memory is None or current is None or not memory.is_file():
        return None
    kept = read_json(memory)
    version, text = current
    if kept.get("digest") != push.digest or cells_of(text) != push.cells:
        return None
    number = int(kept.get("version", 0))
    made = number == version if kept.get("state") == "pushed" else number < version
    return version if made else None


def _remember(memory: Path | None, push: _Push, state: str, version: int) -> None:
    """`version` is what was the newest before, while the state is "pushing"."""
    if memory is not None:
        write_json(memory, {"ref": push.ref, "digest": push.digest, "state": state, "version": version})


def _save(client: KaggleClient, push: _Push, before: int) -> int:
    try:
        said = ask_owned(
            client,
            KIND,
            push.ref,
            lambda kaggle: kaggle.kernels.kernels_api_client.save_kernel(_request(push)),
            tries=1,
        )
    except ConnectionFailed:
        for wait in _READ_BACK_SECONDS:
            time.sleep(wait)
            current = _current(client, push.ref)
            if current is not None and current[0] > before and cells_of(current[1]) == push.cells:
                return current[0]
        raise
    server = about(client, KIND, push.ref).server
    if said.error:
        raise KernelFailed(f"{server} did not take the notebook {push.ref}: {said.error}")
    missing = [one for kind in _SOURCES for one in getattr(said, f"invalid_{kind}_sources") or ()]
    if missing:
        raise KernelFailed(
            f"{server} runs the notebook {push.ref} without an input that it needs: {', '.join(missing)}",
            hint="accept the competition's rules; see whether the data set is ready; then run the same command again",
        )
    return int(said.version_number or before + 1)


def _request(push: _Push) -> Any:
    from kagglesdk.kernels.types.kernels_api_service import ApiSaveKernelRequest

    said, request = push.said, ApiSaveKernelRequest()
    request.slug = push.ref
    request.new_title = said.get("title")
    request.text = push.text
    request.language = said.get("language", "python")
    request.kernel_type = said.get("kernel_type", "notebook")
    request.is_private = bool(said.get("is_private", True))
    request.enable_gpu = bool(said.get("enable_gpu", False))
    request.enable_internet = bool(said.get("enable_internet", False))
    for kind in _SOURCES:
        setattr(request, f"{kind}_data_sources", list(said.get(f"{kind}_sources", [])))
    if said.get("machine_shape"):
        request.machine_shape = said["machine_shape"]
    return request


def _current(client: KaggleClient, ref: str) -> tuple[int, str] | None:
    """Number and text of a notebook's newest version; None where there is no such notebook."""
    from kagglesdk.kernels.types.kernels_api_service import ApiGetKernelRequest

    request = ApiGetKernelRequest()
    request.user_name, request.kernel_slug = ref.split("/")
    try:
        said = ask_owned(client, KIND, ref, lambda kaggle: kaggle.kernels.kernels_api_client.get_kernel(request))
    except NotThere:
        return None
    return int(said.metadata.current_version_number or 0), str(said.blob.source or "")
