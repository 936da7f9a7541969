"""A process that keeps things between runs gives what a fresh one gives, whatever changed in between."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kagglerun.config.load import parse_config
from kagglerun.data import stamps, tables
from kagglerun.errors import ConfigError, DataError
from kagglerun.experiment import warm
from kagglerun.experiment.prepare import Prepared, prepare, resolve_config
from kagglerun.workspace import CompetitionPaths, Workspace
from tests.experiment.made import seal, write_card


@pytest.fixture(autouse=True)
def keeping(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process that keeps, and files that count as old enough at once."""
    monkeypatch.setattr(stamps, "LEAST_AGE_SECONDS", 0.0)
    warm.keep_between_runs()
    yield
    warm.forget()


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry each time that the tables are read."""
    made: list[str] = []
    real = tables.load_competition

    def load(paths: CompetitionPaths, card: Any) -> Any:
        made.append(paths.slug)
        return real(paths, card)

    monkeypatch.setattr(warm, "load_competition", load)
    return made


def config(**values: Any) -> Any:
    boosting = {"kind": "tabular_boosting", "n_estimators": 5}
    return parse_config(
        {"competition": "made", "model": boosting, "cv": {"n_splits": 3}, **values}, "the test's config"
    )


def prepared(workspace: Workspace, **values: Any) -> Prepared:
    return prepare(workspace, resolve_config(workspace, config(**values)))


def fresh(workspace: Workspace, **values: Any) -> Prepared:
    """What a process that has kept nothing gives."""
    warm.forget()
    try:
        return prepared(workspace, **values)
    finally:
        warm.keep_between_runs()


def assert_same(one: Prepared, other: Prepared) -> None:
    for name in ("train", "test", "sample"):
        pd.testing.assert_frame_equal(getattr(one.data, name), getattr(other.data, name))
    pd.testing.assert_frame_equal(one.input.train, other.input.train)
    np.testing.assert_array_equal(one.data.targets, other.data.targets)
    np.testing.assert_array_equal(one.folds, other.folds)
    assert one.card == other.card
    assert one.fingerprint == other.fingerprint
    assert one.warnings == other.warnings


def write_hooks(paths: CompetitionPaths, body: str) -> None:
    paths.hooks.write_text(
        "import pandas as pd\nimport numpy as np\nfrom kagglerun.hooks import CompetitionHooks\n\n"
        f"SEEN = []\n\nclass Hooks(CompetitionHooks):\n{body}\n"
    )


def test_tables_are_read_once_for_many_runs(
    workspace: Workspace, competition: CompetitionPaths, loads: list[str]
) -> None:
    first = prepared(workspace)
    assert_same(first, prepared(workspace))
    assert_same(first, prepared(workspace))
    assert loads == ["made"]
    assert_same(first, fresh(workspace))


def test_other_folds_and_seeds_are_not_those_kept(workspace: Workspace, competition: CompetitionPaths) -> None:
    for values in ({"seed": 1}, {"seed": 2}, {"cv": {"n_splits": 4}}, {"cv": {"n_splits": 3, "seed": 5}}, {"seed": 1}):
        assert_same(prepared(workspace, **values), fresh(workspace, **values))


def test_a_process_that_executes_one_run_keeps_nothing(
    workspace: Workspace, competition: CompetitionPaths, loads: list[str]
) -> None:
    warm.forget()
    prepared(workspace)
    assert len(loads) == 2


def test_a_table_that_changed_in_place_is_read_again(workspace: Workspace, competition: CompetitionPaths) -> None:
    before = prepared(workspace)
    table = competition.data / "train.csv"
    text = table.read_text()
    known = table.stat()
    table.write_text(_swapped(text))
    os.utime(table, ns=(known.st_atime_ns, known.st_mtime_ns))  # as `cp -p` and archives leave it
    assert table.stat().st_size == known.st_size
    after = prepared(workspace)
    assert (after.data.targets != before.data.targets).any()
    assert_same(after, fresh(workspace))


def _swapped(text: str) -> str:
    """The first two rows with their labels exchanged, where these differ; the size stays."""
    head, *rows = text.splitlines(keepends=True)
    yes = next(index for index, row in enumerate(rows) if row.endswith(",yes\n"))
    no = next(index for index, row in enumerate(rows) if row.endswith(",no\n"))
    rows[yes], rows[no] = rows[yes].replace(",yes", ",no"), rows[no].replace(",no", ",yes")
    return head + "".join(rows)


def test_a_table_that_another_replaced_is_read_again(workspace: Workspace, competition: CompetitionPaths) -> None:
    prepared(workspace)
    table = competition.data / "test.csv"
    other = table.with_name("other")
    other.write_text(table.read_text().replace(",a\n", ",b\n"))
    other.replace(table)
    seal(competition)
    after = prepared(workspace)
    assert set(after.data.test["word"]) == {"b"}
    assert_same(after, fresh(workspace))


def test_a_table_that_is_gone_is_an_error_at_once(workspace: Workspace, competition: CompetitionPaths) -> None:
    prepared(workspace)
    (competition.data / "test.csv").unlink()
    with pytest.raises(DataError, match=r"test\.csv"):
        prepared(workspace)


def test_a_file_that_changed_just_now_is_not_trusted(
    workspace: Workspace, competition: CompetitionPaths, loads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stamps, "LEAST_AGE_SECONDS", 3600.0)
    prepared(workspace)
    assert len(loads) == 2


def test_a_card_that_changed_is_read_again(workspace: Workspace, competition: CompetitionPaths) -> None:
    prepared(workspace)
    write_card(competition, classes=["yes", "no"], metric="f1")
    after = prepared(workspace)
    assert after.metric.name == "f1"
    assert after.card.classes == ("yes", "no")
    assert_same(after, fresh(workspace))


def test_another_manifest_is_another_fingerprint(workspace: Workspace, competition: CompetitionPaths) -> None:
    before = prepared(workspace)
    (competition.data / "more.csv").write_text("a\n1\n")
    seal(competition)
    after = prepared(workspace)
    assert after.fingerprint.data != before.fingerprint.data
    assert_same(after, fresh(workspace))


def test_hooks_that_changed_are_seen_even_within_a_second_and_with_the_same_size(
    workspace: Workspace, competition: CompetitionPaths
) -> None:
    for number in (1, 2, 3):
        write_hooks(
            competition, f"    def features(self, a, b):\n        return a.assign(n={number}), b.assign(n={number})"
        )
        os.utime(competition.hooks, (1_700_000_000, 1_700_000_000))
        after = prepared(workspace)
        assert set(after.input.train["n"]) == {number}
        assert_same(after, fresh(workspace))


def test_hooks_that_go_are_gone(workspace: Workspace, competition: CompetitionPaths) -> None:
    write_hooks(competition, "    def folds(self, data):\n        return np.arange(len(data.train)) % 3")
    prepared(workspace)
    competition.hooks.unlink()
    assert_same(prepared(workspace), fresh(workspace))


def test_what_hooks_do_to_the_tables_ends_with_the_run(
    workspace: Workspace, competition: CompetitionPaths, loads: list[str]
) -> None:
    write_hooks(
        competition,
        "    def folds(self, data):\n"
        "        assert not SEEN, 'memory of another run'\n"
        "        SEEN.append(1)\n"
        "        data.train.loc[:, 'x'] += 1\n"
        "        data.train['new'] = 1\n"
        "        del data.test['id']\n"
        "        data.sample.iloc[0, 1] = 'yes'\n"
        "        data.card.metric_parameters['x'] = 1\n"
        "        return None\n"
        "    def features(self, train, test):\n"
        "        return train[['x']], test[['x']]",
    )
    first = prepared(workspace)
    second = prepared(workspace)
    assert_same(first, second)
    assert len(loads) == 1
    assert_same(second, fresh(workspace))


def test_cells_that_hold_lists_are_not_kept_where_hooks_may_change_them(
    workspace: Workspace, competition: CompetitionPaths, loads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm, "_holds_objects", lambda data: True)
    prepared(workspace)
    assert len(loads) == 1
    write_hooks(competition, "    pass")
    prepared(workspace)
    assert len(loads) == 3


def test_a_config_that_cannot_be_checked_is_refused_each_time(
    workspace: Workspace, competition: CompetitionPaths
) -> None:
    write_card(competition, metric_parameters={"nonsense": 1})
    for _ in range(2):
        with pytest.raises(ConfigError, match="nonsense"):
            prepared(workspace)


@pytest.mark.parametrize("change", ["removed", "added", "linked"])
def test_folders_of_images_are_watched(tmp_path: Path, change: str) -> None:
    images = tmp_path / "train" / "cat"
    images.mkdir(parents=True)
    (images / "1.png").write_bytes(b"1")
    below = stamps.folders_below(tmp_path / "train")
    assert below is not None
    before = stamps.stamps(below)
    assert before is not None
    assert before == stamps.stamps(below)
    if change == "removed":
        (images / "1.png").unlink()
    elif change == "added":
        (images / "2.png").write_bytes(b"2")
    else:
        (images / "3.png").symlink_to(images / "1.png")
        assert stamps.folders_below(tmp_path / "train") is None
    assert stamps.stamps(below) != before
