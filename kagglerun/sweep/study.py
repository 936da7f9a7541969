"""What a study is: its spec, frozen when it begins, and what a later sweep must have in common to go on with it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from typing import Any

import yaml

from kagglerun.config.load import parse_config
from kagglerun.config.schema import Config, Section
from kagglerun.config.search import Parameter, parse_search
from kagglerun.config.settled import keep_settled
from kagglerun.errors import ConfigError
from kagglerun.files import write_text
from kagglerun.jobs.control import running_job
from kagglerun.sweep.database import studies_database
from kagglerun.sweep.limits import checked_proposals
from kagglerun.sweep.lock import locked_error, refuse_if_locked
from kagglerun.sweep.objective import EXPERIMENT, Experiment, Objective, load_objective
from kagglerun.sweep.settle_workers import settle_workers
from kagglerun.sweep.trials import read_trials
from kagglerun.sweep.warm_start import keep_earlier_trials
from kagglerun.workspace import StudyPaths, Workspace

_SHOWN_DIFFERENCES = 4
_LONGEST_NAME = 120
"""Its runs, jobs and artifacts add to it, and file systems take 255 bytes."""
CHANGEABLE = (
    "trials",
    "workers",
    "slots",
    "max_failures",
    "hours",
    "until",
    "gpu_hours",
    "keep",
    "finalists",
    "gpus_per_trial",
    "cpus_per_trial",
)
"""Keys of `sweep` that may change while a study goes on: they do not change what a trial is."""


class StudySpec(Section):
    """A study, frozen when it begins; what CHANGEABLE names may change later."""

    name: str
    """Name of the study; its runs are called <name>-<trial>."""
    slug: str
    """Its competition."""
    greater_is_better: bool
    """Direction of the values."""
    objective: str
    """Dotted path of what a trial does; see `kagglerun.sweep.objective`."""
    config: Config
    """The resolved base config, with the lag filled in."""

    @property
    def lag(self) -> int:
        """Trial n is proposed from trials 0..n-lag."""
        return self.config.sweep.lag or self.config.sweep.usual_lag

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """The search space; read once: each reading checks it against the schema."""
        return parse_search(self.config)

    def run_id(self, number: int) -> str:
        """Id of a trial's run."""
        return f"{self.name}-{number:04d}"


def prepare_study(
    workspace: Workspace, config: Config, *, new: bool = False, objective: str = EXPERIMENT
) -> tuple[StudyPaths, StudySpec]:
    """Check a config and make its study, or find the one that it goes on with.

    Args:
        workspace: where the study lives.
        config: as the user wrote it.
        new: begin another study even if one of this name exists.
        objective: dotted path of what a trial does.

    Raises:
        ConfigError: the config or its search space cannot be used, or a study of this name does something else.
        JobError: a coordinator works on the study now.
    """
    doer = load_objective(objective)
    slug = workspace.resolve_competition(config.competition)
    name = study_name(slug, config.name or "sweep")
    if len(name) > _LONGEST_NAME:
        raise ConfigError(
            f"the study's name has {len(name)} characters ({name[:40]}...), at most {_LONGEST_NAME} fit",
            hint="choose a shorter one with name=...",
        )
    if new:
        name = _free_name(workspace, slug, name)
    paths = workspace.study(slug, name)
    before = read_spec(paths) if paths.spec.exists() else None
    config = _with_workers(workspace, slug, doer, config)
    spec = _resolved_spec(workspace, name, slug, doer, objective, _filled_in(config, before))
    if before is None:
        _check_runs_are_free(workspace, spec)
    else:
        _check_same_study(before, spec)
    _refuse_if_worked_on(workspace, paths)
    studies_database(workspace, name)  # an address that cannot be one is told now, not in the job's log
    if before is None and spec.config.sweep.warm_start:
        earlier = [_earlier_study(workspace, slug, named) for named in spec.config.sweep.warm_start]
        keep_earlier_trials(paths, spec, [(read_spec(source), read_trials(source)) for source in earlier])
    if spec != before:
        write_text(paths.spec, yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False, allow_unicode=True))
    return paths, spec


def coordinator_argv(paths: StudyPaths) -> list[str]:
    """What a job runs to work on a study."""
    return ["kagglerun.sweep.coordinator", paths.slug, paths.name]


def _refuse_if_worked_on(workspace: Workspace, paths: StudyPaths) -> None:
    """A job that has just been started does not hold the lock yet."""
    job = running_job(workspace, coordinator_argv(paths))
    if job:
        raise locked_error(paths, job.job_id, job.pid)
    refuse_if_locked(paths)


def study_name(slug: str, name: str) -> str:
    """Name of a study: unique over competitions, and fit for a folder."""
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "sweep"
    return readable if readable == slug or readable.startswith(f"{slug}-") else f"{slug}-{readable}"


