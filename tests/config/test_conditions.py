from __future__ import annotations

from typing import Any

import pytest

from kagglerun.config.conditions import parse_condition
from kagglerun.config.load import parse_config
from kagglerun.config.schema import Config
from kagglerun.config.search import Parameter, parse_search, reachable
from kagglerun.errors import ConfigError

CONFIG = parse_config({"model": {"kind": "image", "name": "resnet18"}, "training": {"epochs": 10}}, "the test")


def holds(written: Any, config: Config = CONFIG, **proposed: Any) -> bool:
    condition = parse_condition("optimizer.lr", written)
    assert condition is not None
    return condition.holds(config, {key.replace("__", "."): value for key, value in proposed.items()})


def space(search: dict[str, Any], config: Config = CONFIG) -> dict[str, Parameter]:
    config = config.model_copy(update={"sweep": parse_config({"sweep": {"search": search}}, "the test").sweep})
    return {parameter.key: parameter for parameter in parse_search(config)}


@pytest.mark.parametrize(
    "written",
    [
        "model.kind == image",
        "model.kind == 'image'",
        "model.kind != tabular_boosting",
        "model.name in [resnet18, resnet34]",
        "training.epochs == 10.0",
        "training.epochs >= 10",
        "training.epochs < 1.1e1",
        "model.kind == image and training.epochs > 9",
        ["model.kind == image", "training.epochs <= 10"],
        "optimizer.lr == 1e-3",
        "training.deterministic == true",
    ],
)
def test_conditions_that_hold(written: Any) -> None:
    assert holds(written)


@pytest.mark.parametrize(
    "written",
    [
        "model.kind == tabular_boosting",
        "model.kind != image",
        "model.name in [resnet34]",
        "training.epochs > 10",
        "model.name > 3",
        "model.kind == image and training.epochs > 10",
        ["model.kind == image", "training.epochs == 11"],
        "model.num_leaves == 31",
    ],
)
def test_conditions_that_do_not_hold(written: Any) -> None:
    assert not holds(written)


def test_proposed_values_go_before_those_of_the_config() -> None:
    assert holds("training.epochs > 10", training__epochs=11)
    assert not holds("training.epochs > 9", training__epochs=9)


def test_another_model_kind_brings_its_own_defaults() -> None:
    assert not holds("model.name == resnet18", model__kind="tabular_boosting")
    assert holds("model.num_leaves == 31", model__kind="tabular_boosting")


def test_a_preset_brings_its_own_values() -> None:
    assert not holds("training.augment.preset == medium")
    assert holds("training.augment.preset == medium", training__augment="medium")


@pytest.mark.parametrize(
    ("written", "word"),
    [
        ("always", "write it as"),
        ("model.kid == image", "did you mean 'kind'"),
        ("training.epochs > many", "no number"),
        ("model.name in resnet18", "no list"),
        ("model.kind == image and", "write it as"),
        ([], "write it as"),
    ],
)
def test_a_condition_that_cannot_be_read_is_an_error(written: Any, word: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_condition("optimizer.lr", written)
    assert word in f"{caught.value.message} {caught.value.hint}"


def test_a_condition_on_an_entry_with_a_condition_holds_only_where_both_do() -> None:
    parameters = space(
        {
            "training.ema": {"choices": [0.9, 0.99], "when": "optimizer.momentum > 0.8"},
            "optimizer.momentum": {"low": 0.5, "high": 0.99, "when": "optimizer.name == sgd"},
            "optimizer.name": ["adamw", "sgd"],
        }
    )
    assert list(parameters) == ["optimizer.name", "optimizer.momentum", "training.ema"]
    ema = parameters["training.ema"].when
    assert ema is not None and str(ema) == "optimizer.name == sgd and optimizer.momentum > 0.8"
    # The config's own momentum is 0.9; with adamw it is none of the trial's.
    assert not ema.holds(CONFIG, {"optimizer.name": "adamw"})
    assert ema.holds(CONFIG, {"optimizer.name": "sgd", "optimizer.momentum": 0.9})


def test_conditions_in_a_circle_are_an_error() -> None:
    with pytest.raises(ConfigError, match=r"circle: .* -> "):
        space(
            {
                "training.epochs": {"low": 1, "high": 9, "when": "optimizer.lr > 0.1"},
                "optimizer.lr": {"low": 0.1, "high": 0.9, "when": "training.epochs > 3"},
            }
        )


def test_values_of_an_entry_whose_condition_does_not_hold_are_checked_where_it_would() -> None:
    with pytest.raises(ConfigError, match="num_leaves"):
        space({"model.num_leaves": {"choices": [31, -5], "when": "model.kind == tabular_boosting"}})


def test_only_what_a_config_can_reach_is_searched() -> None:
    search = {
        "model.kind": ["image", "tabular_boosting"],
        "model.num_leaves": {"low": 8, "high": 64, "when": "model.kind == tabular_boosting"},
        "optimizer.momentum": {"low": 0.5, "high": 0.9, "when": "optimizer.name == sgd"},
        "optimizer.weight_decay": {"low": 0.0, "high": 0.1, "when": "optimizer.name == adamw and model.kind == image"},
        "optimizer.lr": {"low": 0.1, "high": 0.9, "when": "optimizer.name == adamw"},
    }
    found = {p.key: str(p.when) for p in reachable(CONFIG, tuple(space(search).values()))}
    assert found == {
        "model.kind": "None",
        "model.num_leaves": "model.kind == tabular_boosting",
        "optimizer.weight_decay": "model.kind == image",
        "optimizer.lr": "None",
    }
