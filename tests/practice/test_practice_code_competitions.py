"""Competitions that take notebooks only: all see a part of the test rows, a submitted notebook is run with all."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from kagglerun.practice.competitions import Catalogue
from kagglerun.practice.create import SHOWN_SHARE
from kagglerun.practice.hidden import mounted
from kagglerun.practice.paths import PracticePaths
from kagglerun.practice.server import ensure_running, stop
from kagglerun.workspace import Workspace
from tests.practice.official import Official
from tests.practice.small import Client, small_competition
from tests.practice.test_practice_kernels import KERNELS, wait_until_done, write_kernel

needs_sandbox = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed: make system")
READ = "import pandas as pd\ntest = pd.read_csv('/kaggle/input/competitions/{slug}/test.csv', dtype=str)\n"
WRITE = "pd.DataFrame({'key': test['key'], 'label': 'no'}).to_csv('submission.csv', index=False)"


@pytest.fixture(scope="module")
def coded(client: Client) -> str:
    """A code competition; its slug."""
    small_competition(client.paths, "notebooks-only-one", notebooks_only=True, daily=50)
    return "notebooks-only-one"


def push(client: Client, slug: str, name: str, source: str, **changes: Any) -> dict[str, Any]:
    said = {"language": "python", "kernelType": "notebook", "enableInternet": False, "newTitle": name}
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "outputs": [], "execution_count": None, "source": source}
    text = json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    said |= {"slug": f"practice/{name}", "text": text, "competitionDataSources": [slug], **changes}
    pushed = client.call("SaveKernel", KERNELS, **said).json()
    return {**pushed, **wait_until_done(client, name)}


def submit(client: Client, slug: str, name: str, **changes: Any) -> Any:
    asked = {"competitionName": slug, "kernelOwner": "practice", "kernelSlug": name, "kernelVersion": 1}
    return client.call("CreateCodeSubmission", **{**asked, "fileName": "submission.csv", **changes})


def scored(client: Client, ref: int) -> dict[str, Any]:
    while (said := client.ask("GetSubmission", ref=ref))["status"] == "PENDING":
        time.sleep(0.05)
    return said


def test_all_see_a_part_of_the_test_rows_and_a_notebook_sees_all(client: Client, coded: str) -> None:
    hosted = Catalogue(client.paths).get(coded)
    shown, hidden = (pd.read_csv(mounted(hosted, hidden=which) / "test.csv", dtype=str) for which in (False, True))
    assert len(hidden) == hosted.definition.test_rows
    assert len(shown) == round(len(hidden) * SHOWN_SHARE)
    assert set(shown["key"]) < set(hidden["key"])
    for name in ("test.csv", "sample_submission.csv", "train.csv"):
        assert (mounted(hosted, hidden=True) / name).is_file()
    assert len(client.sample(coded).splitlines()) == 1 + len(shown)
    assert client.ask("GetCompetition", competitionName=coded)["isKernelsSubmissionsOnly"] is True


def test_it_takes_no_files(client: Client, coded: str) -> None:
    refused = client.call("StartSubmissionUpload", competitionName=coded, fileName="a.csv", contentLength=1)
    assert refused.status_code == 400 and "only accepts Submissions from Notebooks" in refused.text


def test_a_notebook_that_is_not_there_cannot_be_submitted(client: Client, coded: str) -> None:
    refused = submit(client, coded, "never-pushed")
    assert refused.status_code == 400 and "Could not find provided notebook" in refused.text


@pytest.mark.long
@needs_sandbox
def test_a_submitted_notebook_is_scored_on_the_hidden_rows(
    official: Official, client: Client, coded: str, tmp_path: Path
) -> None:
    source = READ.format(slug=coded) + WRITE
    write_kernel(tmp_path / "k", "writes-no-everywhere", [source], competition_sources=[coded])
    official.run("kernels", "push", "-p", "k")
    wait_until_done(client, "writes-no-everywhere")
    arguments = ["-f", "submission.csv", "-k", "practice/writes-no-everywhere", "-v", "1", "-m", "by notebook"]
    assert "Successfully submitted" in official.run("competitions", "submit", coded, *arguments)
    said = scored(client, client.ask("ListSubmissions", competitionName=coded)["submissions"][0]["ref"])
    truth = client.truth(coded)
    for part in ("public", "private"):
        rows = truth[truth["Usage"] == part.title()]
        assert float(said[f"{part}Score"]) == pytest.approx((rows["label"] == "no").mean(), abs=1e-5)
    assert "by notebook" in official.run("competitions", "submissions", coded)


@pytest.mark.long
@needs_sandbox
def test_what_goes_wrong_with_the_hidden_rows_only_is_told_in_kaggles_words(client: Client, coded: str) -> None:
    size = len(client.sample(coded).splitlines()) - 1
    read = READ.format(slug=coded)
    cases = {
        "writes-a-fixed-size": (f"{read}test = test.head({size})\n{WRITE}", "ids"),
        "raises-on-more-rows": (f"{read}assert len(test) == {size}\n{WRITE}", "Notebook Threw Exception"),
        "writes-nothing-then": (f"{read}if len(test) == {size}:\n    {WRITE}", "Submission CSV Not Found"),
    }
    for name, (source, _) in cases.items():
        assert push(client, coded, name, source)["status"] == "COMPLETE"
    refs = {name: submit(client, coded, name).json()["ref"] for name in cases}
    for name, (_, told) in cases.items():
        said = scored(client, refs[name])
        assert said["status"] == "ERROR" and (told in said["errorDescription"] or told == "ids"), said


@pytest.mark.long
@needs_sandbox
def test_what_may_not_be_submitted_is_refused(client: Client, coded: str) -> None:
    source = READ.format(slug=coded) + WRITE
    push(client, coded, "has-the-internet", source, enableInternet=True)
    assert "internet access" in submit(client, coded, "has-the-internet").text
    push(client, coded, "fails-at-once", "1 / 0")
    assert "not completed successfully" in submit(client, coded, "fails-at-once").text
    push(client, coded, "is-all-right", source)
    assert "no output file" in submit(client, coded, "is-all-right", fileName="other.csv").text
    assert submit(client, coded, "is-all-right", kernelVersion=2).status_code == 400


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Workspace]:
    """A workspace whose server this test stops and starts."""
    workspace = Workspace(tmp_path / "own")
    yield workspace
    stop(workspace)


@pytest.mark.long
@needs_sandbox
def test_a_notebook_that_a_stopped_server_left_is_run_again(own: Workspace) -> None:
    paths = PracticePaths(own.practice)
    small_competition(paths, "coded", notebooks_only=True)
    client = Client(ensure_running(own), paths)
    slow = READ.format(slug="coded") + "import time\nif len(test) > 5:\n    time.sleep(4)\n" + WRITE
    assert push(client, "coded", "takes-its-time", slow)["status"] == "COMPLETE"
    ref = submit(client, "coded", "takes-its-time").json()["ref"]
    time.sleep(1.0)
    stop(own)
    client = Client(ensure_running(own), paths)
    assert client.ask("GetSubmission", ref=ref)["status"] == "PENDING"
    assert scored(client, ref)["status"] == "COMPLETE"
    assert len(client.ask("ListSubmissions", competitionName="coded")["submissions"]) == 1
