"""Small competitions, and a client that hides nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
import requests

from kagglerun import metrics
from kagglerun.practice.competitions import Definition
from kagglerun.practice.create import TableCompetition, create
from kagglerun.practice.paths import PracticePaths
from kagglerun.practice.server import Server

SERVICE = "competitions.CompetitionApiService"


def small_table(rows: int = 40) -> pd.DataFrame:
    """Ids that are text with leading zeros, a feature with blanks, two classes."""
    return pd.DataFrame(
        {
            "key": [f"{number:04d}" for number in range(rows)],
            "feature": ["" if number % 7 == 0 else f"{number / 3:.3f}" for number in range(rows)],
            "label": ["yes" if number % 3 == 0 else "no" for number in range(rows)],
        }
    )


def small_competition(paths: PracticePaths, slug: str, **changes: Any) -> Definition:
    """Host a competition with two classes, scored by accuracy."""
    values: dict[str, Any] = {
        "title": "Small",
        "description": "A small table.",
        "table": small_table(),
        "targets": ("label",),
        "metric": metrics.get("accuracy"),
        "id_column": "key",
    }
    return create(paths, TableCompetition(slug=slug, **{**values, **changes}))


@dataclass
class Client:
    """Speaks to a server as the official client does, without hiding the answers."""

    server: Server
    paths: PracticePaths

    def __post_init__(self) -> None:
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.auth = ("practice", self.server.token)

    def call(self, method: str, service: str = SERVICE, **body: Any) -> requests.Response:
        return self.session.post(
            f"{self.server.url}/api/v1/{service}/{method}", json=body, allow_redirects=False, timeout=60
        )

    def ask(self, method: str, **body: Any) -> dict[str, Any]:
        response = self.call(method, **body)
        assert response.status_code == 200, response.text
        return response.json()

    def storage(self, verb: str, address: str, **more: Any) -> requests.Response:
        """Storage addresses carry their own signature; credentials are not sent."""
        with requests.Session() as session:
            session.trust_env = False
            return session.request(verb, address, timeout=60, **more)

    def upload(self, slug: str, content: bytes, file_name: str = "submission.csv") -> str:
        started = self.ask(
            "StartSubmissionUpload", competitionName=slug, fileName=file_name, contentLength=len(content)
        )
        assert self.storage("PUT", started["createUrl"], data=content).status_code == 200
        return str(started["token"])

    def submit(self, slug: str, content: str | bytes, file_name: str = "submission.csv") -> dict[str, Any]:
        """Send a file and wait for its score."""
        data = content.encode() if isinstance(content, str) else content
        token = self.upload(slug, data, file_name)
        ref = self.ask("CreateSubmission", competitionName=slug, blobFileTokens=token)["ref"]
        return self.wait(ref)

    def wait(self, ref: int) -> dict[str, Any]:
        while (submission := self.ask("GetSubmission", ref=ref))["status"] == "PENDING":
            pass
        return submission

    def sample(self, slug: str) -> str:
        address = self.call("DownloadDataFile", competitionName=slug, fileName="sample_submission.csv").headers
        return self.storage("GET", address["Location"]).text

    def truth(self, slug: str) -> pd.DataFrame:
        return pd.read_csv(self.paths.competition(slug).solution, dtype=str)

    def perfect(self, slug: str) -> str:
        return self.truth(slug).drop(columns="Usage").to_csv(index=False)
