"""`kagglerun package`, as it is typed."""

from __future__ import annotations

import pytest

from kagglerun.cli.main import run
from kagglerun.workspace import Workspace
from tests.code_competition.packaging_runs import train, write_table_competition
from tests.sandbox.small_notebooks import require_sandbox


def test_unknown_run_and_wrong_options_are_usage_errors(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["package", "nothing"]) == 2
    assert "there is no run 'nothing'" in capsys.readouterr().err
    assert run(["package", "nothing", "--hours", "soon"]) == 2


@pytest.mark.long
def test_package_is_made_rehearsed_and_refused_when_it_fails(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    require_sandbox()
    write_table_competition(workspace)
    made = train(workspace, "tabular_boosting")
    assert run(["package", made.run_id, "--no-rehearse", "--gpu", "none", "--hours", "2"]) == 0
    said = capsys.readouterr().out
    assert "no GPU, internet off, 2 h" in said
    assert f"next: kagglerun submit {made.run_id}" in said
    assert "rehearsal" not in said

    assert run(["package", made.run_id, "--memory-gb", "0.15"]) == 3
    shown = capsys.readouterr()
    assert "public: FAILED   31 rows" in shown.out
    assert "the notebook failed its rehearsal; public: out of memory" in shown.err

    assert run(["package", made.run_id, "--packages", "every"]) == 2
    assert "known: keep-torch, locked, platform" in capsys.readouterr().err
