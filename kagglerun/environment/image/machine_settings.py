"""This machine's package indexes and certificates, as secrets of a build: behind a proxy or with an index of one's own.

Each is mounted while the packages are installed and is in no layer. The locks' hashes hold whatever the index is.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from kagglerun.errors import ConfigError

_INDEX_VARIABLES = (
    *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST"),
    *("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_INSECURE_HOST"),
)
_CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def machine_secrets(environment: Mapping[str, str], root: Path = Path("/")) -> dict[str, Path]:
    """The files that a build mounts, by their id in the Dockerfile; those that this machine lacks are left out.

    Args:
        environment: this process's; names settings that are not in their usual place, and certificates.
        root: where the machine's own settings are.
    """
    home = Path(environment.get("HOME", "/nonexistent"))
    files = {
        "pip": _first_file(
            environment.get("PIP_CONFIG_FILE"),
            *(home / ".config/pip/pip.conf", home / ".pip/pip.conf", root / "etc/pip.conf"),
        ),
        "uv": _first_file(environment.get("UV_CONFIG_FILE"), home / ".config/uv/uv.toml", root / "etc/uv/uv.toml"),
        "ca": _first_file(*(environment.get(name) for name in _CERTIFICATE_VARIABLES)),
    }
    return {name: path for name, path in files.items() if path is not None}


def index_variables(environment: Mapping[str, str]) -> str:
    """The variables that name an index, as lines for a shell: they may hold a password, and no file gets them."""
    given = ((name, environment.get(name)) for name in _INDEX_VARIABLES)
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in given if value)


def secret_file(name: str, path: Path) -> Path:
    """A file that the user names as a secret.

    Raises:
        ConfigError: it is not there.
    """
    if not path.is_file():
        raise ConfigError(f"{name} {path} is not a file")
    return path.resolve()


def _first_file(*candidates: str | Path | None) -> Path | None:
    for candidate in candidates:
        if candidate and Path(candidate).is_file():
            return Path(candidate)
    return None
