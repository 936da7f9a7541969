"""A packaged run on the public test set, and on test sets that nobody has seen."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kagglerun.code_competition.freeze import FrozenRun, freeze_run
from kagglerun.code_competition.inference import predict_package
from kagglerun.code_competition.inference.__main__ import main
from kagglerun.errors import DataError, PackageError
from kagglerun.workspace import RunPaths, Workspace
from tests.code_competition.packaging_runs import (
    make_rows,
    submission_of,
    write_test,
)


@dataclass(frozen=True)
class Packaged:
    """A finished run, frozen."""

    workspace: Workspace
    data: Path
    run: RunPaths
    frozen: FrozenRun

    @property
    def folder(self) -> Path:
        return self.frozen.paths.folder


@pytest.fixture(scope="module")
def packaged(finished: tuple[Workspace, RunPaths], tmp_path_factory: pytest.TempPathFactory) -> Packaged:
    workspace, run = finished
    frozen = freeze_run(workspace, run, tmp_path_factory.mktemp("package"))
    return Packaged(workspace, workspace.competition("made").data, run, frozen)


def predict(packaged: Packaged, rows: pd.DataFrame, folder: Path) -> pd.DataFrame:
    write_test(folder / "data", rows)
    report = predict_package(packaged.folder, folder / "data", folder / "submission.csv")
    assert report.rows == len(rows)
    return pd.read_csv(report.file)


def test_a_packaged_run_writes_the_submission_of_the_run_byte_for_byte(packaged: Packaged, tmp_path: Path) -> None:
    assert packaged.frozen.inference.same_bits and not packaged.frozen.inference.notes
    report = predict_package(packaged.folder, packaged.data, tmp_path / "submission.csv")
    assert report.complete and report.rows == 31 and report.used == {packaged.run.run_id: 3}
    assert report.file.read_bytes() == submission_of(packaged.workspace, packaged.run)
    assert [path.name for path in tmp_path.iterdir()] == ["submission.csv"]


def test_rows_get_the_same_predictions_among_others_and_in_pieces(packaged: Packaged, tmp_path: Path) -> None:
    public = pd.read_csv(packaged.data / "test.csv")
    more = pd.concat([make_rows(62, seed=5, first_id=5000), public], ignore_index=True)
    written = predict(packaged, more, tmp_path).set_index("id")
    report = predict_package(packaged.folder, packaged.data, tmp_path / "public.csv", memory_bytes=1)
    alone = pd.read_csv(report.file).set_index("id")
    assert len(written) == 93 and (written.loc[alone.index] == alone).all(axis=None)
    assert report.file.read_bytes() == submission_of(packaged.workspace, packaged.run)


@pytest.mark.parametrize("count", [0, 1, 7])
def test_a_test_set_may_be_small_or_empty(packaged: Packaged, count: int, tmp_path: Path) -> None:
    written = predict(packaged, make_rows(31, seed=1, first_id=1000).iloc[:count], tmp_path)
    assert list(written.columns) == ["id", "y"] and len(written) == count


def test_unknown_categories_count_as_missing(packaged: Packaged, tmp_path: Path) -> None:
    rows = make_rows(40, seed=3)
    unknown = predict(packaged, rows.assign(word="never seen"), tmp_path / "unknown")
    missing = predict(packaged, rows.assign(word=None), tmp_path / "missing")
    assert unknown.equals(missing)


def test_cells_of_another_type_count_as_missing_and_are_told(packaged: Packaged, tmp_path: Path) -> None:
    rows = make_rows(40, seed=3)
    odd = rows.astype({"signal": object})
    odd.loc[4, "signal"] = "oops"
    write_test(tmp_path / "odd", odd)
    report = predict_package(packaged.folder, tmp_path / "odd", tmp_path / "odd.csv")
    assert report.complete
    assert report.notes == (
        "column signal: 1 of 40 cells are no number, as they were when the run was trained; they count as missing",
    )
    rows.loc[4, "signal"] = np.nan
    assert pd.read_csv(report.file).equals(predict(packaged, rows, tmp_path / "missing"))


def test_whole_numbers_may_become_decimals_and_flags_text(packaged: Packaged, tmp_path: Path) -> None:
    rows = make_rows(40, seed=3)
    usual = predict(packaged, rows, tmp_path / "usual")
    other = rows.assign(count=rows["count"].astype(float), flag=rows["flag"].astype(int))
    assert predict(packaged, other, tmp_path / "other").equals(usual)


def test_a_missing_column_is_named(packaged: Packaged, tmp_path: Path) -> None:
    write_test(tmp_path / "data", make_rows(5, seed=1).drop(columns=["word", "gaps"]))
    with pytest.raises(DataError, match=r"no column 'gaps'.*and 1 more are missing"):
        predict_package(packaged.folder, tmp_path / "data", tmp_path / "submission.csv")
    assert not (tmp_path / "submission.csv").exists()


def test_the_program_writes_file_and_report_and_names_its_errors(
    packaged: Packaged, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--hours", "1", "--memory-gb", "2", "--report", str(tmp_path / "report.json")]
    assert main([str(packaged.folder), str(packaged.data), str(tmp_path), *options]) == 0
    assert (tmp_path / "submission.csv").read_bytes() == submission_of(packaged.workspace, packaged.run)
    assert json.loads((tmp_path / "report.json").read_text())["complete"]
    assert "31 rows, each the mean of 3 predictions" in capsys.readouterr().out
    assert main([str(packaged.folder), str(tmp_path / "nowhere"), str(tmp_path)]) == 1
    assert "the competition's data is not at" in capsys.readouterr().err


def test_a_folder_without_inference_json_is_no_package(packaged: Packaged, tmp_path: Path) -> None:
    shutil.copytree(packaged.folder, tmp_path / "copy")
    (tmp_path / "copy/inference.json").unlink()
    with pytest.raises(PackageError, match=r"inference.json is missing"):
        predict_package(tmp_path / "copy", packaged.data, tmp_path / "submission.csv")


def test_damaged_weights_are_named(packaged: Packaged, tmp_path: Path) -> None:
    shutil.copytree(packaged.folder, tmp_path / "copy")
    [booster] = (tmp_path / "copy/members").glob("*/fold-0/booster-0.txt")
    booster.write_text("tree\nrubbish")
    with pytest.raises(PackageError, match=r"booster-0.txt cannot be read"):
        predict_package(tmp_path / "copy", packaged.data, tmp_path / "submission.csv")


def test_what_a_notebook_does_not_have_is_not_imported() -> None:
    absent = ["fastapi", "fsspec", "kaggle", "kagglesdk", "mlflow", "optuna", "ray", "rich", "typer", "uvicorn"]
    program = (
        f"import sys\nabsent = {absent}\nsys.modules.update(dict.fromkeys(absent))\n"
        "import kagglerun.code_competition.inference.__main__, kagglerun.code_competition.inference.predict\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
