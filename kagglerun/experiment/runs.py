"""The runs of a workspace, read from their small files only: no pandas, no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

from kagglerun.errors import DataError
from kagglerun.files import read_json, sha256_of_json
from kagglerun.workspace import RunPaths, Workspace

_YamlLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's, where PyYAML has it: seven times as fast."""
_NO_RECIPE = ("name", "seed", "sweep")
_NO_RECIPE_WITHIN = (("cv", "seed"), ("training", "cpu_threads"))


@dataclass(frozen=True)
class RunSummary:
    """What is known of a run at a glance.

    Attributes:
        run_id: its id.
        slug: its competition.
        state: RUNNING, FINISHED, PRUNED, FAILED or KILLED.
        metric: name of the metric; None before the run is finished.
        greater_is_better: direction of the metric.
        score: the metric over the out-of-fold predictions.
        fold_scores: the metric of each fold; of a pruned run, of those that it has.
        model: model kind and, for images, the model's name.
        study: the study it is a trial of, or None.
        rerun: which rerun of that trial it is, with another seed and another split, counted from 1; None: the trial.
        started: ISO 8601, UTC.
        seconds: time over all folds.
        error: why it failed.
        stopped: why it was stopped early, when pruned.
        public_score: the last score that came back from the competition.
        recipe: digest of its config without the seeds: runs of one recipe differ in nothing but their seed; None where
            the config cannot tell, and for ensembles.
        seeds: seed of the training, and of the folds.
        fingerprint: see `experiment.fingerprint`; empty before the data was read.
    """

    run_id: str
    slug: str
    state: str
    metric: str | None
    greater_is_better: bool | None
    score: float | None
    fold_scores: tuple[float, ...]
    model: str
    study: str | None
    rerun: int | None
    started: str | None
    seconds: float | None
    error: str | None
    stopped: str | None
    public_score: float | None
    recipe: str | None
    seeds: tuple[int | None, int | None]
    fingerprint: dict[str, str]

    @property
    def comparable(self) -> str | None:
        """Runs compare only where this is equal and not None."""
        return self.fingerprint.get("comparable")

    @property
    def original(self) -> str:
        """Id of the run that this is a rerun of; its own where it is none."""
        return self.run_id if self.rerun is None else self.run_id.removesuffix(f"-r{self.rerun}")


def list_runs(workspace: Workspace, slug: str | None = None) -> list[RunSummary]:
    """All runs, of one competition or of all, oldest first."""
    summaries = [summarise(run) for run in workspace.all_runs(slug)]
    return sorted(summaries, key=lambda run: (run.started or "", run.run_id))


def summarise(run: RunPaths) -> RunSummary:
    """Read one run's small files; what is not written yet is None."""
    metrics, status = _optional(run, "metrics"), _optional(run, "status")
    pruned = _optional(run, "pruned") if status.get("state") == "PRUNED" else {}
    config = _config(run)
    return RunSummary(
        run_id=run.run_id,
        slug=run.slug,
        state=status.get("state", "RUNNING"),
        metric=metrics.get("metric"),
        greater_is_better=metrics.get("greater_is_better"),
        score=metrics.get("score"),
        fold_scores=tuple((metrics or pruned).get("fold_scores", ())),
        model=_model_text(config),
        study=status.get("study"),
        rerun=int(status["rerun"]) if status.get("rerun") else None,
        started=status.get("started"),
        seconds=(metrics or pruned).get("seconds"),
        error=status.get("error"),
        stopped=pruned.get("reason"),
        public_score=_public_score(run),
        recipe=None if run.ensemble.is_file() else _recipe(config),
        seeds=(_at(config, "seed"), _at(config.get("cv"), "seed")),
        fingerprint=_optional(run, "fingerprint"),
    )


def _optional(run: RunPaths, name: str) -> dict[str, Any]:
    path = getattr(run, name)
    try:
        return dict(read_json(path))
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{path} is damaged: {error}", hint=f"put it back as it was, or remove the run: rm -r {run.folder}"
        ) from error


def _config(run: RunPaths) -> dict[str, Any]:
    """The frozen config, which says all, so it is not checked again: thousands are read. Empty where it is damaged."""
    try:
        found = _YamlLoader(run.config.read_bytes()).get_single_data()
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, dict) else {}


def _model_text(config: dict[str, Any]) -> str:
    """Kind and name of the model; a question mark for a config of a version with other keys."""
    kind, name = _at(config.get("model"), "kind"), _at(config.get("model"), "name")
    return "?" if kind is None else f"{kind} {name}" if name else str(kind)


def _at(section: Any, key: str) -> Any:
    return section.get(key) if isinstance(section, dict) else None


def _recipe(config: dict[str, Any]) -> str | None:
    """Digest of what the config trains, whatever the seeds; see `RunSummary.recipe`."""
    if not isinstance(config.get("model"), dict):
        return None
    kept = {key: value for key, value in config.items() if key not in _NO_RECIPE}
    for section, key in _NO_RECIPE_WITHIN:
        if isinstance(kept.get(section), dict):
            kept[section] = {name: value for name, value in kept[section].items() if name != key}
    try:
        return sha256_of_json(kept)
    except (TypeError, ValueError):
        return None  # a free parameter of the hooks that JSON does not know, such as a date


def _public_score(run: RunPaths) -> float | None:
    """The last public score in submissions.jsonl."""
    import json

    if not run.submissions.exists():
        return None
    scores = [json.loads(line).get("public_score") for line in run.submissions.read_text("utf-8").splitlines()]
    known = [score for score in scores if score is not None]
    return float(known[-1]) if known else None
