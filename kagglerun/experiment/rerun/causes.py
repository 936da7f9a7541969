"""Why a run made again may differ: what has changed since it began, and what can be expected then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kagglerun.config.differences import as_changes, flat
from kagglerun.experiment.fingerprint import digest_of_package
from kagglerun.experiment.prepare import Prepared
from kagglerun.experiment.rerun.code_state import CodeState
from kagglerun.experiment.rerun.record import Record
from kagglerun.hooks import digest_of_hooks
from kagglerun.kaggle_api.manifest import Manifest

_WITHOUT_INFLUENCE = ("optuna", "mlflow")
_SHOWN = 5
# Measured on one processor with AVX-512 and with the plain instructions instead: the first epoch's losses agree to 6
# digits; predictions to 1e-7 after 60 epochs of a small table net, to 0.004 after 30 of a small image net.
_ELSEWHERE = (
    "bits are equal only on the same model of processor or GPU, with the same versions and threads. Elsewhere sums are "
    "taken in another order: data and folds must be equal, losses of the first epoch agree to 5 digits or so, and the "
    "difference grows with the updates: predictions of a table net stay within about 1e-6, of an image net within 0.01"
)


@dataclass(frozen=True)
class Began:
    """What a run depended on when it began.

    Attributes:
        fingerprint: see `experiment.fingerprint`.
        environment: see `describe_environment`.
        record: config and code; None for a run that kept no record.
    """

    fingerprint: Mapping[str, str]
    environment: Mapping[str, Any]
    record: Record | None


def changed_files(before: Manifest, now: Manifest) -> tuple[str, ...]:
    """Names of a competition's files that came, went or have other content."""
    old, new = ({file.name: file.sha256 for file in manifest.files} for manifest in (before, now))
    return tuple(name for name in sorted({*old, *new}) if old.get(name) != new.get(name))


def what_changed(began: Began, now: Prepared, hooks: Path, code: CodeState) -> list[str]:
    """Everything that results depend on and that is not as it was, one sentence each, the likeliest cause first.

    Args:
        began: what stood when the run began.
        now: the run made ready again.
        hooks: the hooks.py that the rerun takes.
        code: the package as it is now.
    """
    return [
        *_config(began, now),
        *hooks_changed(began, hooks),
        *_metric(began, now),
        *package_changed(began, code),
        *_environment(began, now),
        *_resumed(began),
    ]


def on_same_machine(began: Began, environment: Mapping[str, Any]) -> bool:
    """Whether processor or GPU, its instructions, threads and versions are those of the run."""
    return not [*_machine(began.environment, environment), *_versions(began.environment, environment)]


def expectation(began: Began, now: Prepared) -> str:
    """What can be expected of a rerun here, in one or two sentences."""
    if not now.config.training.deterministic:
        return "training.deterministic is false: bits cannot be expected, even on the same machine"
    if on_same_machine(began, now.environment):
        return "same processor or GPU, versions and threads as the run: every bit is expected to be equal"
    return _ELSEWHERE


def _config(began: Began, now: Prepared) -> Iterator[str]:
    record = began.record
    if record is None:
        if began.fingerprint.get("config") != now.fingerprint.config:
            yield "config.yaml is not the one that the run began with, or the schema has changed"
        return
    old, new = flat(record.config), flat(now.config.model_dump(mode="json"))
    without_influence = ("name", "sweep")
    changed = [key for key in sorted({*old, *new}) if key in old and key in new and old[key] != new[key]]
    changed = [key for key in changed if not key.startswith(without_influence)]
    if changed:
        yield f"config.yaml in the run's folder was edited: {as_changes(old, new, changed)}"
    if record.start_weights != now.start_weights:
        yield "the file that the weights start from (model.weights) has other content"


def hooks_changed(began: Began, hooks: Path) -> list[str]:
    """One sentence where the hooks that a rerun takes are not those that the run began with."""
    if (digest_of_hooks(hooks) or "none") == began.fingerprint.get("hooks"):
        return []
    return ["hooks.py in the run's folder was edited" if began.record else "the competition's hooks.py has changed"]


def _metric(began: Began, now: Prepared) -> Iterator[str]:
    old, new = began.fingerprint, now.fingerprint.to_dict()
    if old.get("metric") != new["metric"]:
        yield f"the metric is {new['metric']}, it was {old.get('metric')}"
    elif all(old.get(part) == new[part] for part in ("data", "folds")) and old.get("comparable") != new["comparable"]:
        yield "the code of the competition's own metric has changed"


def package_changed(began: Began, code: CodeState) -> list[str]:
    """One sentence where the package is not the one that the run began with."""
    if began.record is None:
        return [] if began.fingerprint.get("code") == digest_of_package() else ["the package's code has changed"]
    old = began.record.code
    changed = [name for name in sorted({*old.files, *code.files}) if old.files.get(name) != code.files.get(name)]
    if not changed:
        return []
    where = f", commit {old.package.commit[:12]} -> {code.package.commit[:12]}" if old.package and code.package else ""
    return [f"the package's code has changed ({old.version} -> {code.version}{where}): {_listed(changed)}"]


def _environment(began: Began, now: Prepared) -> Iterator[str]:
    yield from _versions(began.environment, now.environment)
    yield from _machine(began.environment, now.environment)


def _versions(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    before, after = old.get("packages", {}), new["packages"]
    pairs = {name: (before.get(name), after.get(name)) for name in after if name in before}
    pairs |= {name: (old[name], new[name]) for name in ("python", "cuda", "cudnn") if name in old}
    for name, (was, is_now) in pairs.items():
        if was != is_now and name not in _WITHOUT_INFLUENCE:
            yield f"{name} {was} -> {is_now}"


def _machine(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    words = {"device": "another processor or GPU", "vector_instructions": "other vector instructions"}
    words["threads"] = "another number of threads"
    for name, what in words.items():
        if name in old and old[name] != new.get(name):
            yield f"{what}: {old[name]} -> {new.get(name)}"


def _resumed(began: Began) -> Iterator[str]:
    for other in began.record.resumed if began.record else ():
        parts = [*_versions(began.environment, {**began.environment, **other})]
        parts += _machine(began.environment, {**began.environment, **other})
        if other["code"] != began.fingerprint.get("code"):
            parts.append("other code of the package")
        yield f"the run itself was resumed under other conditions: {'; '.join(parts)}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
