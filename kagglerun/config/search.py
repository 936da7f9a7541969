"""Search spaces: which keys of a config a sweep varies, and how.

    sweep:
      search:
        optimizer.lr: {low: 1e-5, high: 1e-2, log: true}
        training.epochs: {low: 5, high: 20, step: 5}
        model.name: [resnet18, convnext_nano]
        model.num_leaves: {low: 8, high: 256, log: true, when: model.kind == tabular_boosting}
        model.drop_rate: {choices: [0.0, 0.2], when: model.kind == image}

A list is a choice. A range of whole numbers on a whole-number field proposes whole numbers. `when` names
another key and a value: the entry counts only where the config has it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from kagglerun.config.load import check_key, is_whole_number_field, value_at, with_value
from kagglerun.config.schema import Config
from kagglerun.config.section import Section
from kagglerun.errors import ConfigError, unknown_name

_WHEN = re.compile(r"\s*([\w.]+)\s*==\s*(\S.*?)\s*")


@dataclass(frozen=True)
class Condition:
    """The entry counts only where `key` has `value` (compared as text)."""

    key: str
    value: str

    def holds(self, config: Config, proposed: dict[str, Any]) -> bool:
        """Whether the condition holds for the base config with the values proposed so far."""
        actual = proposed[self.key] if self.key in proposed else value_at(config, self.key, None)
        if isinstance(actual, Section) and actual.name_alone:
            actual = getattr(actual, actual.name_alone)
        return str(actual) == self.value


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included."""

    key: str
    low: float
    high: float
    log: bool
    step: float | None
    whole: bool
    when: Condition | None


@dataclass(frozen=True)
class Choice:
    """One of `values`, each a scalar of YAML."""

    key: str
    values: tuple[Any, ...]
    when: Condition | None


Parameter = Range | Choice


def parse_search(config: Config) -> tuple[Parameter, ...]:
    """Read and check the search space of a config against the schema.

    Keys that other entries' conditions name come first, so that a proposal can be made in order.

    Raises:
        ConfigError: a key the schema does not have, a range that is empty or not of the field's type, a value
            that the field refuses.
    """
    parameters = [_parse_entry(key, entry) for key, entry in config.sweep.search.items()]
    named = {parameter.when.key for parameter in parameters if parameter.when}
    ordered = sorted(parameters, key=lambda parameter: parameter.key not in named)
    for parameter in ordered:
        _check_values(config, parameter)
    return tuple(ordered)


def _parse_entry(key: str, entry: Any) -> Parameter:
    check_key(key)
    if key.startswith(("sweep.", "competition")):
        raise ConfigError(f"sweep.search: {key} cannot be searched", hint="choose a key of model, training, ...")
    if isinstance(entry, list):
        return _choice(key, entry, None)
    if not isinstance(entry, dict):
        raise ConfigError(
            f"sweep.search.{key} is {entry!r}; it must be a range or a list",
            hint=f"{key}: {{low: 1e-5, high: 1e-2, log: true}}    or    {key}: [a, b]",
        )
    for name in entry:
        if name not in {"low", "high", "log", "step", "choices", "when"}:
            raise unknown_name(f"key in sweep.search.{key}", name, ["low", "high", "log", "step", "choices", "when"])
    when = _condition(key, entry.get("when"))
    if "choices" in entry:
        return _choice(key, entry["choices"], when)
    return _range(key, entry, when)


def _choice(key: str, values: Any, when: Condition | None) -> Choice:
    if not isinstance(values, list) or not values:
        raise ConfigError(f"sweep.search.{key} needs at least one value", hint=f"{key}: [a, b]")
    return Choice(key, tuple(values), when)


def _condition(key: str, text: Any) -> Condition | None:
    if text is None:
        return None
    match = _WHEN.fullmatch(str(text))
    if not match:
        raise ConfigError(f"sweep.search.{key}.when is {text!r}", hint="write it as `when: model.kind == image`")
    check_key(match.group(1))
    return Condition(match.group(1), match.group(2).strip("'\""))


def _range(key: str, entry: dict[str, Any], when: Condition | None) -> Range:
    try:
        low, high = float(entry["low"]), float(entry["high"])
        step = float(entry["step"]) if entry.get("step") is not None else None
    except KeyError as error:
        raise ConfigError(f"sweep.search.{key} has no {error.args[0]}", hint=f"{key}: {{low: 1, high: 10}}") from None
    except (TypeError, ValueError):
        raise ConfigError(f"sweep.search.{key}: low, high and step must be numbers: {entry}") from None
    log = entry.get("log", False)
    if not isinstance(log, bool):
        raise ConfigError(f"sweep.search.{key}.log is {log!r}; it must be true or false")
    if not low < high:
        raise ConfigError(f"sweep.search.{key}: low ({low:g}) must be below high ({high:g})")
    if log and (low <= 0 or step is not None):
        raise ConfigError(f"sweep.search.{key}: a log range needs low > 0 and no step")
    if step is not None and step <= 0:
        raise ConfigError(f"sweep.search.{key}: step must be above 0")
    whole = is_whole_number_field(key)
    if whole and any(value is not None and value != int(value) for value in (low, high, step)):
        raise ConfigError(f"sweep.search.{key} takes whole numbers: {entry}")
    return Range(key, low, high, log, step, whole, when)


def _check_values(config: Config, parameter: Parameter) -> None:
    """Put the ends of a range, or each choice, into the config: the schema refuses what it does not allow."""
    if parameter.when and not parameter.when.holds(config, {}):
        return  # checked where the condition can hold: when the trial is made
    ends = (parameter.low, parameter.high) if isinstance(parameter, Range) else parameter.values
    for value in ends:
        whole = isinstance(parameter, Range) and parameter.whole
        with_value(config, parameter.key, int(value) if whole else value)
