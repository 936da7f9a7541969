"""Variables that reach a container as a file of its user's, where the engine cannot pass them on by name."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from kagglerun.files import read_json, write_json

SECRETS_FILE = "/run/secrets/kagglerun-environment.json"
_MEMORY = Path("/dev/shm")  # noqa: S108 - never on a disk


@contextmanager
def variables_file(values: Mapping[str, str], user: tuple[int, int]) -> Iterator[Path | None]:
    """A file with the variables while the block runs; None where there are none.

    Args:
        values: variables by name.
        user: user id and group id that may read it.
    """
    if not values:
        yield None
        return
    place = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="kagglerun-", dir=place) as folder:
        file = Path(folder) / "environment.json"
        write_json(file, dict(values), durable=False)
        file.chmod(0o400)
        if os.geteuid() == 0:
            os.chown(file, *user)
        yield file


def take_variables(file: Path | None = None) -> None:
    """Put the variables of the mounted file, where there is one, into this process's environment.

    Args:
        file: by default where it is mounted.
    """
    file = file or Path(SECRETS_FILE)
    if file.is_file():
        for name, value in read_json(file).items():
            os.environ.setdefault(str(name), str(value))
