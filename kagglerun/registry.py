"""A registry of named things: metrics, splitters, model families.

Built-in entries and a user's own enter by the same door. A duplicate is an error, never an overwrite; an
unknown name is an error that lists the known ones and the nearest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from kagglerun.errors import ConfigError, unknown_name

T = TypeVar("T")


class Registry(Generic[T]):
    """Names to things of one type.

    Args:
        kind: what is registered, in the words of an error message ("metric", "split scheme").
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def add(self, name: str, entry: T) -> T:
        """Register `entry` under `name`.

        Raises:
            ConfigError: the name is taken.
        """
        if name in self._entries:
            raise ConfigError(f"the {self.kind} {name!r} is registered twice", hint="choose another name")
        self._entries[name] = entry
        return entry

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that registers what it decorates."""
        return lambda entry: self.add(name, entry)

    def get(self, name: str) -> T:
        """Return the entry.

        Raises:
            ConfigError: no entry has this name; the message lists the known names and the nearest.
        """
        if name not in self._entries:
            raise unknown_name(self.kind, name, self._entries)
        return self._entries[name]

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self._entries)
