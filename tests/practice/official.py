"""The official `kaggle` command in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.practice.small import Client


class Official:
    """Runs the command with the environment that `kagglerun practice status --env` prints."""

    def __init__(self, client: Client, folder: Path) -> None:
        self.environment = {**os.environ, **client.server.environment()}
        self.folder = folder

    def run(self, *arguments: str, fails: bool = False, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "kaggle", *arguments],
            env={**self.environment, **environment},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr
