from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kagglerun.data.images import decoded_images, typical_side
from kagglerun.errors import DataError


def write_images(folder: Path, sizes: list[tuple[int, int]], mode: str = "RGB", suffix: str = ".png") -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = []
    for number, size in enumerate(sizes):
        path = folder / f"{number}{suffix}"
        Image.new(mode, size, color=(number * 20) if mode == "L" else (number * 20,) * len(mode)).save(path)
        paths.append(path)
    return paths


def test_images_of_any_size_and_mode_become_rgb_squares_in_order(tmp_path: Path) -> None:
    paths = write_images(tmp_path / "rgb", [(8, 8), (20, 10), (64, 64)])
    paths += write_images(tmp_path / "grey", [(8, 8)] * 4, mode="L")
    pixels = decoded_images(paths, 16, tmp_path / "cache", "content")
    assert pixels.shape == (7, 16, 16, 3) and pixels.dtype == np.uint8
    assert [int(image.mean()) for image in pixels] == [0, 20, 40, 0, 20, 40, 60]


def test_the_store_is_made_once_and_again_for_other_content(tmp_path: Path) -> None:
    paths = write_images(tmp_path / "rgb", [(8, 8)])
    decoded_images(paths, 8, tmp_path / "cache", "content")
    [store] = (tmp_path / "cache").glob("*.npy")
    stamp = store.stat().st_mtime_ns
    decoded_images(paths, 8, tmp_path / "cache", "content")
    assert store.stat().st_mtime_ns == stamp
    decoded_images(paths, 8, tmp_path / "cache", "other content")
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 2


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\nrubbish"])
def test_a_broken_image_is_named_and_no_store_is_left(tmp_path: Path, content: bytes) -> None:
    paths = write_images(tmp_path / "rgb", [(8, 8)] * 3)
    paths[1].write_bytes(content)
    with pytest.raises(DataError, match=str(paths[1])):
        decoded_images(paths, 8, tmp_path / "cache", "content")
    assert not list((tmp_path / "cache").iterdir())


def test_a_photo_is_turned_upright(tmp_path: Path) -> None:
    image = Image.new("RGB", (40, 20), "black")
    image.paste("white", (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn right by 90 degrees
    path = tmp_path / "photo.jpg"
    image.save(path, exif=exif, quality=95)
    [pixels] = decoded_images([path], 16, tmp_path / "cache", "content")
    assert pixels[:6].mean() > 200 and pixels[-6:].mean() < 50


def test_typical_side_is_the_median_of_the_shorter_sides(tmp_path: Path) -> None:
    assert typical_side(write_images(tmp_path / "rgb", [(10, 90), (30, 20), (300, 300)])) == 20
