from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from kagglerun.config.load import dump_yaml, load_config, parse_config, save_config, value_at, with_values
from kagglerun.config.schema import Config, ImageModelConfig
from kagglerun.config.search import Choice, Range, parse_search
from kagglerun.errors import ConfigError


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_texts_become_numbers_by_the_fields_type(tmp_path: Path) -> None:
    path = write(tmp_path / "a.yaml", "optimizer: {lr: 3e-4}\ntraining: {epochs: '7'}\n")
    config = load_config(path)
    assert config.optimizer.lr == 3e-4
    assert config.training.epochs == 7
    assert config.name == "a"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("optimiser: {}", ["optimiser", "did you mean 'optimizer'"]),
        ("optimizer: {lrr: 1}", ["lrr", "optimizer", "did you mean 'lr'"]),
        ("model: {kind: image, nam: x}", ["nam", "did you mean 'name'"]),
        ("model: {kind: auto, num_leaves: 3}", ["model.num_leaves", "model.kind=tabular_boosting"]),
        ("model: {kind: imag}", ["imag", "image", "tabular_boosting"]),
        ("training: {epochs: 0}", ["training.epochs", "0", "greater than or equal to 1"]),
        ("training: {batch_size: many}", ["training.batch_size is 'many'", "valid integer", "'auto'"]),
        ("training: {clip_norm: none}", ["training.clip_norm", "training.clip_norm=null"]),
        ("training: {augment: {cutmix: .inf}}", ["training.augment.cutmix", "finite"]),
        ("training: {augment: [flip]}", ["training.augment", "{key: value"]),
        ("training: {augment: {crop_scale: [1]}}", ["training.augment.crop_scale", "too short"]),
        ("optimizer: {lr: .nan}", ["optimizer.lr", "finite"]),
        ("optimizer: {betas: [0.9, 1.5]}", ["optimizer.betas", "less than 1"]),
        ("cv: {folds: 0}", ["cv.folds is 0", "it must be a list, e.g. [0]"]),
        ("cv: {n_splits: 5, folds: [7]}", ["cv.folds", "7"]),
        ("model: {kind: image, pretrained: true, weights: w.pth}", ["model.pretrained", "model.weights"]),
        ("- a\n- b", ["list"]),
        ("a: [", ["not valid YAML", "line"]),
        ("extends: nothing.yaml", ["nothing.yaml"]),
        ("model: 5", ["model", "5"]),
    ],
)
def test_a_wrong_config_is_an_error_that_names_key_value_and_what_is_allowed(
    tmp_path: Path, text: str, words: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path / "wrong.yaml", text))
    said = f"{caught.value.message} {caught.value.hint}"
    for word in words:
        assert word in said
    assert len(caught.value.message.splitlines()) <= 3


def test_extends_inherits_and_overrides_win(tmp_path: Path) -> None:
    write(
        tmp_path / "base.yaml", "seed: 1\noptimizer: {lr: 0.1, weight_decay: 0.2}\nmodel: {kind: image, name: resnet18}"
    )
    child = write(tmp_path / "child.yaml", "extends: base.yaml\noptimizer: {lr: 0.5}\n")
    config = load_config(child, ["seed=9", "model.name=resnet34"])
    assert (config.seed, config.optimizer.lr, config.optimizer.weight_decay) == (9, 0.5, 0.2)
    assert isinstance(config.model, ImageModelConfig) and config.model.name == "resnet34"


def test_another_model_kind_replaces_the_inherited_one_whole(tmp_path: Path) -> None:
    write(tmp_path / "base.yaml", "model: {kind: image, name: resnet18}")
    child = write(tmp_path / "child.yaml", "extends: base.yaml\nmodel: {kind: tabular_neural, width: 8}")
    assert load_config(child).model.kind == "tabular_neural"


def test_null_takes_an_inherited_search_range_out(tmp_path: Path) -> None:
    write(tmp_path / "base.yaml", "sweep: {search: {optimizer.lr: [0.1, 0.2], seed: [1, 2]}}")
    child = write(tmp_path / "child.yaml", "extends: base.yaml\nsweep: {search: {optimizer.lr: null}}")
    assert list(load_config(child).sweep.search) == ["seed"]


