from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kagglerun.data.image_decoding import Aspect
from kagglerun.data.images import open_images


def opened(tmp_path: Path, aspect: Aspect, keep: bool) -> np.ndarray:
    """A tall photo as a square of 8 pixels: red above, green in the middle, blue below, in three equal bands."""
    bands = np.zeros((24, 12, 3), dtype=np.uint8)
    for number in range(3):
        bands[8 * number : 8 * (number + 1), :, number] = 255
    path = tmp_path / "tall.png"
    Image.fromarray(bands).save(path)
    source = open_images([path], 8, tmp_path / "cache", "content", keep=keep, aspect=aspect)
    pixels = np.empty((1, 8, 8, 3), dtype=np.uint8)
    source.read(np.zeros(1, dtype=np.int64), pixels)
    source.close()
    return pixels[0]


@pytest.mark.parametrize("aspect", ["stretch", "pad", "crop"])
def test_a_store_and_the_files_give_the_same_pixels(tmp_path: Path, aspect: Aspect) -> None:
    assert np.array_equal(opened(tmp_path, aspect, keep=True), opened(tmp_path, aspect, keep=False))


def test_stretched_images_fill_the_square_with_all_of_the_photo(tmp_path: Path) -> None:
    pixels = opened(tmp_path, "stretch", keep=True)
    assert pixels[0].tolist() == [[255, 0, 0]] * 8 and pixels[-1].tolist() == [[0, 0, 255]] * 8


def test_padded_images_keep_their_shape_between_grey_bars(tmp_path: Path) -> None:
    pixels = opened(tmp_path, "pad", keep=True)
    assert pixels[0].tolist() == [[128] * 3] * 2 + [[255, 0, 0]] * 4 + [[128] * 3] * 2
    assert pixels[-1, 2:6].tolist() == [[0, 0, 255]] * 4


def test_cropped_images_keep_their_shape_and_lose_both_ends(tmp_path: Path) -> None:
    pixels = opened(tmp_path, "crop", keep=True)
    assert pixels[3].tolist() == [[0, 255, 0]] * 8
    assert int((pixels[:, 0, 1] > 127).sum()) >= 5 > int((opened(tmp_path, "stretch", True)[:, 0, 1] > 127).sum())


def test_each_way_has_a_store_of_its_own(tmp_path: Path) -> None:
    for aspect in ("stretch", "pad", "crop"):
        opened(tmp_path, aspect, keep=True)  # type: ignore[arg-type]
    assert len(list((tmp_path / "cache").glob("images-8-*.npy"))) == 3
