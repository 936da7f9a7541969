"""Checkpoints: everything needed to go on, in one file that is whole or not there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from kagglerun.errors import CheckpointUnreadable
from kagglerun.files import atomic_path


@dataclass(frozen=True)
class CheckpointFiles:
    """Where a fold's checkpoints are.

    Attributes:
        current: the last one.
        previous: the one before, kept in case the last is damaged.
    """

    current: Path
    previous: Path

    def save(self, state: dict[str, Any]) -> None:
        """Write a checkpoint; the last one becomes the previous one.

        Args:
            state: tensors, numbers, texts, lists and dicts only, so that `weights_only` can load it.

        Raises:
            DiskFull: there was no room; the last checkpoint is untouched.
        """
        with atomic_path(self.current) as temporary:
            torch.save(state, temporary)
            if self.current.exists():
                self.current.replace(self.previous)

    def load(self) -> dict[str, Any] | None:
        """Read the last checkpoint; None when none was ever written.

        Killed between the two renames of `save`, only the previous one exists: going on from it is exact too.

        Raises:
            CheckpointUnreadable: it exists and is damaged. It is never replaced by a quiet restart.
        """
        for path in (self.current, self.previous):
            if path.exists():
                return _read(path, self.previous)
        return None

    def delete(self) -> None:
        """Remove both; the fold's result is written."""
        self.current.unlink(missing_ok=True)
        self.previous.unlink(missing_ok=True)


def _read(path: Path, previous: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's unpickler meets rubbish with errors of every kind
        other = previous.exists() and previous != path
        raise CheckpointUnreadable(
            f"the checkpoint {path} cannot be read: {type(error).__name__}",
            hint=f"to go on from the one before it: mv '{previous}' '{path}'"
            if other
            else f"to train this fold from its start: rm '{path}'",
        ) from error
    return state
