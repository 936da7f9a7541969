"""A run submitted to a competition that takes notebooks only, by the real client to the practice server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from kagglerun import metrics
from kagglerun.cli.main import run
from kagglerun.code_competition import submit
from kagglerun.code_competition.inference.predict import predict_package
from kagglerun.code_competition.package_files import PackagePaths
from kagglerun.code_competition.rehearse import RehearsalOptions, rehearse
from kagglerun.config.card import CompetitionFacts
from kagglerun.config.load import load_card
from kagglerun.errors import AlreadySubmitted, KagglerunError
from kagglerun.kaggle_api.client import KaggleClient
from kagglerun.kaggle_api.kernel_push import push_kernel
from kagglerun.kaggle_api.kernels import KernelState, KernelVersion, wait_for_kernel
from kagglerun.kaggle_api.limits import read_allowance
from kagglerun.kaggle_api.submit import describe
from kagglerun.practice.competitions import Catalogue
from kagglerun.practice.create import TableCompetition, create
from kagglerun.practice.faults import read_fault
from kagglerun.practice.hidden import mounted
from kagglerun.practice.paths import PracticePaths
from kagglerun.practice.server import ensure_running, set_faults, stop
from kagglerun.practice.state import Store
from kagglerun.submission.attempts import look_for_attempts
from kagglerun.submission.guard import CheckedFile
from kagglerun.submission.send import Prepared, send_prepared
from kagglerun.workspace import Workspace
from tests.code_competition.packaging_runs import make_rows
from tests.kaggle_api.test_kernels import write_kernel
from tests.local_kaggle import practice_client

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed: make system"),
]
CONFIG = "competition: practice/coded\ncv: {n_splits: 2}\nmodel: {kind: tabular_boosting, n_estimators: 20}\n"


@pytest.fixture
def coded(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A workspace whose practice server has a code competition, fetched; rehearsals try the public test set only."""
    table = make_rows(200, seed=3).astype(str)
    source = TableCompetition(
        slug="coded",
        title="Coded",
        description="Made for a test.",
        table=table.replace({"nan": "", "None": ""}),
        targets=("y",),
        metric=metrics.get("auc"),
        id_column="id",
        notebooks_only=True,
        daily=90,
    )
    create(PracticePaths(workspace.practice), source)
    monkeypatch.setenv("KAGGLERUN_MLFLOW_URI", "none")
    monkeypatch.setattr(
        submit, "rehearse", lambda *given, tell: rehearse(*given[:2], RehearsalOptions(variants=()), tell)
    )
    assert run(["fetch", "practice/coded"]) == 0
    (workspace.sweeps / "t.yaml").write_text(CONFIG)
    yield workspace
    stop(workspace)


def test_a_table_competition_from_fetch_to_score(coded: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "t.yaml"]) == 0
    assert run(["submit", "best", "--yes"]) == 0
    said = capsys.readouterr().out
    assert "the bytes of the local file" in said and "public score" in said
    hosted = Catalogue(PracticePaths(coded.practice)).get("coded")
    scored = Store(PracticePaths(coded.practice).database).submissions("coded")
    trained = next(iter(coded.all_runs("coded")))
    package = PackagePaths.of(coded, trained)
    here = coded.root / "hidden.csv"
    predict_package(package.data_set, mounted(hosted, hidden=True), here)
    uploaded = PracticePaths(coded.practice).upload(scored[0].token)
    assert uploaded.read_bytes() == here.read_bytes(), "the hidden rows have the bytes of a prediction here"
    truth = pd.read_csv(hosted.paths.solution).merge(pd.read_csv(here), on="id", suffixes=("_true", ""))
    private = truth[truth["Usage"] == "Private"]
    expected = roc_auc_score(private["y_true"] == "yes", private["y"])
    assert scored[0].private_score == pytest.approx(expected, abs=1e-9)
    assert run(["submit", "best", "--yes"]) == AlreadySubmitted.exit_code
    assert len(Store(PracticePaths(coded.practice).database).submissions("coded")) == 1


def test_a_training_in_a_notebook_brings_its_run_here(coded: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "t.yaml", "--on", "kaggle", "--packages", "platform"]) == 0
    assert "carried" in capsys.readouterr().out
    there = next(iter(coded.all_runs("coded")))
    assert run(["train", "t.yaml", "--run", "here"]) == 0
    here = coded.run("coded", "here")
    assert there.oof.read_bytes() == here.oof.read_bytes(), "the same bits as a run of this machine"
    assert run(["train", "t.yaml", "--on", "kaggle", "--packages", "platform"]) == 0
    assert "the same at both places" in capsys.readouterr().out