def test_configs_that_extend_one_another_are_an_error(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", "extends: b.yaml")
    write(tmp_path / "b.yaml", "extends: a.yaml")
    with pytest.raises(ConfigError, match="circle"):
        load_config(tmp_path / "a.yaml")


@pytest.mark.parametrize("override", ["optimizer.lrr=1", "optimizer.lr", "=3", "seed.deep=1", "optimizer.lr=[1"])
def test_a_wrong_override_is_an_error(tmp_path: Path, override: str) -> None:
    with pytest.raises(ConfigError):
        load_config(write(tmp_path / "a.yaml", "seed: 1"), [override])


def test_a_dumped_config_reads_back_equal() -> None:
    config = parse_config(
        {"model": {"kind": "image", "weights": "w/x.pth", "options": {"in_chans": 3}}, "cv": {"folds": [0, 2]}}, "test"
    )
    assert parse_config(yaml.safe_load(dump_yaml(config)), "again") == config


def test_a_none_that_is_not_the_default_survives_being_dumped(tmp_path: Path) -> None:
    config = with_values(parse_config({"name": "c"}, "the test"), {"training.clip_norm": None})
    save_config(tmp_path / "c.yaml", config)
    assert load_config(tmp_path / "c.yaml") == config


def test_a_config_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().optimizer.lr = 1.0


def test_with_values_checks_like_a_file() -> None:
    changed = with_values(Config(), {"model.kind": "image", "model.name": "vit", "optimizer.lr": 0.25})
    assert value_at(changed, "model.name") == "vit"
    assert value_at(changed, "optimizer.lr") == 0.25
    with pytest.raises(ConfigError, match=r"optimizer\.lr"):
        with_values(Config(), {"optimizer.lr": -1})


def test_search_entries_become_ranges_and_choices_conditions_after_what_they_name() -> None:
    search = {
        "model.num_leaves": {"low": 8, "high": 64, "log": True, "when": "model.kind == tabular_boosting"},
        "optimizer.lr": {"low": "1e-5", "high": "1e-2", "log": True},
        "model.kind": ["image", "tabular_boosting"],
        "model.drop_rate": {"choices": [0.0, 0.5], "when": "model.kind == image"},
    }
    parameters = parse_search(parse_config({"sweep": {"search": search}}, "test"))
    assert parameters[0].key == "model.kind"
    by_key = {parameter.key: parameter for parameter in parameters}
    leaves, lr = by_key["model.num_leaves"], by_key["optimizer.lr"]
    assert isinstance(leaves, Range) and leaves.whole and leaves.log
    assert isinstance(lr, Range) and (lr.low, lr.high, lr.whole) == (1e-5, 1e-2, False)
    assert leaves.when is not None and leaves.when.holds(Config(), {"model.kind": "tabular_boosting"})
    assert not leaves.when.holds(Config(), {"model.kind": "image"})
    assert isinstance(by_key["model.drop_rate"], Choice)


@pytest.mark.parametrize(
    ("key", "entry", "word"),
    [
        ("optimizer.ler", [1], "did you mean 'lr'"),
        ("optimizer.lr", {"low": 1}, "high"),
        ("optimizer.lr", {"low": 2, "high": 1}, "below"),
        ("optimizer.lr", {"low": 0, "high": 1, "log": True}, "log"),
        ("optimizer.lr", {"low": -1, "high": 1}, "optimizer.lr"),
        ("optimizer.lr", {"lo": 1, "high": 2}, "did you mean 'low'"),
        ("optimizer.lr", 3, "range or a list"),
        ("optimizer.name", ["adamw", "lamb"], "lamb"),
        ("optimizer.name", [], "at least one"),
        ("training.epochs", {"low": 1.5, "high": 3}, "whole"),
        ("training.epochs", {"low": 1, "high": 3, "when": "always"}, "when"),
        ("sweep.trials", [1, 2], "cannot be searched"),
    ],
)
def test_a_wrong_search_entry_is_an_error_before_anything_starts(key: str, entry: object, word: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_search(parse_config({"sweep": {"search": {key: entry}}}, "test"))
    assert word in f"{caught.value.message} {caught.value.hint}"
