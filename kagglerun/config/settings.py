"""Settings of a workspace, .kagglerun/settings.yaml: what belongs to the machine and not to an experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, SecretStr, ValidationError

from kagglerun.config.section import Section
from kagglerun.errors import ConfigError, unknown_name


class Settings(Section):
    """What the file may say."""

    mlflow_uri: str | None = None
    """MLflow's server or database; `none` keeps the journal alone. KAGGLERUN_MLFLOW_URI goes before it."""
    studies_uri: str | None = None
    """A PostgreSQL that studies are copied to, without a password; KAGGLERUN_STUDIES_URL goes before it."""
    image_cache_gb: float | None = Field(None, gt=0)
    """Most that decoded images may take in the cache, in GB. Left out: half of what is free there or theirs already."""
    notify_command: str | None = None
    """The shell runs it when a job is done or failed, or a study has a new best: KAGGLERUN_EVENT and KAGGLERUN_TEXT say
    what, its standard input is the same as JSON."""
    notify_webhook: SecretStr | None = None
    """Address that gets the same as JSON (Slack, Discord, ntfy ...). KAGGLERUN_NOTIFY_WEBHOOK goes before it."""
    notify_on: tuple[Literal["done", "failed", "new best"], ...] = ("done", "failed", "new best")
    """What people are told of."""
    sync: str | None = None
    """Where each finished run is pushed to, in the background: s3://bucket/folder, gs://..., ssh://host/folder, or a
    folder; see `kagglerun sync`. Credentials are not part of it."""
    sync_weights: Literal["best", "all", "none"] = "best"
    """Whose weights are pushed with them."""


def load_settings(path: Path) -> Settings:
    """Read the settings; the defaults where there is no file.

    Raises:
        ConfigError: the file cannot be read, or holds something else.
    """
    if not path.is_file():
        return Settings()
    try:
        values = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must hold keys and values, e.g. mlflow_uri: ... or image_cache_gb: 50")
    for name in values:
        if name not in Settings.model_fields:
            raise unknown_name(f"key in {path}", str(name), Settings.model_fields)
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        value = "..." if key == "notify_webhook" else repr(first["input"])  # a secret
        raise ConfigError(f"{path}: {key} is {value}: {first['msg']}") from None
