"""What every command prints with."""

from __future__ import annotations

import os
import sys

from rich.console import Console

_WIDTH_OF_A_FILE = 160


def _width() -> int | None:
    """A table in a file or a pipe has no terminal to fit into."""
    return None if sys.stdout.isatty() or "COLUMNS" in os.environ else _WIDTH_OF_A_FILE


out = Console(highlight=False, soft_wrap=True, width=_width())
"""Results: standard output."""

err = Console(stderr=True, highlight=False, soft_wrap=True)
"""Progress, warnings and errors: standard error."""
