from __future__ import annotations

from pathlib import Path

import pytest

from kagglerun.code_competition.freeze import freeze_run
from kagglerun.code_competition.inference import predict_package
from kagglerun.workspace import Workspace
from tests.code_competition.packaging_runs import submission_of, train, write_table_competition


@pytest.mark.parametrize("kind", ["tabular_boosting"])
def test_a_packaged_run_writes_the_submission_of_the_run_byte_for_byte(
    kind: str, workspace: Workspace, tmp_path: Path
) -> None:
    data = write_table_competition(workspace)
    run = train(workspace, kind)
    frozen = freeze_run(workspace, run, tmp_path / "package")
    assert frozen.inference.same_bits and not frozen.inference.notes
    report = predict_package(tmp_path / "package", data, tmp_path / "submission.csv")
    assert report.complete and report.rows == 31
    assert report.file.read_bytes() == submission_of(workspace, run)
