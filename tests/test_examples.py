"""What is shipped works: every config and card loads, and a workspace made from them is one."""

from __future__ import annotations

from pathlib import Path

import pytest
from package_sources import ROOT

from kagglerun.config.load import check_key, load_card, load_config

_CONFIGS = sorted((ROOT / "sweeps").rglob("*.yaml"))
_CARDS = sorted((ROOT / "competitions").rglob("competition.yaml"))
_HOOKS = sorted((ROOT / "competitions").rglob("hooks.py"))


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", _CONFIGS, ids=_name)
def test_config_loads_and_its_search_keys_exist(path: Path) -> None:
    config = load_config(path)
    for key in config.sweep.search:
        check_key(key)


@pytest.mark.parametrize("path", _CARDS, ids=_name)
def test_card_loads_and_is_named_like_its_folder(path: Path) -> None:
    assert load_card(path).slug == path.parent.name


@pytest.mark.parametrize("path", _HOOKS, ids=_name)
def test_hooks_are_python(path: Path) -> None:
    compile(path.read_text("utf-8"), str(path), "exec")


def test_there_are_examples() -> None:
    assert len(_CONFIGS) >= 5
    assert {path.parent.name for path in _CARDS} >= {"digits", "titanic", "house-prices-advanced-regression-techniques"}


def test_every_yaml_file_is_one_that_is_tested() -> None:
    shipped = {path for folder in ("sweeps", "competitions") for path in (ROOT / folder).rglob("*.y*ml")}
    outside_data = {path for path in shipped if "data" not in path.relative_to(ROOT).parts}
    assert outside_data == {*_CONFIGS, *_CARDS}


def test_baseline_fits_any_competition() -> None:
    baseline = load_config(ROOT / "sweeps" / "baseline.yaml")
    assert baseline.competition is None
    assert baseline.model.kind == "auto"
