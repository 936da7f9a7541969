"""Packages: wheels, requirements, the notebook and its descriptions; other test sets; forecasts."""

from __future__ import annotations

import importlib.metadata
import json
import zipfile
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from packaging.requirements import Requirement

from kagglerun.code_competition import notebook_program, wheels
from kagglerun.code_competition.forecast import Measured, forecast, speed_ratio
from kagglerun.code_competition.inference.data_set import DataSetPaths
from kagglerun.code_competition.notebook import make_notebook, slug_of
from kagglerun.code_competition.package import PackageOptions, find_package, give_to, make_package
from kagglerun.code_competition.package_files import PackagePaths, describe_files
from kagglerun.code_competition.requirements import lacking, requirements_of
from kagglerun.code_competition.test_tables import (
    file_names,
    read_test_tables,
    repeated,
    with_rows,
    with_strange_cells,
    write_test_set,
)
from kagglerun.config.card import Card
from kagglerun.config.load import load_card
from kagglerun.errors import ConfigError, DataError, PackageError
from kagglerun.files import read_json
from kagglerun.paths import CompetitionPaths
from kagglerun.sandbox.image import Image, read_image
from kagglerun.workspace import RunPaths, Workspace
from tests.code_competition.packaging_runs import train, write_table_competition

_IMAGE = Image("3.12", "manylinux_2_35_x86_64", {"numpy": "2.0.2", "pandas": "2.2.2"})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, RunPaths]:
    workspace = Workspace(tmp_path_factory.mktemp("workspace"))
    write_table_competition(workspace)
    return workspace, train(workspace, "tabular_boosting")


@pytest.mark.long
def test_package_is_what_the_official_client_takes(trained: tuple[Workspace, RunPaths]) -> None:
    workspace, run = trained
    said: list[str] = []
    made = make_package(workspace, run, PackageOptions(hours=2, gpu="p100", user="me"), said.append)
    paths, manifest = made.paths, made.manifest
    assert paths == PackagePaths.of(workspace, run)
    data_set, kernel = read_json(paths.data_set_metadata), read_json(paths.kernel_metadata)
    assert data_set == {"id": f"me/{manifest.slug}", "title": manifest.slug, "licenses": [{"name": "other"}]}
    assert (kernel["id"], kernel["title"]) == (f"me/{manifest.slug}", manifest.slug)
    assert (kernel["enable_internet"], kernel["enable_gpu"]) == (False, True)
    assert kernel["machine_shape"] == "NvidiaTeslaP100"
    assert kernel["dataset_sources"] == [f"me/{manifest.slug}"]
    assert (kernel["competition_sources"], kernel["is_private"]) == (["made"], True)
    notebook = paths.notebook / kernel["code_file"]
    nbformat.validate(nbformat.read(notebook, as_version=4))
    assert "submission.csv" in notebook.read_text("utf-8")
    assert [path.name for path in paths.wheels.iterdir()] == [f"kagglerun-{manifest.kagglerun}-py3-none-any.whl"]
    assert not [file.name for file in manifest.files if file.name.endswith((".pkl", ".pickle", ".pt", ".joblib"))]
    assert find_package(paths).manifest == manifest
    assert said[0].startswith("weights") and "kagglerun" in said[1]

    give_to(made, "you")
    assert read_json(paths.kernel_metadata)["dataset_sources"] == [f"you/{manifest.slug}"]
    assert find_package(paths).manifest == manifest, "who owns it changes nothing of what it is"
    again = make_package(workspace, run, PackageOptions(hours=2, gpu="p100"))
    assert again.manifest.sha256 == manifest.sha256, "the same run gives the same package"
    (paths.wheels / "more.whl").write_bytes(b"")
    assert describe_files(paths) != manifest.files
    next(paths.wheels.glob("kagglerun*")).unlink()
    with pytest.raises(PackageError, match="is missing or was changed"):
        find_package(paths)


@pytest.mark.long
def test_failed_package_leaves_the_one_before_alone(trained: tuple[Workspace, RunPaths], tmp_path: Path) -> None:
    workspace, run = trained
    place = tmp_path / "mine"
    made = make_package(workspace, run, PackageOptions(out=place))
    with pytest.raises(PackageError, match="is no requirement"):
        make_package(workspace, run, PackageOptions(out=place, extra=("not a requirement",)))
    with pytest.raises(ConfigError, match="has no GPU 'H9000'"):
        make_package(workspace, run, PackageOptions(out=place, gpu="h9000"))
    with pytest.raises(ConfigError, match="packages"):
        make_package(workspace, run, PackageOptions(out=place, packages="some"))
    assert find_package(made.paths).manifest == made.manifest
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    with pytest.raises(PackageError, match="holds no package"):
        find_package(PackagePaths(tmp_path / "nothing"))
    (tmp_path / "other").mkdir()
    (tmp_path / "other/thesis.txt").write_text("all of it")
    with pytest.raises(PackageError, match="is there already and is no package"):
        make_package(workspace, run, PackageOptions(out=tmp_path / "other"))
    assert (tmp_path / "other/thesis.txt").read_text() == "all of it"


