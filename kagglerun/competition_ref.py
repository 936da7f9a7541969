"""How a user names a competition."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kagglerun.errors import ConfigError

PRACTICE_PREFIX = "practice/"
_SLUG = re.compile(r"[a-z0-9][a-z0-9._-]*", re.IGNORECASE)


@dataclass(frozen=True)
class CompetitionRef:
    """A competition as the user names it: `titanic` on Kaggle, `practice/digits` on the practice server.

    Attributes:
        slug: the competition's slug, and the name of its folder.
        source: "kaggle" or "practice"; None when the name does not say, so that the card decides.
    """

    slug: str
    source: str | None

    @classmethod
    def parse(cls, name: str) -> CompetitionRef:
        """Read `slug`, `practice/slug`, `kaggle/slug` or a competition's address.

        Raises:
            ConfigError: the name is not a slug.
        """
        text = name.strip().rstrip("/")
        address = re.fullmatch(r"https?://(?:www\.)?kaggle\.com/(?:c|competitions)/([^/?#]+).*", text)
        if address:
            return cls(address.group(1), "kaggle")
        source, _, slug = text.rpartition("/")
        if not _SLUG.fullmatch(slug) or slug in ("kaggle", "practice") or source not in ("", "kaggle", "practice"):
            raise ConfigError(
                f"{name!r} is not a competition's name",
                hint="use the slug from its address, e.g. `titanic`, or `practice/digits`",
            )
        return cls(slug, source or None)

    def __str__(self) -> str:
        return f"{PRACTICE_PREFIX}{self.slug}" if self.source == "practice" else self.slug
