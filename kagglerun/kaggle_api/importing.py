"""Importing a package that signs in, prints and exits when it is imported."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path


@contextmanager
def nothing_to_sign_in_with() -> Iterator[None]:
    """Placeholder credentials and no home, so that importing kaggle neither asks the network nor exits."""
    empty = str(Path(__file__).parent)
    placeholders = {"HOME": empty, "KAGGLE_CONFIG_DIR": empty, "KAGGLE_USERNAME": "none", "KAGGLE_KEY": "none"}
    hidden = [name for name in os.environ if name.startswith("KAGGLE_") or name in ("VERBOSE", "VERBOSE_OUTPUT")]
    saved = {name: os.environ.get(name) for name in {*hidden, *placeholders}}
    for name in hidden:
        del os.environ[name]
    os.environ.update(placeholders)
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            yield
    finally:
        for name, value in saved.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
