"""What is settled on a machine when a config is resolved, and taken over when the run or study goes on elsewhere."""

from __future__ import annotations

from kagglerun.config.schema import Config

_AUTO = ("batch_size", "compile", "precision")


def keep_settled(config: Config, before: Config) -> Config:
    """The config with what the user left open as it was settled before.

    Args:
        config: as the user wrote it.
        before: the resolved config of the run or study that goes on.
    """
    kept: dict[str, object] = {
        name: getattr(before.training, name) for name in _AUTO if getattr(config.training, name) == "auto"
    }
    if config.training.cpu_threads is None:
        kept["cpu_threads"] = before.training.cpu_threads
    return config.model_copy(update={"training": config.training.model_copy(update=kept)})