@pytest.mark.long
def test_requirements_follow_models_hooks_and_the_wish_for_equal_versions(
    trained: tuple[Workspace, RunPaths], tmp_path: Path
) -> None:
    workspace, run = trained
    data_set = DataSetPaths(make_package(workspace, run, PackageOptions(out=tmp_path / "p")).paths.data_set)
    names = {one.name for one in requirements_of(data_set, "platform")}
    assert {"lightgbm", "numpy", "pyarrow"} <= names and "timm" not in names and "mlflow" not in names
    assert not lacking(requirements_of(data_set, "platform"), read_image())
    locked = {one.name: str(one.specifier) for one in requirements_of(data_set, "locked")}
    assert locked["numpy"] == f"=={importlib.metadata.version('numpy')}"
    assert "torch" in {one.name for one in lacking(requirements_of(data_set, "locked"), read_image())}
    kept = {one.name: str(one.specifier) for one in requirements_of(data_set, "keep-torch", ["polars>=1"])}
    assert (kept["numpy"], kept["torch"], kept["polars"]) == (locked["numpy"], ">=2.6", ">=1")

    data_set.competition.hooks.write_text("import os\nimport networkx.utils\ndef f():\n    from rapidfuzz import x\n")
    assert {"networkx", "rapidfuzz"} <= {one.name for one in requirements_of(data_set, "platform")}
    data_set.competition.hooks.write_text("import nowhere_to_be_found")
    with pytest.raises(PackageError, match="imports nowhere_to_be_found"):
        requirements_of(data_set, "platform")


def test_image_lacks_what_it_does_not_have_or_has_too_old() -> None:
    wanted = [Requirement(text) for text in ("numpy>=2.0", "pandas>=3", "timm", "NumPy==2.0.2")]
    assert [one.name for one in lacking(wanted, _IMAGE)] == ["pandas", "timm"]


def test_wheel_of_kagglerun_asks_for_what_inference_needs_only(tmp_path: Path) -> None:
    wheel = wheels.own_wheel(tmp_path, [Requirement("numpy>=2.0"), Requirement("polars")])
    with zipfile.ZipFile(wheel) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        metadata = archive.read(next(name for name in names if name.endswith("METADATA"))).decode()
        record = archive.read(next(name for name in names if name.endswith("RECORD"))).decode()
    asked = [line for line in metadata.splitlines() if line.startswith("Requires-Dist")]
    assert asked == ["Requires-Dist: numpy>=2.0", "Requires-Dist: polars"]
    assert len(record.splitlines()) == len(names)
    assert not [name for name in names if name.endswith((".lock", "entry_points.txt"))]
    assert wheels.needs_of(tmp_path) == {"numpy", "polars"}
    again = wheels.own_wheel(tmp_path / "..", [Requirement("numpy>=2.0"), Requirement("polars")])
    assert again.read_bytes() == wheel.read_bytes()


def test_older_platforms_wheels_are_taken_too() -> None:
    tags = wheels.platform_tags("manylinux_2_35_x86_64")
    assert tags[0] == "manylinux_2_35_x86_64" and tags[-1] == "linux_x86_64"
    assert {"manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux1_x86_64"} <= set(tags)
    assert wheels.uv_platform("manylinux_2_35_x86_64") == "x86_64-manylinux_2_35"
    assert wheels.platform_tags("win_amd64") == ["win_amd64"]


def test_slugs_are_ones_that_kaggle_takes() -> None:
    for competition, run in (("titanic", "a"), ("a" * 60, "Best Run_of.all" * 9), ("x", "ö")):
        slug = slug_of(competition, run)
        assert 6 <= len(slug) <= 50 and slug == slug.lower().strip("-") and "--" not in slug
    assert slug_of("titanic", "a_b") != slug_of("titanic", "a-b")


