"""Conditions of a search space: where an entry counts.

    when: model.kind == image
    when: model.name in [resnet18, resnet34] and training.epochs >= 10
    when: [optimizer.name == sgd, optimizer.momentum > 0]

All parts of a condition must hold. Numbers are compared as numbers (1e-3 is 0.001), all else as text. A condition
on an entry that itself has a condition holds only where that one holds too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from kagglerun.config.load import check_key, value_at, with_values
from kagglerun.config.schema import Config
from kagglerun.config.section import Section
from kagglerun.errors import ConfigError

_PART = re.compile(r"\s*([\w.]+)\s*(==|!=|<=|>=|<|>|\bin\b)\s*(\S.*?)\s*")
_AND = re.compile(r"\s+and(?:\s+|$)")
_KIND = "model.kind"


@dataclass(frozen=True)
class Comparison:
    """`key` compared with `values`.

    Attributes:
        key: of the config.
        operator: == != in < <= > >=
        values: what it is compared with; one value except for `in`.
    """

    key: str
    operator: str
    values: tuple[Any, ...]

    def holds(self, actual: Any) -> bool:
        """Whether it holds for a value of the key."""
        if isinstance(actual, Section) and actual.name_alone:
            actual = getattr(actual, actual.name_alone)
        if self.operator in ("==", "in"):
            return any(is_same(actual, value) for value in self.values)
        if self.operator == "!=":
            return not is_same(actual, self.values[0])
        number, bound = as_number(actual), as_number(self.values[0])
        if number is None or bound is None:
            return False
        return {"<": number < bound, "<=": number <= bound, ">": number > bound, ">=": number >= bound}[self.operator]

    def __str__(self) -> str:
        shown = f"[{', '.join(map(str, self.values))}]" if self.operator == "in" else self.values[0]
        return f"{self.key} {self.operator} {shown}"


@dataclass(frozen=True)
class Condition:
    """The entry counts only where all comparisons hold."""

    comparisons: tuple[Comparison, ...]

    @property
    def keys(self) -> frozenset[str]:
        """The keys that it names."""
        return frozenset(comparison.key for comparison in self.comparisons)

    def holds(self, config: Config, proposed: Mapping[str, Any]) -> bool:
        """Whether the condition holds for the base config with the values proposed so far."""
        return all(comparison.holds(_actual(config, proposed, comparison.key)) for comparison in self.comparisons)

    def joined(self, other: Condition) -> Condition:
        """Both conditions."""
        return Condition(tuple(dict.fromkeys((*self.comparisons, *other.comparisons))))

    def __str__(self) -> str:
        return " and ".join(map(str, self.comparisons))


def parse_condition(key: str, written: Any) -> Condition | None:
    """Read an entry's `when`.

    Args:
        key: of the entry, for messages.
        written: a text, a list of texts, or None.

    Raises:
        ConfigError: it cannot be read, or names a key that no config has.
    """
    if written is None:
        return None
    texts = written if isinstance(written, list) and written else [written]
    return Condition(tuple(_comparison(key, part) for text in texts for part in _AND.split(str(text))))


def is_same(actual: Any, wanted: Any) -> bool:
    """Whether a value of the config is what YAML's value means: numbers as numbers, all else as text."""
    one, other = as_number(actual), as_number(wanted)
    if one is not None and other is not None:
        return one == other
    if isinstance(actual, bool) or isinstance(wanted, bool):
        return str(actual).lower() == str(wanted).lower()
    return str(actual) == str(wanted)


def as_number(value: Any) -> float | None:
    """The number that a value is or spells ('3e-4' is text to YAML); None where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def _comparison(key: str, text: str) -> Comparison:
    match = _PART.fullmatch(text)
    if not match:
        raise ConfigError(
            f"sweep.search.{key}.when is {text!r}",
            hint="write it as `when: model.kind == image`; == != in < <= > >= and `and` are known",
        )
    name, operator, right = match.groups()
    check_key(name)
    try:
        value = yaml.safe_load(right)
    except yaml.YAMLError:
        value = right
    if operator == "in" and not (isinstance(value, list) and value):
        raise ConfigError(f"sweep.search.{key}.when: {right!r} is no list", hint=f"{name} in [a, b]")
    if operator in ("<", "<=", ">", ">=") and as_number(value) is None:
        raise ConfigError(f"sweep.search.{key}.when: {right!r} is no number", hint=f"{name} == {right}")
    return Comparison(name, operator, tuple(value) if operator == "in" else (value,))


def sections_of(key: str) -> frozenset[str]:
    """Keys whose value changes what stands at a key: the sections that hold it, and the model's kind."""
    parts = key.split(".")
    holding = {".".join(parts[:depth]) for depth in range(1, len(parts))}
    return frozenset(holding | {_KIND} if parts[0] == "model" else holding)


def _actual(config: Config, proposed: Mapping[str, Any], key: str) -> Any:
    """The value that a trial's config has: another model kind or preset brings its own defaults."""
    if key in proposed:
        return proposed[key]
    changes = {name: proposed[name] for name in sections_of(key) & proposed.keys()}
    return value_at(with_values(config, changes) if changes else config, key, None)
