"""The config that a run is made with, written down once; whoever goes on with the run must have the same."""

from __future__ import annotations

from kagglerun.config.differences import as_changes, flat
from kagglerun.config.load import load_config, save_config
from kagglerun.config.schema import Config
from kagglerun.errors import ConfigError
from kagglerun.files import read_json
from kagglerun.workspace import RunPaths


def is_finished(paths: RunPaths) -> bool:
    """Whether a run has ended well."""
    return paths.metrics.exists() and paths.status.exists() and read_json(paths.status)["state"] == "FINISHED"


def freeze(paths: RunPaths, config: Config) -> None:
    """Write the config into the run's folder, or check that it is the one that stands there.

    Raises:
        ConfigError: another config stands there.
    """
    if not paths.config.exists():
        save_config(paths.config, config)
        return
    before = load_config(paths.config)
    if before != config:
        old, new = (flat(each.model_dump(mode="json")) for each in (before, config))
        differing = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        raise ConfigError(
            f"the run {paths.run_id} was made with another config: {as_changes(old, new, differing)}",
            hint=f"take another id for a new run, or go on with {paths.config}",
        )
