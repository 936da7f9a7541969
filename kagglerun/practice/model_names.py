"""Names of models: owner/model/framework/instance, with a framework that is written in several ways."""

from __future__ import annotations


def framework_of(text: str) -> str:
    """One spelling of a framework: `MODEL_FRAMEWORK_PY_TORCH`, `pyTorch` and `PyTorch` are all `pytorch`."""
    return text.removeprefix("MODEL_FRAMEWORK_").replace("_", "").casefold()


def instance_of(source: str) -> tuple[str, int | None]:
    """The instance and version that a notebook names as a source: owner/model/framework/instance[/version]."""
    owner, model, framework, instance, *rest = source.split("/")
    return f"{owner}/{model}/{framework_of(framework)}/{instance}", int(rest[0]) if rest else None
