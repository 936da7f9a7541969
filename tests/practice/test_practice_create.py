from __future__ import annotations

import errno
import io
import os
import re
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from kagglerun import metrics
from kagglerun.errors import CompetitionNotFound, DiskFull, PracticeError
from kagglerun.practice.competitions import Catalogue, Definition, remove_competition
from kagglerun.practice.labelled import find_images, read_labelled_table
from kagglerun.practice.paths import HostedPaths, PracticePaths
from tests.practice.small import small_competition, small_table


def members(paths: PracticePaths, slug: str) -> dict[str, str]:
    with zipfile.ZipFile(paths.competition(slug).bundle) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def table(text: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)


def test_train_and_test_together_are_the_table_and_the_text_of_values_is_kept(paths: PracticePaths) -> None:
    definition = small_competition(paths, "small")
    files = members(paths, "small")
    train, test = table(files["train.csv"]), table(files["test.csv"])
    truth = pd.read_csv(paths.competition("small").solution, dtype=str)
    both = pd.concat([train, test.merge(truth[["key", "label"]], on="key")]).sort_values("key", ignore_index=True)
    pd.testing.assert_frame_equal(both, small_table().astype(both.dtypes.iloc[0]), check_dtype=False)
    assert "label" not in test.columns
    assert (len(train), len(test)) == (definition.train_rows, definition.test_rows) == (28, 12)
    assert train["key"].str.len().eq(4).all()


def test_classes_have_their_share_on_every_side(paths: PracticePaths) -> None:
    small_competition(paths, "small", table=small_table(300))
    truth = pd.read_csv(paths.competition("small").solution, dtype=str)
    for part in ("Public", "Private"):
        share = (truth[truth["Usage"] == part]["label"] == "yes").mean()
        assert abs(share - 1 / 3) < 0.02
    assert set(truth["Usage"]) == {"Public", "Private"}
    assert truth["Usage"].eq("Public").sum() == 27


def test_the_same_table_and_seed_give_the_same_bundle(paths: PracticePaths) -> None:
    first = small_competition(paths, "one")
    second = small_competition(paths, "two")
    other = small_competition(paths, "three", seed=1)
    assert first.bundle_sha256 == second.bundle_sha256 != other.bundle_sha256
    assert paths.competition("one").solution.read_bytes() == paths.competition("two").solution.read_bytes()


def test_made_ids_do_not_tell_the_order_of_the_table(paths: PracticePaths) -> None:
    rows = small_table(200).drop(columns="key").sort_values("label", ignore_index=True)
    small_competition(paths, "small", table=rows, id_column=None)
    train = table(members(paths, "small")["train.csv"])
    assert train.columns[0] == "id"
    numbers = train.assign(number=train["id"].astype(int)).groupby("label")["number"]
    assert abs(numbers.mean()["yes"] - numbers.mean()["no"]) < 30
    assert train["id"].is_unique


@pytest.mark.parametrize(
    ("metric", "target", "columns", "value"),
    [
        ("accuracy", "label", ("label",), "no"),
        ("auc", "label", ("label",), "0.5"),
        ("log_loss", "cultivar", ("a", "b", "c"), "0.333333"),
        ("rmse", "amount", ("amount",), None),
    ],
)
def test_the_sample_submission_has_the_metrics_columns(
    paths: PracticePaths, metric: str, target: str, columns: tuple[str, ...], value: str | None
) -> None:
    rows = small_table().assign(cultivar=["a", "b", "c", "a"] * 10, amount=[str(k) for k in range(40)])
    definition = small_competition(paths, "small", table=rows, targets=(target,), metric=metrics.get(metric))
    sample = table(members(paths, "small")["sample_submission.csv"])
    assert tuple(sample.columns) == ("key", *columns) == (*definition.ids, *definition.submission_columns)
    assert len(sample) == definition.test_rows
    assert value is None or set(sample[columns[0]]) == {value}


def test_several_targets_make_a_multilabel_competition(paths: PracticePaths) -> None:
    rows = small_table().assign(a=["0", "1"] * 20, b=["1", "0", "0", "0"] * 10)
    definition = small_competition(paths, "small", table=rows, targets=("a", "b"), metric=metrics.get("columnwise_auc"))
    assert (definition.task, definition.submission_columns) == ("multilabel", ("a", "b"))


def test_images_are_sorted_into_train_and_test(paths: PracticePaths, tmp_path: Path) -> None:
    rows = small_table(20)
    for key in rows["key"]:
        (tmp_path / "pictures" / key[-1]).mkdir(parents=True, exist_ok=True)
        (tmp_path / "pictures" / key[-1] / f"{key}.jpg").write_bytes(b"jpg of " + key.encode())
    images = find_images(tmp_path / "pictures", rows, "key")
    small_competition(paths, "small", table=rows, images=images)
    files = members(paths, "small")
    for folder in ("train", "test"):
        for key in table(files[f"{folder}.csv"])["key"]:
            assert files[f"{folder}/{key}.jpg"] == f"jpg of {key}"
    assert sum(name.endswith(".jpg") for name in files) == 20


