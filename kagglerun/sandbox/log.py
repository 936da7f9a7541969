"""What a notebook printed, read while it runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path


class LogReader:
    """Reads the pieces that execute.py writes, as lines.

    Args:
        path: events.jsonl; need not be there yet.
        line: takes each line; None to keep them only.
    """

    def __init__(self, path: Path, line: Callable[[str], None] | None) -> None:
        self.lines: list[str] = []
        self._path, self._line = path, line
        self._offset = 0
        self._rest = ""

    def read(self) -> None:
        """Take up what is new."""
        if not self._path.exists():
            return
        with self._path.open("rb") as stream:
            stream.seek(self._offset)
            for entry in stream:
                if not entry.endswith(b"\n"):
                    break
                self._offset += len(entry)
                self._add(json.loads(entry)["text"])

    def finish(self) -> None:
        """Take up the rest, an unfinished line too."""
        self.read()
        if self._rest:
            self._add("\n")

    def _add(self, text: str) -> None:
        *whole, self._rest = (self._rest + text).split("\n")
        for full in whole:
            # A bar that writes over itself leaves its last state.
            shown = full.rstrip("\r").rpartition("\r")[2]
            self.lines.append(shown)
            if self._line is not None:
                self._line(shown)
