"""What every command prints with."""

from __future__ import annotations

from rich.console import Console

out = Console(highlight=False, soft_wrap=True)
"""Results: standard output."""

err = Console(stderr=True, highlight=False, soft_wrap=True)
"""Progress, warnings and errors: standard error."""
