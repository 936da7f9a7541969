"""S3 and Google's storage, by fsspec. Credentials come the clouds' own ways: environment, profiles, the machine's role.

Another endpoint that speaks S3 (MinIO, R2, Ceph ...) is named by AWS_ENDPOINT_URL, as everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from kagglerun.errors import ContentDamaged, SyncError, TargetUnreachable

_T = TypeVar("_T")

_CONNECT_SECONDS = 15
_READ_SECONDS = 60
_SHOWN_CHARACTERS = 200
_EXTRA = {"s3": "S3", "gs": "Google's storage"}
_CREDENTIALS = {
    "s3": "aws configure    (or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment)",
    "gs": "gcloud auth application-default login    (or GOOGLE_APPLICATION_CREDENTIALS names a key file)",
}
_NO_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "DefaultCredentialsError")
_NO_ENTRY = ("401", "403", "Invalid Credentials", "Anonymous caller", "Forbidden", "Unauthorized")


class ObjectStore:
    """A folder of a bucket.

    Args:
        scheme: s3 or gs.
        path: bucket and folder.

    Raises:
        SyncError: the library for it is not installed.
    """

    def __init__(self, scheme: str, path: str) -> None:
        self.label = f"{scheme}://{path}"
        self.at_once = 8
        self._scheme, self._path = scheme, path
        self._files = self._asked(lambda: _open(scheme))

    def names(self, folder: str) -> dict[str, int]:
        """See `Store`."""
        try:
            found = self._asked(lambda: self._files.find(f"{self._path}/{folder}", detail=True))
        except FileNotFoundError:
            return {}
        skipped = len(self._path) + 1
        return {name[skipped:]: int(about["size"]) for name, about in found.items() if about["type"] == "file"}

    def size(self, name: str) -> int | None:
        """See `Store`."""
        try:
            about = self._asked(lambda: self._files.info(f"{self._path}/{name}"))
        except FileNotFoundError:
            return None
        return int(about["size"]) if about["type"] == "file" else None

    def read(self, name: str) -> bytes:
        """See `Store`."""
        try:
            return bytes(self._asked(lambda: self._files.cat_file(f"{self._path}/{name}")))
        except FileNotFoundError as error:
            raise ContentDamaged(f"{self.label}/{name} is not there") from error

    def write(self, name: str, content: bytes) -> None:
        """See `Store`. A request that is broken off leaves nothing."""
        try:
            self._asked(lambda: self._files.pipe_file(f"{self._path}/{name}", content))
        except FileNotFoundError as error:
            bucket = self._path.split("/")[0]
            raise SyncError(
                f"there is no bucket {bucket!r}: {error}", hint=f"make it, or check {self.label}"
            ) from error

    def remove(self, name: str) -> None:
        """See `Store`."""
        try:
            self._asked(lambda: self._files.rm_file(f"{self._path}/{name}"))
        except FileNotFoundError:
            return

    def close(self) -> None:
        """Connections are let go by fsspec."""

    def _asked(self, request: Callable[[], _T]) -> _T:
        """The answer to a request, what went wrong in our words; FileNotFoundError is left to the caller.

        The libraries below raise errors of some twenty classes, botocore's and aiohttp's among them.
        """
        try:
            return request()
        except (FileNotFoundError, SyncError):
            raise
        except Exception as error:
            raise self._explained(error) from error

    def _explained(self, error: Exception) -> SyncError:
        kind, said = type(error).__name__, " ".join(str(error).split())[:_SHOWN_CHARACTERS]
        refused = isinstance(error, PermissionError) or any(word in said for word in _NO_ENTRY)
        if kind in _NO_CREDENTIALS:
            return SyncError(f"no credentials for {self.label} were found", hint=_CREDENTIALS[self._scheme])
        if refused and kind not in ("ClientConnectorError", "EndpointConnectionError"):
            return SyncError(f"{self.label} refuses the credentials: {said}", hint=_CREDENTIALS[self._scheme])
        return TargetUnreachable(
            f"{self.label} cannot be used now: {kind}: {said}", hint="the same command again goes on where it was"
        )


def _open(scheme: str) -> Any:
    import fsspec  # type: ignore[import-untyped]

    options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
    if scheme == "s3":
        limits = {"connect_timeout": _CONNECT_SECONDS, "read_timeout": _READ_SECONDS}
        options["max_concurrency"] = 1  # parts are small: no question for their size before they are read
        options["config_kwargs"] = {**limits, "retries": {"max_attempts": 2, "mode": "standard"}}
    try:
        return fsspec.filesystem(scheme, **options)
    except ImportError as error:
        raise SyncError(
            f"the library for {_EXTRA[scheme]} is not installed: {error}", hint="pip install 'kagglerun[sync]'"
        ) from error
