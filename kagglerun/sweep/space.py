"""Values of a search space: which belong to it, which combinations there are, where they lie in the unit cube."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from kagglerun.config.conditions import Condition, as_number
from kagglerun.config.load import value_at, with_value
from kagglerun.config.schema import Config
from kagglerun.config.search import Choice, Parameter, Range
from kagglerun.errors import ConfigError

MOST_COMBINATIONS = 100_000
"""A space with more combinations than these is treated as without an end."""
_ON_GRID = 1e-8

Group = tuple[Condition | None, tuple[Parameter, ...]]
"""Parameters that count in the same trials, and when; None: in all."""


def groups(parameters: Sequence[Parameter]) -> tuple[Group, ...]:
    """Parameters by their condition, so that what a condition names comes before it."""
    found: dict[Condition | None, list[Parameter]] = {}
    for parameter in parameters:
        found.setdefault(parameter.when, []).append(parameter)
    return tuple((condition, tuple(members)) for condition, members in found.items())


def fingerprint(params: Mapping[str, Any]) -> str:
    """A text that is the same for the same values."""
    return json.dumps(params, sort_keys=True)


def grid_values(parameter: Parameter) -> tuple[Any, ...] | None:
    """All values of a parameter, in order; None for a range of real numbers without a step."""
    if isinstance(parameter, Choice):
        return parameter.values
    step = step_of(parameter)
    if step is None:
        return None
    count = math.floor((parameter.high - parameter.low) / step + _ON_GRID) + 1
    return tuple(snapped(parameter, parameter.low + index * step) for index in range(count))


def combinations(config: Config, parameters: Sequence[Parameter]) -> list[dict[str, Any]] | None:
    """All configs of a search space, each as key to value; None where there are more than MOST_COMBINATIONS."""
    values = [grid_values(parameter) for parameter in parameters]
    if any(of_one is None for of_one in values):
        return None
    every = _combined(config, parameters, [of_one or () for of_one in values], {})
    found = list(islice(every, MOST_COMBINATIONS + 1))
    return found if len(found) <= MOST_COMBINATIONS else None


def _combined(
    config: Config, parameters: Sequence[Parameter], values: Sequence[Sequence[Any]], chosen: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    if not parameters:
        yield chosen
        return
    first, rest = parameters[0], parameters[1:]
    if first.when is not None and not first.when.holds(config, chosen):
        yield from _combined(config, rest, values[1:], chosen)
        return
    for value in values[0]:
        yield from _combined(config, rest, values[1:], {**chosen, first.key: value})


def fitting(config: Config, parameters: Sequence[Parameter]) -> dict[str, Any]:
    """A config's own values of the parameters that count in it and whose space holds them."""
    values: dict[str, Any] = {}
    for parameter in parameters:
        if parameter.when is None or parameter.when.holds(config, values):
            found = _member(config, parameter)
            if found is not None:
                values[parameter.key] = found[0]
    return values


def _member(config: Config, parameter: Parameter) -> tuple[Any] | None:
    actual = value_at(config, parameter.key, None)
    if isinstance(parameter, Choice):
        same = [value for value in parameter.values if _means(config, parameter.key, value, actual)]
        return (same[0],) if same else None
    return (snapped(parameter, actual),) if is_in_range(parameter, actual) else None


def _means(config: Config, key: str, value: Any, actual: Any) -> bool:
    """Whether a choice as YAML has it ('3e-4' is text there) means the config's value."""
    try:
        return bool(value_at(with_value(config, key, value), key, None) == actual)
    except ConfigError:
        return False  # a choice for another model kind


def is_in_range(parameter: Range, value: Any) -> bool:
    """Whether a number lies in a range, and on its steps."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if not parameter.low <= value <= reachable_high(parameter):
        return False
    step = step_of(parameter)
    if step is None:
        return True
    steps = (value - parameter.low) / step
    return abs(steps - round(steps)) < _ON_GRID


def step_of(parameter: Range) -> float | None:
    """The distance of neighbouring values; 1 for whole numbers, None where there is none."""
    return parameter.step or (1.0 if parameter.whole else None)


def reachable_high(parameter: Range) -> float:
    """The last value that steps from `low` reach."""
    if parameter.step is None:
        return parameter.high
    steps = math.floor((parameter.high - parameter.low) / parameter.step + _ON_GRID)
    return parameter.low + steps * parameter.step


def snapped(parameter: Range, value: float) -> int | float:
    """The value on the range's steps, as a person would write it (0.3, not 0.30000000000000004)."""
    if parameter.whole:
        step = int(parameter.step or 1)
        return int(parameter.low) + round((value - parameter.low) / step) * step
    if parameter.step is None:
        return float(value)
    return float(f"{parameter.low + round((value - parameter.low) / parameter.step) * parameter.step:.12g}")


