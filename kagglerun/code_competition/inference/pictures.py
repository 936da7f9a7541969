"""The images of a test set, of which some may be broken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kagglerun.data.image_decoding import Aspect
from kagglerun.data.tolerant_images import TolerantImages


@dataclass(eq=False)
class Pictures:
    """Opens images, each set of files, side and aspect once; what was decoded is kept in a scratch folder.

    Attributes:
        scratch: folder for decoded images; removed by whoever made it.
        keeps: whether images will be read more than once.
    """

    scratch: Path
    keeps: bool
    _opened: dict[tuple[int, str, int], tuple[Sequence[Path], TolerantImages]] = field(default_factory=dict)

    def open(self, paths: Sequence[Path], side: int, aspect: Aspect) -> TolerantImages:
        """The images as squares; grey where they cannot be read."""
        key = (side, aspect, id(paths))
        if key not in self._opened:
            store = self.scratch / f"images-{len(self._opened)}" if self.keeps else None
            self._opened[key] = (paths, TolerantImages(paths, side, aspect, store))
        return self._opened[key][1]

    @property
    def broken(self) -> tuple[Path, ...]:
        """Files that could not be read so far."""
        return tuple(sorted({path for _, images in self._opened.values() for path in images.broken}))

    def close(self) -> None:
        """Let go of all of them."""
        for _, images in self._opened.values():
            images.close()
        self._opened.clear()
