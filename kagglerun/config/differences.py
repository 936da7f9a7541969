"""In which keys two configs differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SHOWN = 5


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted key to value, of nested mappings."""
    made: dict[str, Any] = {}
    for key, value in values.items():
        made.update(flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) and value else {prefix + key: value})
    return made


def as_changes(old: Mapping[str, Any], new: Mapping[str, Any], keys: list[str]) -> str:
    """`training.epochs 5 -> 6, ...` for these keys of flat mappings."""
    shown = [f"{key} {old.get(key)!r} -> {new.get(key)!r}" for key in keys[:_SHOWN]]
    return ", ".join([*shown, "..."] if len(keys) > _SHOWN else shown)