def test_an_unknown_place_is_named(coded: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sweep", "t.yaml", "--on", "mars"]) == 2
    assert "unknown place 'mars'; known: kaggle" in capsys.readouterr().err
    assert not coded.kernels.exists()


FAULTS = (
    "api-break@CreateCodeSubmission",
    "api-error=503@CreateCodeSubmission",
    "api-html@CreateCodeSubmission",
    "api-lost@CreateCodeSubmission",
    "api-lost-half@CreateCodeSubmission",
    "api-lost-error@CreateCodeSubmission",
    "api-lost-html@CreateCodeSubmission",
    "api-lost@CreateCodeSubmission api-error=500@ListSubmissions*9",
    "hollow",
    "hollow=4711",
    "lag@ListSubmissions*2",
    "api-rate-limit=1@CreateCodeSubmission",
    "rules@CreateCodeSubmission",
)


def test_no_fault_spends_two_slots_and_the_same_command_ends_well(
    coded: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kagglerun.submission.send.READ_BACK_SECONDS", (0.0, 0.0))
    monkeypatch.setattr("kagglerun.submission.attempts.SETTLED_SECONDS", 0.0)
    client, kernel = practice_client(coded), _complete_kernel(coded, tmp_path)
    database = Store(PracticePaths(coded.practice).database)
    for number, specs in enumerate(FAULTS):
        before = len(database.submissions("coded"))
        set_faults(ensure_running(coded), [read_fault(spec) for spec in specs.split()])
        try:
            _send(coded, client, kernel, tmp_path, number)
        except KagglerunError:
            set_faults(ensure_running(coded), [])
            _send(coded, client, kernel, tmp_path, number)
        assert len(database.submissions("coded")) - before == 1, specs


def _complete_kernel(workspace: Workspace, folder: Path) -> KernelVersion:
    source = "import shutil\nshutil.copy('/kaggle/input/coded/sample_submission.csv', 'submission.csv')"
    client = practice_client(workspace)
    pushed = push_kernel(client, write_kernel(folder / "k", source, competition_sources=["coded"]))
    assert wait_for_kernel(client, pushed.ref, 120).state is KernelState.COMPLETE
    return pushed


def _send(workspace: Workspace, client: KaggleClient, kernel: KernelVersion, folder: Path, number: int) -> Any:
    """What `kagglerun submit` does once the notebook has run."""
    card = load_card(workspace.competition("coded").card)
    checked = CheckedFile(folder / "submission.csv", 1, ("id", "y"), f"{number:064d}"[::-1])
    facts: CompetitionFacts = client.facts("coded", brief=True)
    earlier = look_for_attempts(workspace, client, card, checked)
    allowance = read_allowance(client, facts)
    said = describe("by notebook", checked.sha256)
    taken = earlier.taken_up
    prepared = Prepared(card, facts, checked, None, said, allowance, earlier.listed, "", taken)
    return send_prepared(workspace, submit.by_notebook(client, kernel, "submission.csv"), prepared)


def test_a_session_whose_time_was_up_goes_on_from_its_own_output(coded: Workspace, tmp_path: Path) -> None:
    from kagglerun.code_competition.remote_training import RemoteTraining, train_there
    from kagglerun.errors import KernelFailed

    source = (
        "from pathlib import Path\n"
        "earlier = Path('/kaggle/input/one-of-mine/kept.txt')\n"
        "if not earlier.exists():\n"
        "    Path('kept.txt').write_text('half of it')\n"
        '    print("the session\'s time is up; everything is kept")\n'
        "else:\n"
        "    print('went on from', earlier.read_text())"
    )
    paths, told = coded.kernel("one-of-mine"), []
    write_kernel(paths.notebook, source, id="practice/one-of-mine", kernel_sources=[])
    with pytest.raises(KernelFailed, match="version 2, is complete and packed no runs"):
        train_there(coded, practice_client(coded), RemoteTraining(paths, 1.0, 0), told.append)
    assert "its session's time was up; the next one goes on from there" in told
    log = PracticePaths(coded.practice).kernel_run(2).log.read_text()
    assert "went on from half of it" in log