def test_notebook_finds_its_inputs_at_old_and_new_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook_program, "INPUTS", tmp_path)
    with pytest.raises(SystemExit, match="Add Input: made"):
        notebook_program.find_input("made", ("competitions",), "*")
    new = tmp_path / "datasets/me/packed"
    new.mkdir(parents=True)
    (new / "inference.json").touch()
    assert notebook_program.find_input("packed", ("datasets/*",), "inference.json") == new
    (tmp_path / "packed").mkdir()
    assert notebook_program.find_input("packed", ("datasets/*",), "inference.json") == new, "the other one is empty"
    (tmp_path / "packed/inference.json").touch()
    assert notebook_program.find_input("packed", ("datasets/*",), "inference.json") == tmp_path / "packed"


def test_folders_that_came_as_archives_are_unpacked(tmp_path: Path) -> None:
    data_set = tmp_path / "data"
    data_set.mkdir()
    assert notebook_program.unpacked(data_set, tmp_path / "no") == data_set
    (data_set / "inference.json").write_text("{}")
    with zipfile.ZipFile(data_set / "members.zip", "w") as archive:
        archive.writestr("run/weights.txt", "w")
    found = notebook_program.unpacked(data_set, tmp_path / "scratch")
    assert (found / "inference.json").read_text() == "{}"
    assert (found / "members/run/weights.txt").read_text() == "w"


def test_notebook_has_the_same_bytes_for_the_same_package() -> None:
    texts = {make_notebook("slug-of", "made", "submission.csv", 9, 29) for _ in range(2)}
    assert len(texts) == 1
    [text] = texts
    source = "".join(
        cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])
        for cell in json.loads(text)["cells"]
    )
    assert "hours=9" in source and "/kaggle/working/submission.csv" in source


def _tables(paths: CompetitionPaths, rows: pd.DataFrame | None, sample: pd.DataFrame, **card: object) -> Card:
    paths.data.mkdir(parents=True)
    files = {"sample_submission": "sample_submission.csv", "test_table": None if rows is None else "test.csv"}
    if rows is not None:
        rows.to_csv(paths.data / "test.csv", index=False)
    sample.to_csv(paths.data / "sample_submission.csv", index=False)
    return Card.model_validate({"slug": "made", **card, "files": {**files, **dict(card.get("files", {}))}})  # type: ignore[call-overload]


def test_copies_of_test_rows_have_ids_of_the_same_kind(tmp_path: Path) -> None:
    paths = CompetitionPaths(tmp_path / "made")
    rows = pd.DataFrame({"id": [7, 9, 8], "x": [0.5, 1.25, 2]})
    card = _tables(paths, rows, pd.DataFrame({"id": [8, 7, 9], "y": 0}), ids=["id"])
    tables = read_test_tables(paths, card)
    assert tables.asks.tolist() == [2, 0, 1]
    larger = repeated(tables, 3)
    assert larger.rows is not None
    assert larger.rows["id"].tolist() == ["7", "9", "8", "10", "12", "11", "13", "15", "14"]
    assert larger.sample["id"].tolist() == ["8", "7", "9", "11", "10", "12", "14", "13", "15"]
    assert larger.rows["x"].tolist()[3:6] == rows["x"].map(str).tolist()
    smaller = with_rows(tables, np.array([0, 2]))
    assert smaller.rows is not None
    assert (smaller.rows["id"].tolist(), smaller.sample["id"].tolist()) == (["7", "8"], ["8", "7"])


def test_composed_ids_follow_their_rows(tmp_path: Path) -> None:
    paths = CompetitionPaths(tmp_path / "made")
    rows = pd.DataFrame({"image": ["b", "a"], "x": [1, 2]})
    sample = pd.DataFrame({"id": ["a_cat", "a_dog", "b_cat", "b_dog"], "y": 0})
    card = _tables(paths, rows, sample, ids=["id"], id_format="{image}_{kind}")
    tables = read_test_tables(paths, card)
    assert (tables.key, tables.asks.tolist()) == ("image", [1, 1, 0, 0])
    larger = repeated(tables, 2)
    assert larger.sample["id"].tolist()[4:] == ["ax1_cat", "ax1_dog", "bx1_cat", "bx1_dog"]
    assert with_rows(tables, np.array([1])).sample["id"].tolist() == ["a_cat", "a_dog"]


def test_rows_that_only_the_sample_lists_are_repeated_with_their_files(tmp_path: Path) -> None:
    paths = CompetitionPaths(tmp_path / "made")
    files = {"test_files": "test/{id}.png"}
    card = _tables(paths, None, pd.DataFrame({"id": ["q", "r"], "y": 0}), ids=["id"], files=files)
    (paths.data / "test").mkdir()
    for name in "qr":
        (paths.data / f"test/{name}.png").write_text(name)
    tables = read_test_tables(paths, card)
    larger = repeated(tables, 2)
    assert file_names(larger) == ["test/q.png", "test/r.png", "test/qx1.png", "test/rx1.png"]
    made = write_test_set(paths, card, larger, tables, tmp_path / "new")
    assert [(made.data / name).read_text() for name in file_names(larger)] == ["q", "r", "q", "r"]
    assert read_test_tables(made, card).sample.equals(larger.sample)
    assert read_test_tables(paths, card).sample.equals(tables.sample), "the competition itself stays"


