"""The official `kaggle` command, unchanged, on the practice server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd

from kagglerun.practice.competitions import Catalogue
from tests.practice.official import Official
from tests.practice.small import Client, small_competition


def test_it_lists_downloads_submits_and_shows_scores(official: Official, client: Client, tmp_path: Path) -> None:
    listed = official.run("competitions", "list", "--csv")
    assert "https://www.kaggle.com/competitions/digits" in listed
    files = official.run("competitions", "files", "digits", "--csv", "--page-size", "5")
    assert re.search(r"^sample_submission\.csv,\d+,", files, re.MULTILINE)
    assert "Next Page Token = 5" in files

    assert "Downloading digits.zip" in official.run("competitions", "download", "digits")
    hosted = Catalogue(client.paths).get("digits")
    assert (tmp_path / "digits.zip").read_bytes() == hosted.paths.bundle.read_bytes()
    assert "Skipping, found more recently modified" in official.run("competitions", "download", "digits")
    official.run("competitions", "download", "digits", "-f", "sample_submission.csv")
    sample = pd.read_csv(tmp_path / "sample_submission.csv")

    truth = pd.read_csv(hosted.paths.solution)
    sample.merge(truth[["id", "label"]], on="id", suffixes=("_sample", ""))[["id", "label"]].to_csv(
        tmp_path / "mine.csv", index=False
    )
    sent = official.run("competitions", "submit", "digits", "-f", "mine.csv", "-m", "all right")
    assert "Successfully submitted to Handwritten digits" in sent
    assert "submissions remaining today" in sent
    newest = client.ask("ListSubmissions", competitionName="digits")["submissions"][0]
    client.wait(newest["ref"])
    assert "all right" in (shown := official.run("competitions", "submissions", "digits"))
    assert "SubmissionStatus.COMPLETE  1.00000      1.00000" in shown

    assert "practice" in official.run("competitions", "leaderboard", "digits", "--show")
    official.run("competitions", "leaderboard", "digits", "--download", "-p", "board")
    with zipfile.ZipFile(tmp_path / "board" / "digits.zip") as archive:
        board = pd.read_csv(archive.open(archive.namelist()[0]))
    assert list(board["TeamName"]) == ["practice"]
    assert list(board["Score"]) == [1.0]


def test_kaggles_refusals_reach_the_user(official: Official, client: Client, tmp_path: Path, slug: str) -> None:
    name = slug[:40].strip("-")
    assert official.run("competitions", "download", "no-such-one", fails=True).strip() == "Not found"
    refused = official.run("competitions", "list", fails=True, KAGGLE_API_TOKEN="another-key")
    assert "Authentication required" in refused

    small_competition(client.paths, name, rules_required=True, daily=1)
    assert "must accept this competition's rules" in official.run("competitions", "download", name, fails=True)
    client_side = tmp_path / "a.csv"
    client_side.write_text(client.perfect(name))
    assert "accept" in official.run("competitions", "submit", name, "-f", "a.csv", "-m", "x", fails=True)

    subprocess.run(
        [sys.executable, "-m", "kagglerun", "practice", "accept", f"practice/{name}"],
        env={**os.environ, "KAGGLERUN_WORKSPACE": str(client.paths.folder.parent.parent)},
        check=True,
        capture_output=True,
    )
    assert "0 submissions remaining" in official.run("competitions", "submit", name, "-f", "a.csv", "-m", "x")
    used_up = official.run("competitions", "submit", name, "-f", "a.csv", "-m", "x", fails=True)
    assert "used its daily Submission allowance (1) today" in used_up


def test_a_download_that_broke_off_is_continued(official: Official, client: Client, tmp_path: Path) -> None:
    official.run("competitions", "download", "digits")
    bundle = (tmp_path / "digits.zip").read_bytes()
    headers = client.storage(
        "HEAD", client.call("DownloadDataFiles", competitionName="digits").headers["Location"]
    ).headers
    (tmp_path / "digits.zip").write_bytes(bundle[:100_000])
    marker = {"validator": headers["ETag"], "size": len(bundle)}
    (tmp_path / "digits.zip.kaggle-partial").write_text(json.dumps(marker))
    output = official.run("competitions", "download", "digits")
    assert "Resuming from 100000 bytes" in output
    assert (tmp_path / "digits.zip").read_bytes() == bundle
