from __future__ import annotations

import io
import zipfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from kagglerun import metrics
from kagglerun.config.card import Task
from kagglerun.practice.builtin import BUILT_IN, BuiltIn
from kagglerun.practice.competitions import Catalogue, remove_competition
from kagglerun.practice.create import kaggle_name
from kagglerun.practice.paths import PracticePaths


@pytest.mark.parametrize("built_in", BUILT_IN.values(), ids=list(BUILT_IN))
def test_what_the_list_says_before_it_is_made_is_what_is_made(built_in: BuiltIn, paths: PracticePaths) -> None:
    definition = Catalogue(paths).get(built_in.slug).definition
    assert definition.test_rows == built_in.test_rows
    assert definition.train_rows == built_in.rows - built_in.test_rows
    assert (definition.task, definition.metric) == (built_in.task, built_in.metric)
    assert definition.evaluation_metric == built_in.evaluation_metric
    assert built_in.evaluation_metric == kaggle_name(metrics.get(built_in.metric), Task(built_in.task))
    assert metrics.get(built_in.evaluation_metric).name == built_in.metric
    assert definition.max_daily_submissions == built_in.daily


def test_removed_and_made_again_it_is_the_same(paths: PracticePaths) -> None:
    catalogue = Catalogue(paths)
    first = catalogue.get("wine")
    solution = first.paths.solution.read_bytes()
    remove_competition(paths, "wine")
    again = catalogue.get("wine")
    assert again.definition.bundle_sha256 == first.definition.bundle_sha256
    assert again.paths.solution.read_bytes() == solution


def test_asked_for_by_several_at_once_it_is_made_once(paths: PracticePaths) -> None:
    catalogues = [Catalogue(paths) for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda k: catalogues[k % 4].get("wine").definition, range(8)))
    assert len({definition.bundle_sha256 for definition in made}) == 1
    assert [path.name for path in paths.competitions.iterdir()] == ["wine"]


def test_digits_are_scikit_learns_pictures_and_the_test_labels_are_not_given_away(paths: PracticePaths) -> None:
    hosted = Catalogue(paths).get("digits")
    data = load_digits()
    with zipfile.ZipFile(hosted.paths.bundle) as archive:
        train = pd.read_csv(archive.open("train.csv"))
        test = pd.read_csv(archive.open("test.csv"))
        sample = pd.read_csv(archive.open("sample_submission.csv"))
        names = Counter(name.split("/")[0] for name in archive.namelist() if "/" in name)
        for row in (train.iloc[0], train.iloc[-1]):
            with Image.open(io.BytesIO(archive.read(f"train/{row['id']}.png"))) as picture:
                assert (picture.size, picture.mode) == ((8, 8), "L")
                levels = np.asarray(picture) / (255 / 16)
            index = row["id"] - 1
            assert np.abs(levels - data.images[index]).max() < 0.05
            assert row["label"] == data.target[index]
    assert names == {"train": len(train), "test": len(test)}
    assert list(train.columns) == list(sample.columns) == ["id", "label"]
    assert list(test.columns) == ["id"]
    assert sample["label"].nunique() == 1
    assert list(sample["id"]) == list(test["id"])
    truth = pd.read_csv(hosted.paths.solution)
    shares = truth["label"].value_counts() / pd.Series(data.target).value_counts()
    assert shares.between(0.29, 0.31).all()


def test_tables_have_usable_columns(paths: PracticePaths) -> None:
    for slug, features in (("breast-cancer", 30), ("diabetes", 10), ("wine", 13)):
        hosted = Catalogue(paths).get(slug)
        with zipfile.ZipFile(hosted.paths.bundle) as archive:
            test = pd.read_csv(archive.open("test.csv"))
        assert test.shape == (hosted.definition.test_rows, features + 1)
        assert all(kind.kind in "if" for kind in test.dtypes)
        assert not any(set(name) & set(' ,/[]{}:"') for name in test.columns)
    wine = Catalogue(paths).get("wine").definition
    assert wine.submission_columns == wine.classes == ("cultivar_0", "cultivar_1", "cultivar_2")
