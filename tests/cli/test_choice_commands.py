"""`kagglerun scores` and `kagglerun final` as a user types them, on runs whose quality is known."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from judged_runs import SLUG, Flips, host, ready

from kagglerun.cli.main import run
from kagglerun.practice.server import stop
from kagglerun.submission import scoreboard_review
from kagglerun.submission.ledger import LedgerEntry, add_entry
from kagglerun.workspace import Workspace

Capture = pytest.CaptureFixture[str]

_QUALITIES = {"poor": 0.2, "fair": 0.5, "good": 0.7, "better": 0.9, "finest": 1.1}
_PUBLIC = {"poor": 0.60, "fair": 0.75, "good": 0.83, "better": 0.88, "finest": 0.93}


@pytest.fixture(scope="module")
def flips(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flips]:
    """The competition, fetched, with runs of known quality and one that looks at what the test set does not have."""
    workspace = Workspace(tmp_path_factory.mktemp("flips"))
    workspace.competitions.mkdir()
    workspace.sweeps.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KAGGLERUN_WORKSPACE", str(workspace.root))
        host(workspace)
        assert run(["fetch", f"practice/{SLUG}"]) == 0
        stop(workspace)
        found = ready(workspace)
    for seed, (name, quality) in enumerate(_QUALITIES.items()):
        found.make_run(name, quality, seed)
    found.make_run("leaky", 0.4, seed=9, leak=1.2)
    yield found
    stop(workspace)


@pytest.fixture
def workspace_of(flips: Flips, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> Iterator[Workspace]:
    """Its workspace, with nothing sent."""
    monkeypatch.setenv("KAGGLERUN_WORKSPACE", str(flips.workspace.root))
    monkeypatch.setenv("KAGGLERUN_MLFLOW_URI", "none")
    monkeypatch.setattr(scoreboard_review, "_DRAWS", 60)
    flips.workspace.ledger.unlink(missing_ok=True)
    capsys.readouterr()
    yield flips.workspace


def _sent(workspace: Workspace, public: dict[str, float]) -> None:
    for ref, (name, score) in enumerate(public.items(), 1):
        entry = LedgerEntry(f"practice/{SLUG}", f"{ref:064}", f"{name}.csv", name, "", "sent", ref=ref)
        add_entry(workspace.ledger, entry)
        add_entry(workspace.ledger, LedgerEntry(**{**entry.__dict__, "public_score": score, "time": ""}))


@pytest.mark.long
def test_what_is_off_the_line_is_said(workspace_of: Workspace, capsys: Capture) -> None:
    _sent(workspace_of, {**_PUBLIC, "leaky": 0.70})
    assert run(["scores", SLUG, "--offline", "--public-share", "0.3"]) == 0
    said = capsys.readouterr()
    assert "off the line: leaky is worse in public than its CV leads to" in said.out
    assert "CV says leaky is better than" in said.err


def test_scores_that_agree_are_told_with_what_is_noise(workspace_of: Workspace, capsys: Capture) -> None:
    _sent(workspace_of, _PUBLIC)
    assert run(["scores", SLUG, "--offline", "--public-share", "0.3"]) == 0
    said = capsys.readouterr()
    assert "Kendall 1.00" in said.out and "5 runs" in said.out
    assert "public part: 135 rows (30% of 450 test rows, as you say)" in said.out
    assert "cannot be told apart" in said.out and "warning" not in said.err
    picture = Path(said.out.splitlines()[-1])
    assert picture == workspace_of.scoreboard(SLUG) and picture.read_bytes().startswith(b"\x89PNG")


def test_a_run_whose_cv_sees_too_much_is_off_the_line_and_warned_of(workspace_of: Workspace, capsys: Capture) -> None:
    _sent(workspace_of, {**_PUBLIC, "leaky": 0.70})
    assert run(["scores", SLUG, "--offline", "--public-share", "0.3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["run"] for one in found["submissions"] if one["is_off"]] == ["leaky"]
    assert any("CV says leaky is better than" in warning for warning in found["warnings"])


def test_final_proposes_two_with_the_reasoning_and_passes_the_leaky_one_over(
    workspace_of: Workspace, capsys: Capture
) -> None:
    _sent(workspace_of, {**_PUBLIC, "leaky": 0.70})
    assert run(["final", SLUG, "--offline", "--public-share", "0.3", "--draws", "100"]) == 0
    said = capsys.readouterr().out
    assert "choose finest and better" in said and "beyond" not in said
    assert "two best by CV: finest and leaky: expected" in said
    assert "public scores leave the line of CV by more than noise" in said
    assert "135 public and 315 private rows" in said and "a difference between two candidates moves by" in said


@pytest.mark.long
def test_runs_that_were_not_sent_are_candidates_where_asked(workspace_of: Workspace, capsys: Capture) -> None:
    _sent(workspace_of, {name: _PUBLIC[name] for name in ("poor", "fair")})
    assert run(["final", SLUG, "--offline", "--draws", "50"]) == 0
    said = capsys.readouterr().out
    assert "choose fair and poor" in said and "which is a guess: say it by --public-share" in said
    assert run(["final", SLUG, "--offline", "--draws", "50", "--unsent", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {one["run_id"] for one in found["candidates"]} == {*_QUALITIES, "leaky"}
    assert run(["final", SLUG, "--offline", "--draws", "50", "--unsent"]) == 0
    assert "was not sent yet: kagglerun submit" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["scores", SLUG, "--offline", "--public-share", "1.5"], 2, "a public share of 1.5 is not between 0 and 1"),
        (["final", SLUG, "--offline", "--public-share", "0"], 2, "a public share of 0 is not between 0 and 1"),
        (["final", "nothing-here", "--offline"], 2, "kagglerun fetch nothing-here"),
    ],
)
def test_wrong_use_is_said(
    workspace_of: Workspace, capsys: Capture, arguments: list[str], code: int, says: str
) -> None:
    _sent(workspace_of, _PUBLIC)
    assert run(arguments) == code
    assert says in capsys.readouterr().err


def test_before_anything_is_scored_the_next_command_is_named(workspace_of: Workspace, capsys: Capture) -> None:
    assert run(["scores", SLUG, "--offline"]) == 0
    assert "nothing was scored yet; `kagglerun submit best`" in capsys.readouterr().out


@pytest.mark.long
def test_without_predictions_the_order_is_told_and_the_noise_is_not(workspace_of: Workspace, capsys: Capture) -> None:
    _sent(workspace_of, _PUBLIC)
    oof = workspace_of.run(SLUG, "fair").oof
    oof.rename(oof.with_suffix(".away"))
    try:
        assert run(["scores", SLUG, "--offline"]) == 0
        said = capsys.readouterr().out
        assert "Kendall 1.00" in said and "what is noise could not be measured: there are no predictions at" in said
        assert run(["final", SLUG, "--offline"]) == 1
        assert "there are no predictions at" in capsys.readouterr().err
    finally:
        oof.with_suffix(".away").rename(oof)


@pytest.mark.long
def test_on_a_real_server_the_proposed_two_are_the_best_in_private(workspace_of: Workspace, capsys: Capture) -> None:
    for name in (*_QUALITIES, "leaky"):
        assert run(["submit", name, "--yes"]) == 0, capsys.readouterr().err
    capsys.readouterr()
    assert run(["scores", f"practice/{SLUG}", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["run"] for one in found["submissions"]] == [*_QUALITIES, "leaky"]
    assert found["noise"]["sizes"]["because"] == "the page 'data-description' says so"
    assert run(["final", f"practice/{SLUG}", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    private = {one["run_id"]: one["private"] for one in found["candidates"]}
    proposed = [found["candidates"][found["pair"][place]]["run_id"] for place in ("first", "second")]
    assert max(private.values()) == max(private[name] for name in proposed)
    assert run(["final", f"practice/{SLUG}"]) == 0
    assert "private scores are known (they played no part): the proposed two" in capsys.readouterr().out
