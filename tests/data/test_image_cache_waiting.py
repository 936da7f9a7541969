from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

import numpy as np
from PIL import Image

from kagglerun.data.image_cache import ImageCache


def test_who_waited_for_a_store_to_be_made_does_not_wait_until_its_maker_has_done_with_it(tmp_path: Path) -> None:
    image = tmp_path / "image.png"
    Image.fromarray(np.zeros((8, 8, 3), dtype=np.uint8)).save(image)
    with ImageCache(tmp_path / "other").open("name", [image], 8):
        made = next((tmp_path / "other").glob("images-*.npy")).read_bytes()
    folder = tmp_path / "cache"
    folder.mkdir()
    final = folder / "images-8-name.npy"
    part = folder / f".{final.name}.part"
    # A maker, in the middle of its work.
    maker = os.open(part, os.O_RDWR | os.O_CREAT, 0o644)
    fcntl.flock(maker, fcntl.LOCK_EX)
    waiting = threading.Thread(target=lambda: ImageCache(folder).open("name", [image], 8).close(), daemon=True)
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive()
    # It ends, and goes on to use what it made.
    os.write(maker, made)
    fcntl.flock(maker, fcntl.LOCK_SH)
    part.replace(final)
    waiting.join(20)
    os.close(maker)
    assert not waiting.is_alive()
