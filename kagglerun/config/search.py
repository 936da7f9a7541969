"""Search spaces: which keys of a config a sweep varies, and how.

    sweep:
      search:
        optimizer.lr: {low: 1e-5, high: 1e-2, log: true}
        training.epochs: {low: 5, high: 20, step: 5}
        model.name: [resnet18, convnext_nano]
        model.num_leaves: {low: 8, high: 256, log: true, when: model.kind == tabular_boosting}
        model.drop_rate: {choices: [0.0, 0.2], when: model.kind == image}
        model.tta: {choices: [none, hflip], when: model.kind == image and training.epochs >= 10}

A list is a choice. A range of whole numbers on a whole-number field proposes whole numbers. `when`: the entry
counts only where the config is so; see config/conditions.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from kagglerun.config.conditions import Condition, parse_condition, sections_of
from kagglerun.config.load import check_key, is_whole_number_field, with_value, with_values
from kagglerun.config.schema import Config
from kagglerun.errors import ConfigError, unknown_name


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

    Keys that other entries' conditions name come first, so that a proposal can be made in order; a condition on
    an entry that has a condition itself becomes both.

    Raises:
        ConfigError: a key the schema does not have, a range that is empty or not of the field's type, a value
            that the field refuses, conditions that name one another in a circle.
    """
    parsed = {key: _parse_entry(key, entry) for key, entry in config.sweep.search.items()}
    ordered: dict[str, Parameter] = {}
    for key in sorted(parsed, key=lambda key: not any(key in _named(other) for other in parsed.values())):
        _place(key, parsed, ordered, ())
    for parameter in ordered.values():
        _check_values(config, parameter)
    return tuple(ordered.values())


def _place(key: str, parsed: dict[str, Parameter], ordered: dict[str, Parameter], path: tuple[str, ...]) -> None:
    """Put an entry behind those that its condition names, and let it count only where they do."""
    if key in ordered:
        return
    if key in path:
        circle = " -> ".join((*path[path.index(key) :], key))
        raise ConfigError(f"sweep.search: conditions name one another in a circle: {circle}")
    parameter = parsed[key]
    for other in sorted(_named(parameter) & parsed.keys()):
        _place(other, parsed, ordered, (*path, key))
        before = ordered[other].when
        if before and parameter.when:
            parameter = replace(parameter, when=before.joined(parameter.when))
    ordered[key] = parameter


def _named(parameter: Parameter) -> frozenset[str]:
    return parameter.when.keys if parameter.when else frozenset()


def _parse_entry(key: str, entry: Any) -> Parameter:
    check_key(key)
    if key.startswith(("sweep.", "competition")) or key == "name":
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
    when = parse_condition(key, entry.get("when"))
    if "choices" in entry:
        return _choice(key, entry["choices"], when)
    return _range(key, entry, when)


def _choice(key: str, values: Any, when: Condition | None) -> Choice:
    if not isinstance(values, list) or not values:
        raise ConfigError(f"sweep.search.{key} needs at least one value", hint=f"{key}: [a, b]")
    return Choice(key, tuple(values), when)


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
        met = _meeting(config, parameter.when)
        if met is None:
            return  # checked where the condition can hold: when the trial is made
        config = met
    ends = (parameter.low, parameter.high) if isinstance(parameter, Range) else parameter.values
    for value in ends:
        whole = isinstance(parameter, Range) and parameter.whole
        with_value(config, parameter.key, int(value) if whole else value)


def _meeting(config: Config, condition: Condition) -> Config | None:
    """The config changed to what the condition asks for, where that can be read off and is a config."""
    equal = {part.key: part.values[0] for part in condition.comparisons if part.operator in ("==", "in")}
    try:
        met = with_values(config, equal)
    except ConfigError:
        return None
    return met if condition.holds(met, {}) else None


def reachable(config: Config, parameters: Sequence[Parameter]) -> tuple[Parameter, ...]:
    """The search space that a resolved config really has.

    Comparisons with keys that are not searched are settled: an entry whose condition can never hold is left out,
    one whose condition always holds has none.
    """
    searched = {parameter.key for parameter in parameters}
    kept: list[Parameter] = []
    for parameter in parameters:
        comparisons = parameter.when.comparisons if parameter.when else ()
        settled = [part for part in comparisons if not _varies(part.key, searched)]
        if not Condition(tuple(settled)).holds(config, {}):
            continue
        left = tuple(part for part in comparisons if _varies(part.key, searched))
        kept.append(replace(parameter, when=Condition(left) if left else None))
    return tuple(kept)


def _varies(key: str, searched: set[str]) -> bool:
    """Whether trials differ in a key: it is searched, or a section or model kind that brings it is."""
    return key in searched or bool(sections_of(key) & searched)
