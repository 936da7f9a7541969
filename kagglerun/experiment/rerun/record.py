"""What a run's folder keeps so that the run can be made again: card, hooks, data manifest, config and code."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kagglerun.config.schema import Config
from kagglerun.experiment.rerun.code_state import CodeState, code_state, uncommitted_changes
from kagglerun.files import read_json, write_bytes, write_json, write_text
from kagglerun.kaggle_api.manifest import Manifest, ManifestFile, read_manifest
from kagglerun.workspace import CompetitionPaths, RunPaths, Workspace

_SAME_WHEREVER = ("packages", "device", "python", "threads")


@dataclass(frozen=True)
class Record:
    """What stood when a run began.

    Attributes:
        config: the resolved config, as JSON has it.
        code: the package and the commits.
        start_weights: digest of the file that the model starts from; None without one.
        resumed: environments and code that later attempts met and that differ from the first.
    """

    config: dict[str, Any]
    code: CodeState
    start_weights: str | None
    resumed: tuple[dict[str, Any], ...] = ()


def write_record(
    workspace: Workspace, run: RunPaths, competition: CompetitionPaths, config: Config, start_weights: str | None
) -> None:
    """Copy card and hooks, and write manifest, diff and record.json, the last as proof that all are there.

    Args:
        workspace: its repository is asked for commit and changes.
        run: the run's folder.
        competition: where card, hooks and data are.
        config: the resolved config.
        start_weights: digest of the file that the model starts from.
    """
    write_bytes(run.card, competition.card.read_bytes())
    if competition.hooks.is_file():
        write_bytes(run.hooks, competition.hooks.read_bytes())
    _write_manifest(run, read_manifest(competition))
    state = code_state(workspace)
    changes = uncommitted_changes(workspace, state)
    if changes:
        write_text(run.diff, changes)
    saved = {"config": config.model_dump(mode="json"), "code": state.to_dict(), "start_weights": start_weights}
    write_json(run.record, saved)


def note_resume(run: RunPaths, fingerprint: Mapping[str, str], environment: Mapping[str, Any]) -> None:
    """Write down that a run goes on by other code or in another environment than it began with, if it does."""
    if not run.record.exists() or not run.environment.exists():
        return
    began: dict[str, Any] = read_json(run.environment)
    code = read_json(run.fingerprint)["code"]
    if _essence(began, code) == _essence(environment, fingerprint["code"]):
        return
    saved: dict[str, Any] = read_json(run.record)
    noted = saved.setdefault("resumed", [])
    now = _essence(environment, fingerprint["code"])
    if now not in noted:
        noted.append(now)
        write_json(run.record, saved)


def read_record(run: RunPaths) -> Record | None:
    """What stood when the run began; None for a run that kept no record."""
    if not run.record.exists():
        return None
    saved: dict[str, Any] = read_json(run.record)
    resumed = tuple(saved.get("resumed", ()))
    return Record(saved["config"], CodeState.from_dict(saved["code"]), saved["start_weights"], resumed)


def read_run_manifest(run: RunPaths) -> Manifest | None:
    """The competition's files as they were when the run began; None where the run kept none."""
    if not run.manifest.exists():
        return None
    saved = json.loads(gzip.decompress(run.manifest.read_bytes()))
    return Manifest(saved["source"], tuple(ManifestFile(*file) for file in saved["files"]))


def _write_manifest(run: RunPaths, manifest: Manifest) -> None:
    said = {"source": manifest.source, "files": [[file.name, file.bytes, file.sha256] for file in manifest.files]}
    write_bytes(run.manifest, gzip.compress(json.dumps(said).encode("utf-8"), mtime=0))


def _essence(environment: Mapping[str, Any], code: str) -> dict[str, Any]:
    return {**{name: environment.get(name) for name in _SAME_WHEREVER}, "code": code}