def test_missing_and_ambiguous_images_are_named(tmp_path: Path) -> None:
    rows, folder = small_table(20), tmp_path / "pictures"
    with pytest.raises(PracticeError, match="there is no folder"):
        find_images(folder, rows, "key")
    folder.mkdir()
    (folder / "0000.png").touch()
    with pytest.raises(PracticeError, match="no image for 19 of 20 rows"):
        find_images(folder, rows, "key")
    with pytest.raises(PracticeError, match="key, feature, label"):
        find_images(folder, rows, None)
    (folder / "deep").mkdir()
    (folder / "deep" / "0000.png").touch()
    with pytest.raises(PracticeError, match=r"several images called '0000\.png'"):
        find_images(folder, rows, "key")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": ("lable",)}, "no column 'lable'; it has: key, feature, label"),
        ({"id_column": "nr"}, "no column 'nr'"),
        ({"id_column": "label"}, "named twice"),
        ({"id_column": "feature"}, "6 rows have no value in column 'feature'"),
        ({"table": small_table().assign(key="1")}, "repeats values: 39 rows"),
        ({"table": small_table(9)}, "has 9 rows; a competition needs at least 10"),
        ({"table": small_table().assign(label="yes")}, "only one value: 'yes'"),
        ({"table": small_table(300).assign(label=[str(k) for k in range(300)])}, "300 different values"),
        ({"metric": metrics.get("rmse")}, "holds 'yes', which is no number"),
        ({"metric": metrics.get("rmse"), "table": small_table().assign(label="inf")}, "holds 'inf'"),
        ({"targets": ("label", "feature"), "table": small_table().assign(feature="1")}, "must each hold 0 and 1"),
        (
            {"metric": metrics.get("auc"), "table": small_table().assign(label=list("abcd") * 10)},
            "does not score multi",
        ),
        ({"test_share": 0.0}, "not between 0 and 1"),
        ({"id_column": None, "table": small_table().rename(columns={"key": "id"})}, "has a column 'id'"),
    ],
)
def test_what_cannot_become_a_competition_is_refused_and_nothing_is_left(
    paths: PracticePaths, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(PracticeError, match=re.escape(message)):
        small_competition(paths, "small", **changes)
    assert not list(paths.competitions.glob("*"))
    assert not list(paths.competitions.glob(".*"))


@pytest.mark.parametrize("slug", ["Capital", "under_score", "../up", "", "-dash", "digits"])
def test_slugs_that_kaggle_would_refuse_or_that_are_built_in_are_refused(paths: PracticePaths, slug: str) -> None:
    with pytest.raises(PracticeError):
        small_competition(paths, slug)


def test_a_taken_slug_is_refused_until_it_is_removed(paths: PracticePaths) -> None:
    small_competition(paths, "small")
    before = paths.competition("small").bundle.read_bytes()
    with pytest.raises(PracticeError, match="already"):
        small_competition(paths, "small", seed=5)
    assert paths.competition("small").bundle.read_bytes() == before
    remove_competition(paths, "small")
    with pytest.raises(CompetitionNotFound, match="breast-cancer, diabetes, digits, wine"):
        Catalogue(paths).get("small")
    small_competition(paths, "small", seed=5)


@pytest.mark.parametrize("slug", ["../competitions/small", ".", "", "small/.."])
def test_remove_never_leaves_its_folder(paths: PracticePaths, slug: str) -> None:
    small_competition(paths, "small")
    with pytest.raises(PracticeError):
        remove_competition(paths, slug)
    assert paths.competition("small").bundle.is_file()


def test_tables_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(PracticeError, match="there is no file"):
        read_labelled_table(tmp_path / "none.csv")
    (tmp_path / "empty.csv").touch()
    with pytest.raises(PracticeError, match=r"empty\.csv cannot be read as a CSV"):
        read_labelled_table(tmp_path / "empty.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00,\x81\n")
    with pytest.raises(PracticeError, match="cannot be read as a CSV"):
        read_labelled_table(tmp_path / "bytes.csv")


def test_a_definition_that_cannot_be_read_names_the_way_out(paths: PracticePaths) -> None:
    small_competition(paths, "small")
    paths.competition("small").definition.write_text("{}")
    with pytest.raises(PracticeError) as caught:
        Catalogue(paths).get("small")
    assert caught.value.hint is not None
    assert "practice remove small" in caught.value.hint


def test_a_full_disk_is_told_and_nothing_is_left(paths: PracticePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("kagglerun.practice.create.write_text", full)
    with pytest.raises(DiskFull, match="the competition 'small' was not made, and nothing is left of it"):
        small_competition(paths, "small")
    assert not list(paths.competitions.iterdir())


def test_of_two_made_at_the_same_time_one_is_kept_and_the_other_told(
    paths: PracticePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kagglerun.practice import create as module

    original = module.write_definition

    def slower(hosted: HostedPaths, definition: Definition) -> None:
        monkeypatch.setattr(module, "write_definition", original)
        small_competition(paths, "small", seed=1)
        original(hosted, definition)

    monkeypatch.setattr(module, "write_definition", slower)
    with pytest.raises(PracticeError, match="already"):
        small_competition(paths, "small", seed=2)
    assert [path.name for path in paths.competitions.iterdir()] == ["small"]


def test_leftovers_of_a_killed_create_go_away_once_they_are_old(paths: PracticePaths) -> None:
    leftovers = [paths.competitions / f".small.{name}.tmp" for name in ("old", "new")]
    for folder in leftovers:
        (folder / "files").mkdir(parents=True)
    os.utime(leftovers[0], (0, 0))
    small_competition(paths, "small")
    assert [folder.exists() for folder in leftovers] == [False, True]
    assert "small" in Catalogue(paths).slugs()