def _earlier_study(workspace: Workspace, slug: str, name: str) -> StudyPaths:
    """A study that `sweep.warm_start` names, with or without the competition's slug before its name."""
    paths = workspace.study(slug, name)
    return paths if paths.spec.exists() else workspace.study(slug, study_name(slug, name))


def read_spec(paths: StudyPaths) -> StudySpec:
    """Read a study's spec.

    Raises:
        ConfigError: there is none, or it is damaged.
    """
    try:
        values = yaml.safe_load(paths.spec.read_text("utf-8"))
        config = parse_config(values.pop("config"), str(paths.spec))
        return StudySpec(config=config, **values)
    except FileNotFoundError:
        raise ConfigError(f"there is no study {paths.name} of {paths.slug}", hint="kagglerun sweep") from None
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise ConfigError(f"{paths.spec} is damaged: {error}", hint="begin another study with --new") from error


def _with_workers(workspace: Workspace, slug: str, doer: Objective, config: Config) -> Config:
    """The config with numbers for workers and slots, as this machine's GPUs are now."""

    @cache
    def resolved() -> Config:
        alone = config.sweep.model_copy(update={"workers": 1, "slots": 1})
        return doer.resolve(workspace, config.model_copy(update={"competition": slug, "sweep": alone}))

    def uses_gpu() -> bool:
        from kagglerun.experiment.trial_memory import uses_gpu

        return isinstance(doer, Experiment) and uses_gpu(resolved())

    def need_bytes() -> int | None:
        from kagglerun.experiment.trial_memory import gpu_bytes_of_run

        return gpu_bytes_of_run(workspace, resolved())

    return settle_workers(config, uses_gpu, need_bytes)


def _filled_in(config: Config, before: StudySpec | None) -> Config:
    """The config with the lag and what was settled, where the user left them open, of the study that exists.

    So a study can go on with another number of workers, or on another machine.
    """
    lag = config.sweep.lag or (before.lag if before else config.sweep.usual_lag)
    config = keep_settled(config, before.config) if before else config
    return config.model_copy(update={"sweep": config.sweep.model_copy(update={"lag": lag})})


def _resolved_spec(
    workspace: Workspace, name: str, slug: str, doer: Objective, objective: str, config: Config
) -> StudySpec:
    if not config.sweep.search:
        raise ConfigError(
            "the config has no sweep.search, so there is nothing to vary",
            hint="sweep.search: {optimizer.lr: {low: 1e-5, high: 1e-2, log: true}}    or: kagglerun train",
        )
    parse_search(config)  # before the data is read: the user's typing errors first
    resolved = doer.resolve(workspace, config.model_copy(update={"competition": slug}))
    resolved = checked_proposals(resolved)
    direction = doer.greater_is_better(workspace, resolved)
    return StudySpec(name=name, slug=slug, greater_is_better=direction, objective=objective, config=resolved)


def _free_name(workspace: Workspace, slug: str, name: str) -> str:
    number = 2
    candidate = name
    while workspace.study(slug, candidate).spec.exists() or _first_run(workspace, slug, candidate):
        candidate = f"{name}-{number}"
        number += 1
    return candidate


def _first_run(workspace: Workspace, slug: str, name: str) -> str | None:
    pattern = re.compile(re.escape(name) + r"-\d{4,}")
    return next((run.run_id for run in workspace.all_runs(slug) if pattern.fullmatch(run.run_id)), None)


def _check_runs_are_free(workspace: Workspace, spec: StudySpec) -> None:
    taken = _first_run(workspace, spec.slug, spec.name)
    if taken:
        raise ConfigError(
            f"the run {taken} of an earlier study {spec.name} exists, but not the study's record",
            hint="choose another name with name=..., or add --new",
        )


def _check_same_study(before: StudySpec, spec: StudySpec) -> None:
    old, new = _identity(before), _identity(spec)
    differing = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    if differing:
        shown = ", ".join(f"{key} ({old.get(key)} -> {new.get(key)})" for key in differing[:_SHOWN_DIFFERENCES])
        more = f" and {len(differing) - _SHOWN_DIFFERENCES} more" if len(differing) > _SHOWN_DIFFERENCES else ""
        raise ConfigError(
            f"a study {before.name} exists, and it differs from this config in {shown}{more}",
            hint="choose another name with name=..., or add --new to begin a new study",
        )


def _identity(spec: StudySpec) -> dict[str, Any]:
    """Dotted keys of all that makes a study what it is."""
    values = spec.model_dump(mode="json")
    del values["config"]["name"]
    for changeable in CHANGEABLE:
        del values["config"]["sweep"][changeable]
    search = values["config"]["sweep"].pop("search")
    flat = dict(_flattened(values.pop("config"), ""))
    return {**values, **flat, **{f"sweep.search.{key}": entry for key, entry in search.items()}}


def _flattened(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
