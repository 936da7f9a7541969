"""`postprocess`: a method's name or a section, from files, overrides and searches."""

from __future__ import annotations

from pathlib import Path

import pytest

from kagglerun.config.load import load_config, with_values
from kagglerun.config.postprocess import PostprocessConfig
from kagglerun.config.schema import Config
from kagglerun.errors import ConfigError


def loaded(tmp_path: Path, text: str, *overrides: str) -> PostprocessConfig:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    return load_config(path, overrides).postprocess


def test_a_name_stands_for_the_section(tmp_path: Path) -> None:
    assert loaded(tmp_path, "postprocess: none") == PostprocessConfig(method="none")
    assert loaded(tmp_path, "postprocess: {method: platt, floor: 1e-4}").floor == 1e-4
    assert loaded(tmp_path, "postprocess: isotonic", "postprocess.floor=1e-3") == PostprocessConfig(
        method="isotonic", floor=1e-3
    )
    assert loaded(tmp_path, "seed: 1", "postprocess=thresholds").method == "thresholds"
    assert with_values(Config(), {"postprocess": "none"}).postprocess.method == "none"
    assert with_values(Config(), {"postprocess.method": "none"}).postprocess.method == "none"


def test_only_what_says_nothing_is_the_default(tmp_path: Path) -> None:
    assert loaded(tmp_path, "seed: 1").is_default and loaded(tmp_path, "postprocess: auto").is_default
    assert not loaded(tmp_path, "postprocess: {clip: true}").is_default


@pytest.mark.parametrize("text", ["postprocess: magic", "postprocess: {floor: 0.7}", "postprocess: {cut: 1}"])
def test_what_is_not_known_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="postprocess"):
        loaded(tmp_path, text)
