"""`training.augment`: a preset's name or a section, from files, overrides, parents and searches."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from kagglerun.config.augment import PRESETS, AugmentConfig, AugmentStrengths
from kagglerun.config.load import dump_yaml, load_config, parse_config, save_config, value_at, with_values
from kagglerun.config.schema import Config
from kagglerun.config.search import parse_search
from kagglerun.errors import ConfigError


def written(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def loaded(tmp_path: Path, text: str, *overrides: str) -> AugmentConfig:
    return load_config(written(tmp_path / "a.yaml", text), overrides).training.augment


def test_a_name_alone_is_the_preset(tmp_path: Path) -> None:
    assert loaded(tmp_path, "training: {augment: flip}") == AugmentConfig(preset="flip")
    assert loaded(tmp_path, "training: {augment: {preset: flip}}") == AugmentConfig(preset="flip")
    assert loaded(tmp_path, "seed: 1") == AugmentConfig(preset="light")


@pytest.mark.parametrize("text", ["training: {augment: light}", "training: {augment: {preset: light}}", "seed: 1"])
def test_an_override_changes_one_value_of_a_preset(tmp_path: Path, text: str) -> None:
    augment = loaded(tmp_path, text, "training.augment.mixup=0.2", "training.augment.degrees=30")
    assert augment == AugmentConfig(preset="light", mixup=0.2, degrees=30)


def test_an_override_by_name_replaces_the_whole_section(tmp_path: Path) -> None:
    text = "training: {augment: {preset: flip, mixup: 0.2}}"
    assert loaded(tmp_path, text, "training.augment=none") == AugmentConfig(preset="none")
    assert loaded(tmp_path, text, "training.augment.preset=none") == AugmentConfig(preset="none", mixup=0.2)


@pytest.mark.parametrize(
    ("parent", "child", "expected"),
    [
        ("light", "{mixup: 0.2}", AugmentConfig(preset="light", mixup=0.2)),
        ("{preset: flip, hue: 0.1}", "{mixup: 0.2}", AugmentConfig(preset="flip", hue=0.1, mixup=0.2)),
        ("{preset: flip, hue: 0.1}", "medium", AugmentConfig(preset="medium")),
        ("flip", "{preset: none, cutout: 1}", AugmentConfig(preset="none", cutout=1)),
    ],
)
def test_a_file_that_extends_another_changes_its_augmentation(
    tmp_path: Path, parent: str, child: str, expected: AugmentConfig
) -> None:
    written(tmp_path / "base.yaml", f"training: {{augment: {parent}}}")
    assert loaded(tmp_path, f"extends: base.yaml\ntraining: {{augment: {child}}}") == expected


@pytest.mark.parametrize(
    "augment",
    ["strong", {"preset": "none", "crop_scale": [0.2, 0.9], "mixup": 0.4}, {"cutmix": 1.0, "mix_probability": 0.5}],
)
def test_a_frozen_config_reads_back_equal(tmp_path: Path, augment: object) -> None:
    config = parse_config({"name": "c", "training": {"augment": augment}}, "the test")
    save_config(tmp_path / "frozen.yaml", config)
    assert load_config(tmp_path / "frozen.yaml") == config
    assert load_config(written(tmp_path / "again.yaml", dump_yaml(config))) == config


def test_one_value_of_a_frozen_config_can_be_changed_and_a_preset_with_it() -> None:
    config = parse_config({"training": {"augment": {"preset": "flip", "hue": 0.1}}}, "the test")
    assert with_values(config, {"training.augment.mixup": 0.2}).training.augment == AugmentConfig(
        preset="flip", hue=0.1, mixup=0.2
    )
    both = {"training.augment.mixup": 0.2, "training.augment": "none"}
    assert with_values(config, both).training.augment == AugmentConfig(preset="none", mixup=0.2)


def searched(**search: object) -> Config:
    return parse_config({"sweep": {"search": search}}, "the test")


def test_presets_and_values_can_be_searched() -> None:
    config = searched(
        **{
            "training.augment": ["none", "light", {"preset": "flip", "cutout": 0.5}],
            "training.augment.mixup": {"low": 0, "high": 0.4},
            "training.augment.hue": {"low": 0, "high": 0.1, "when": "training.augment == medium"},
        }
    )
    assert [parameter.key for parameter in parse_search(config)] == [
        "training.augment",
        "training.augment.mixup",
        "training.augment.hue",
    ]


def test_a_condition_on_the_section_looks_at_the_preset() -> None:
    condition = parse_search(
        searched(**{"training.augment.hue": {"low": 0, "high": 0.1, "when": "training.augment == medium"}})
    )[0].when
    assert condition is not None
    assert not condition.holds(Config(), {})
    assert condition.holds(parse_config({"training": {"augment": "medium"}}, "the test"), {})
    assert condition.holds(Config(), {"training.augment": "medium"})


@pytest.mark.parametrize(
    ("search", "word"),
    [
        ({"training.augment": ["none", "heavy"]}, "heavy"),
        ({"training.augment.mixup": {"low": -1, "high": 1}}, "mixup"),
        ({"training.augment.mixupp": {"low": 0, "high": 1}}, "mixup"),
    ],
)
def test_a_search_that_the_schema_refuses_is_told_before_anything_starts(search: dict[str, object], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        parse_search(searched(**search))


@pytest.mark.parametrize(
    ("augment", "words"),
    [
        ("heavy", ["training.augment", "heavy", "light", "strong"]),
        ({"preset": "heavy"}, ["training.augment", "heavy", "light"]),
        ({"rotation": 5}, ["rotation", "degrees"]),
        ({"crop_scale": [0.9, 0.2]}, ["crop_scale", "least, most"]),
        ({"crop_scale": [0.5, 1.5]}, ["crop_scale", "at most 1"]),
        ({"crop_ratio": [0, 1]}, ["crop_ratio", "above 0"]),
        ({"hue": 0.7}, ["hue", "0.5"]),
        ({"hflip": 2}, ["hflip", "1"]),
        (3, ["training.augment", "3"]),
    ],
)
def test_a_wrong_augmentation_is_told_in_the_words_of_the_file(augment: object, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config({"training": {"augment": augment}}, "the test")
    text = f"{caught.value} {caught.value.hint or ''}"
    assert all(word in text for word in words), text


def test_an_override_within_a_value_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"training\.augment"):
        loaded(tmp_path, "training: {augment: 3}", "training.augment.mixup=0.2")


def test_the_section_has_every_strength_and_leaves_the_rest_to_the_preset() -> None:
    names = {field.name for field in fields(AugmentStrengths)}
    assert names == set(AugmentConfig.model_fields) - {"preset"}
    for preset, strengths in PRESETS.items():
        assert AugmentConfig(preset=preset).strengths() == strengths
        # Each preset is itself a config that the schema allows.
        spelled_out = AugmentConfig.model_validate(
            {field.name: getattr(strengths, field.name) for field in fields(strengths)}
        )
        assert spelled_out.strengths() == strengths
    assert AugmentConfig(preset="strong", hflip=0.0).strengths().hflip == 0
    assert not PRESETS["none"].bends
    assert not PRESETS["none"].mixes


def test_the_value_at_a_dotted_key_is_what_the_config_says() -> None:
    config = parse_config({"training": {"augment": {"mixup": 0.2}}}, "the test")
    assert value_at(config, "training.augment.mixup") == 0.2
    assert value_at(config, "training.augment.preset") == "light"
