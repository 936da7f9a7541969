"""How far a run is, from its journal: in a notebook no bar moves, and a fold may take hours."""

from __future__ import annotations

import re
from pathlib import Path

from kagglerun.tracking.journal import Journal, Values

_OF_A_FOLD = re.compile(r"fold(\d+)/((?:train_loss|valid_loss|valid_score))")


class RunProgress:
    """Reads what is new in a run's journal.

    Args:
        journal: the journal; need not be there yet.
    """

    def __init__(self, journal: Path) -> None:
        self._journal = Journal(journal)
        self._offset = 0

    def news(self) -> str | None:
        """The last epoch since the last call, in one line; None when there was none."""
        text = None
        for entry in self._journal.read(self._offset):
            self._offset = entry.end
            if isinstance(entry.body, Values):
                text = _in_words(entry.body) or text
        return text


def _in_words(values: Values) -> str | None:
    found = [(_OF_A_FOLD.fullmatch(name), value) for name, value in values.values.items()]
    parts = [(match.group(1), f"{match.group(2)} {value:.5f}") for match, value in found if match]
    if not parts:
        return None
    return f"fold {parts[0][0]}, epoch {values.step + 1}: {'  '.join(text for _, text in parts)}"