def from_unit(parameter: Parameter, position: float) -> Any:
    """The value at a position in [0, 1): every value of a choice or a stepped range has the same share of it."""
    if isinstance(parameter, Choice):
        return parameter.values[min(int(position * len(parameter.values)), len(parameter.values) - 1)]
    low, high = _edges(parameter)
    value = low * (high / low) ** position if parameter.log else low + (high - low) * position
    return snapped(parameter, min(max(value, parameter.low), reachable_high(parameter)))


def to_unit(parameter: Range, value: float) -> float:
    """Where in [0, 1] a range has a value; the inverse of `from_unit`."""
    low, high = _edges(parameter)
    if parameter.log:
        return math.log(value / low) / math.log(high / low)
    return (value - low) / (high - low)


def _edges(parameter: Range) -> tuple[float, float]:
    """The range's ends, half a step wider where it has steps, so that the first and last value get their share."""
    half = (step_of(parameter) or 0.0) / 2
    return parameter.low - half, reachable_high(parameter) + half


def first_configs(config: Config, parameters: Sequence[Parameter]) -> list[dict[str, Any]]:
    """What is tried first: the base config, then those of `sweep.enqueue`, each once.

    Returns:
        Key to value. Where the base config lies outside the search space a key is left out: it is drawn.

    Raises:
        ConfigError: see `chosen`.
    """
    configs = [chosen(config, parameters, entry) for entry in ({}, *config.sweep.enqueue)]
    return list({fingerprint(values): values for values in configs}.values())


def chosen(config: Config, parameters: Sequence[Parameter], entry: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a config that the user wants tried: those written, else the base config's own.

    Args:
        config: the base config.
        parameters: the search space.
        entry: one entry of `sweep.enqueue`.

    Raises:
        ConfigError: a key or value that the search space does not have, or that does not count in this config.
    """
    by_key = {parameter.key: parameter for parameter in parameters}
    unknown = [key for key in entry if key not in by_key]
    if unknown:
        raise ConfigError(
            f"sweep.enqueue: {unknown[0]} is not searched",
            hint=f"the search space has {', '.join(by_key)}" if by_key else None,
        )
    own = fitting(config, parameters)
    values: dict[str, Any] = {}
    for parameter in parameters:
        counts = parameter.when is None or parameter.when.holds(config, values)
        if parameter.key in entry and not counts:
            raise ConfigError(f"sweep.enqueue: {parameter.key} counts only when {parameter.when}")
        if parameter.key in entry:
            values[parameter.key] = _written(config, parameter, entry[parameter.key])
        elif counts and parameter.key in own:
            values[parameter.key] = own[parameter.key]
    return values


def _written(config: Config, parameter: Parameter, value: Any) -> Any:
    if isinstance(parameter, Choice):
        for known in parameter.values:
            if known == value or _means(config, parameter.key, known, _read(config, parameter.key, value)):
                return known
        raise ConfigError(
            f"sweep.enqueue: {parameter.key}={value} is none of its choices",
            hint=f"{parameter.key}: {', '.join(map(str, parameter.values))}",
        )
    number = as_number(value)
    if number is None or not is_in_range(parameter, number):
        step = f", step {parameter.step:g}" if parameter.step else ""
        raise ConfigError(
            f"sweep.enqueue: {parameter.key}={value} is not in its range",
            hint=f"{parameter.key}: {parameter.low:g} to {parameter.high:g}{step}",
        )
    return snapped(parameter, number)


def _read(config: Config, key: str, value: Any) -> Any:
    try:
        return value_at(with_value(config, key, value), key, None)
    except ConfigError:
        return value
