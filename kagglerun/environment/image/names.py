"""What the images are called."""

from __future__ import annotations

import kagglerun


def image_name(torch: str | None = None, parity: bool = False) -> str:
    """The image's usual name.

    Args:
        torch: torch's version, e.g. "2.6", where it is not the lock's.
        parity: whether it is the one on Kaggle's own base.

    Returns:
        e.g. "kagglerun:0.1.0", "kagglerun:0.1.0-torch2.6" or "kagglerun:0.1.0-kaggle".
    """
    suffix = "-kaggle" if parity else f"-torch{torch}" if torch else ""
    return f"kagglerun:{kagglerun.__version__}{suffix}"