def test_strange_cells_leave_ids_and_files_alone(tmp_path: Path) -> None:
    paths = CompetitionPaths(tmp_path / "made")
    rows = pd.DataFrame({"id": [1, 2, 3, 4], "word": ["a", "b", "a", "b"], "n": [1, 2, 3, 4], "file": list("wxyz")})
    card = _tables(paths, rows, pd.DataFrame({"id": [1, 2, 3, 4], "y": 0}), ids=["id"])
    strange, changed = with_strange_cells(read_test_tables(paths, card), ["file"])
    assert changed == ["word", "n"]
    assert strange.rows is not None
    assert strange.rows["word"].tolist() == ["never seen before", "b", "a", "never seen before"]
    assert strange.rows["n"].tolist() == ["", "2", "3", ""]
    assert strange.rows["file"].tolist() == list("wxyz")


def test_test_sets_that_cannot_be_changed_say_why(tmp_path: Path) -> None:
    paths = CompetitionPaths(tmp_path / "made")
    card = _tables(paths, pd.DataFrame({"a": [1, 1]}), pd.DataFrame({"id": [1, 2, 3], "y": 0}), ids=["id"])
    with pytest.raises(DataError, match="is not certain"):
        read_test_tables(paths, card)
    packed = card.model_copy(update={"files": card.files.model_copy(update={"test_table": "test.json"})})
    with pytest.raises(DataError, match="no CSV"):
        read_test_tables(paths, packed)


def test_parquet_tables_keep_the_types_of_their_columns(tmp_path: Path) -> None:
    paths = CompetitionPaths(tmp_path / "made")
    rows = pd.DataFrame({"id": [1, 2], "x": [0.1, 1e300], "flag": [True, False], "word": ["a", "é"]})
    card = _tables(paths, None, pd.DataFrame({"id": [1, 2], "y": 0}), ids=["id"])
    rows.to_parquet(paths.data / "test.parquet", index=False)
    card = card.model_copy(update={"files": card.files.model_copy(update={"test_table": "test.parquet"})})
    tables = read_test_tables(paths, card)
    made = write_test_set(paths, card, repeated(tables, 2), tables, tmp_path / "new")
    larger = pd.read_parquet(made.data / "test.parquet")
    assert larger.dtypes.tolist() == pd.read_parquet(paths.data / "test.parquet").dtypes.tolist()
    assert larger["id"].tolist() == [1, 2, 3, 4]
    assert larger.iloc[2:, 1:].to_dict("list") == rows.iloc[:, 1:].to_dict("list")
    strange, _ = with_strange_cells(tables, [])
    made = write_test_set(paths, card, strange, tables, tmp_path / "strange")
    assert pd.read_parquet(made.data / "test.parquet")["x"].isna().tolist() == [True, False]


def test_forecast_takes_a_fixed_part_and_one_for_each_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert forecast([], 100, 3600, None, None) is None
    made = forecast([Measured(100, 20), Measured(300, 40), Measured(30, 13)], 1000, 3600, None, None)
    assert made is not None and made.fits
    assert made.seconds == pytest.approx(3 * (10 + 0.1 * 1000))
    assert "1000 rows" in made.line() and "2 slower" not in made.line()
    late = forecast([Measured(100, 20), Measured(300, 40)], 10**6, 3600, None, None)
    assert late is not None and not late.fits


def test_gpus_are_compared_by_their_throughput() -> None:
    ratio, why = speed_ratio("T4", "NVIDIA H200, 143771 MiB")
    assert ratio == pytest.approx(66.9 / 8.1) and "T4" in why
    assert speed_ratio("A100", "Tesla T4")[0] == 1.0, "a faster one there is no promise"
    assert speed_ratio("T4", "Some GPU")[0] == 2.0
    assert "without a GPU here" in speed_ratio("T4", None)[1]


@pytest.mark.long
def test_cards_of_real_layouts_are_read(trained: tuple[Workspace, RunPaths]) -> None:
    workspace, _ = trained
    paths = workspace.competition("made")
    tables = read_test_tables(paths, load_card(paths.card))
    assert (tables.count, tables.key, len(tables.sample)) == (31, "id", 31)
