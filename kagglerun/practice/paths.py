"""Every path of the practice server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class HostedPaths:
    """The files of one hosted competition. The folder appears in one step, so one that exists is whole."""

    folder: Path

    @property
    def definition(self) -> Path:
        """What the competition is: metric, columns, rows, allowance."""
        return self.folder / "competition.json"

    @property
    def bundle(self) -> Path:
        """The competition's files as one zip."""
        return self.folder / "bundle.zip"

    @property
    def files(self) -> Path:
        """Single files of the bundle, unpacked when they are first asked for."""
        return self.folder / "files"

    @property
    def solution(self) -> Path:
        """The truth: ids, targets and a Usage column (Public or Private)."""
        return self.folder / "solution.csv"

    @property
    def leaderboard(self) -> Path:
        """Other teams' final scores, where the competition came with them."""
        return self.folder / "leaderboard.csv"


@dataclass(frozen=True)
class PracticePaths:
    """The files under a workspace's practice folder."""

    folder: Path

    @property
    def server(self) -> Path:
        """Address, process and key of the running server; readable by its owner only."""
        return self.folder / "server.json"

    @property
    def key(self) -> Path:
        """The key that requests must carry; made once, so that a restart does not change it."""
        return self.folder / "key"

    @property
    def log(self) -> Path:
        """What the server printed, and one line a request."""
        return self.folder / "server.log"

    @property
    def start_lock(self) -> Path:
        """Held while somebody starts or stops the server."""
        return self.folder / "start.lock"

    @property
    def server_lock(self) -> Path:
        """Held by the server as long as it lives."""
        return self.folder / "server.lock"

    @property
    def database(self) -> Path:
        """Accepted rules, uploads and submissions."""
        return self.folder / "practice.db"

    @property
    def competitions(self) -> Path:
        """One folder a hosted competition."""
        return self.folder / "competitions"

    def competition(self, slug: str) -> HostedPaths:
        """The files of one hosted competition."""
        return HostedPaths(self.competitions / slug)

    def upload(self, token: str) -> Path:
        """What has arrived of an upload, later the submission's file. Tokens are the server's own, never a client's."""
        return self.folder / "uploads" / token
