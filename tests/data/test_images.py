"""Pixels of image files, and the stores that keep them."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kagglerun.data.image_cache import ImageCache
from kagglerun.data.images import open_images, typical_side
from kagglerun.errors import DataError, DiskFull

IN_A_PROCESS = """
import sys, time
from pathlib import Path
from kagglerun.data import image_cache
from kagglerun.data.images import open_images

folder, slow = Path(sys.argv[1]), sys.argv[2] == "slow"
if slow:
    decode = image_cache.decode
    def slowly(path, side, *rest):
        time.sleep(0.02)
        return decode(path, side, *rest)
    image_cache.decode = slowly
print("started", flush=True)
paths = sorted((folder / "rgb").iterdir(), key=lambda path: int(path.stem))
store = open_images(paths, 8, folder / "cache", "content")
print("opened", flush=True)
if sys.argv[3:] == ["hold"]:
    sys.stdin.read()
"""


def write_images(folder: Path, sizes: list[tuple[int, int]], mode: str = "RGB", suffix: str = ".png") -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = []
    for number, size in enumerate(sizes):
        path = folder / f"{number}{suffix}"
        Image.new(mode, size, color=(number * 20) if mode == "L" else (number * 20 % 256,) * len(mode)).save(path)
        paths.append(path)
    return paths


def decoded(paths: list[Path], side: int, cache: Path, content: str = "content", keep: bool = True) -> np.ndarray:
    images = open_images(paths, side, cache, content, keep=keep)
    out = np.empty((len(images), side, side, 3), dtype=np.uint8)
    images.read(np.arange(len(images)), out)
    images.close()
    return out


def stores(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.glob("*.npy"))


def start_process(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", IN_A_PROCESS, str(folder), *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    return process


def rest_of_output(process: subprocess.Popen[str]) -> str:
    """What it printed after its first line; communicate() would lose what was read together with that line."""
    assert process.stdout is not None and process.stdin is not None
    process.stdin.close()
    with process.stdout:
        text = process.stdout.read()
    process.wait()
    return text


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


# Pixels


def test_images_of_any_size_and_mode_become_rgb_squares_in_order(tmp_path: Path) -> None:
    paths = write_images(tmp_path / "rgb", [(8, 8), (20, 10), (64, 64)])
    paths += write_images(tmp_path / "grey", [(8, 8)] * 4, mode="L")
    pixels = decoded(paths, 16, tmp_path / "cache")
    assert pixels.shape == (7, 16, 16, 3) and pixels.dtype == np.uint8
    assert [int(image.mean()) for image in pixels] == [0, 20, 40, 0, 20, 40, 60]


def test_decoded_again_at_each_reading_gives_the_pixels_of_the_store(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0)
    paths = []
    for number, suffix in enumerate([".png", ".jpg", ".webp", ".bmp"] * 5):
        path = tmp_path / f"{number}{suffix}"
        Image.fromarray(numbers.integers(0, 256, (90 + number, 200, 3), dtype=np.uint8)).save(path)
        paths.append(path)
    kept = decoded(paths, 24, tmp_path / "cache")
    again = decoded(paths, 24, tmp_path / "no cache", keep=False)
    assert np.array_equal(kept, again)
    assert not (tmp_path / "no cache").exists()


def test_a_photo_is_turned_upright(tmp_path: Path) -> None:
    image = Image.new("RGB", (40, 20), "black")
    image.paste("white", (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn right by 90 degrees
    path = tmp_path / "photo.jpg"
    image.save(path, exif=exif, quality=95)
    [pixels] = decoded([path], 16, tmp_path / "cache")
    assert pixels[:6].mean() > 200 and pixels[-6:].mean() < 50


def test_16_bits_a_channel_keep_their_upper_half_in_grey_as_in_colour(tmp_path: Path) -> None:
    values = np.array([[0, 0x00FF], [0x8040, 0xFFFF]], dtype=np.uint16)
    grey, scan = tmp_path / "grey.png", tmp_path / "grey.tif"
    Image.fromarray(values).save(grey)
    Image.fromarray(values).save(scan)
    for pixels in decoded([grey, scan], 2, tmp_path / "cache"):
        assert pixels[..., 0].tolist() == [[0, 0], [0x80, 0xFF]]
        assert (pixels == pixels[..., :1]).all()


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_values_whose_range_is_not_known_are_refused_by_name(tmp_path: Path, dtype: type) -> None:
    path = tmp_path / "scan.tif"
    Image.fromarray(np.zeros((4, 4), dtype=dtype)).save(path)
    with pytest.raises(DataError, match=r"scan\.tif has 32 bits a channel"):
        decoded([path], 4, tmp_path / "cache")


@pytest.mark.parametrize(("alpha", "expected"), [(255, (255, 0, 0)), (0, (255, 255, 255)), (128, (255, 127, 127))])
def test_transparent_parts_look_as_on_a_white_page(tmp_path: Path, alpha: int, expected: tuple[int, int, int]) -> None:
    path = tmp_path / "logo.png"
    Image.new("RGBA", (8, 8), (255, 0, 0, alpha)).save(path)
    [pixels] = decoded([path], 8, tmp_path / "cache")
    assert tuple(pixels[0, 0]) == expected


def test_palettes_masks_and_printing_colours_become_what_a_viewer_shows(tmp_path: Path) -> None:
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 0, 0, 0, 255])
    palette.save(tmp_path / "palette.gif")
    palette.save(tmp_path / "see-through.png", transparency=1)
    Image.new("1", (8, 8), 1).save(tmp_path / "mask.png")
    Image.new("LA", (8, 8), (70, 255)).save(tmp_path / "grey.png")
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "print.jpg", quality=95)
    names = ("palette.gif", "see-through.png", "mask.png", "grey.png", "print.jpg")
    shown = [tuple(image[4, 4].tolist()) for image in decoded([tmp_path / name for name in names], 8, tmp_path)]
    assert shown[:4] == [(0, 0, 255), (255, 255, 255), (255, 255, 255), (70, 70, 70)]
    assert np.allclose(shown[4], (255, 0, 0), atol=3)


def test_a_photo_of_nine_million_pixels_keeps_its_mean_colours(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    path = tmp_path / "large.jpg"
    Image.fromarray(colours).resize((3024, 3024), Image.Resampling.NEAREST).save(path)
    [pixels] = decoded([path], 64, tmp_path / "cache")
    means = pixels.reshape(4, 16, 4, 16, 3)[:, 4:12, :, 4:12].mean(axis=(1, 3))
    assert np.abs(means - colours).max() < 4


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\nrubbish"])
def test_a_broken_image_is_named_and_nothing_is_left(tmp_path: Path, content: bytes) -> None:
    paths = write_images(tmp_path / "rgb", [(8, 8)] * 3)
    paths[1].write_bytes(content)
    with pytest.raises(DataError, match=str(paths[1])):
        decoded(paths, 8, tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())
    with pytest.raises(DataError, match=str(paths[1])):
        decoded(paths, 8, tmp_path / "cache", keep=False)


def test_a_photo_cut_short_and_a_missing_file_are_named(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    Image.effect_noise((200, 200), 50).save(path)
    path.write_bytes(path.read_bytes()[:4000])
    for bad in (path, tmp_path / "missing.jpg"):
        with pytest.raises(DataError, match=bad.name):
            decoded([bad], 16, tmp_path / "cache")


def test_typical_side_is_the_median_of_the_shorter_sides(tmp_path: Path) -> None:
    assert typical_side(write_images(tmp_path / "rgb", [(10, 90), (30, 20), (300, 300)])) == 20


# The store's file


def test_rows_are_read_in_any_order_and_as_often_as_asked(tmp_path: Path) -> None:
    paths = write_images(tmp_path / "rgb", [(8, 8)] * 12)
    store = open_images(paths, 8, tmp_path / "cache", "content")
    for rows in ([3], [0, 1, 2], [5, 4, 3], [2, 3, 3, 4, 9, 10, 0], []):
        out = np.full((len(rows), 8, 8, 3), 77, dtype=np.uint8)
        store.read(np.array(rows, dtype=np.int64), out)
        assert out[:, 0, 0, 0].tolist() == [20 * row for row in rows]
    for rows in ([12], [-1]):
        with pytest.raises(IndexError):
            store.read(np.array(rows), np.empty((1, 8, 8, 3), dtype=np.uint8))
    store.close()
    assert np.load(next((tmp_path / "cache").glob("*.npy"))).shape == (12, 8, 8, 3)


def test_the_store_is_made_once_and_again_for_other_content_sides_and_files(tmp_path: Path) -> None:
    paths, cache = write_images(tmp_path / "rgb", [(8, 8)] * 2), tmp_path / "cache"
    decoded(paths, 8, cache)
    [store] = cache.glob("*.npy")
    inode = store.stat().st_ino
    decoded(paths, 8, cache)
    assert [path.stat().st_ino for path in cache.glob("*.npy")] == [inode]
    decoded(paths, 8, cache, "other content")
    decoded(paths, 9, cache)
    decoded(paths[::-1], 8, cache)
    assert len(stores(cache)) == 4
    Image.new("RGB", (8, 8), "white").save(paths[0])  # as a hook might that makes images of its own
    assert decoded(paths, 8, cache)[0].min() == 255


def test_a_workspace_that_was_moved_keeps_its_stores(tmp_path: Path) -> None:
    paths = write_images(tmp_path / "rgb", [(8, 8)])
    decoded(paths, 8, tmp_path / "cache")
    moved = tmp_path / "moved"
    moved.mkdir()
    shutil.move(tmp_path / "rgb", moved / "rgb")
    shutil.move(tmp_path / "cache", moved / "cache")
    before = stores(moved / "cache")
    decoded([moved / "rgb" / "0.png"], 8, moved / "cache")
    assert stores(moved / "cache") == before


@pytest.mark.parametrize("kept_bytes", [0, 100, 128 + 8 * 8 * 3])
def test_a_store_that_was_cut_short_is_made_again(tmp_path: Path, kept_bytes: int) -> None:
    paths, cache = write_images(tmp_path / "rgb", [(8, 8)] * 3), tmp_path / "cache"
    whole = decoded(paths, 8, cache)
    [store] = cache.glob("*.npy")
    os.truncate(store, kept_bytes)
    assert np.array_equal(decoded(paths, 8, cache), whole)
    assert stores(cache) == [store.name]


def test_a_store_cut_short_while_in_use_is_an_error_and_no_wrong_pixels(tmp_path: Path) -> None:
    paths, cache = write_images(tmp_path / "rgb", [(8, 8)] * 3), tmp_path / "cache"
    store = open_images(paths, 8, cache, "content")
    os.truncate(next(cache.glob("*.npy")), 200)
    with pytest.raises(DataError, match="cut short"):
        store.read(np.array([2]), np.empty((1, 8, 8, 3), dtype=np.uint8))


# Several processes


def test_a_killed_writer_leaves_nothing_that_lasts(tmp_path: Path) -> None:
    paths, cache = write_images(tmp_path / "rgb", [(8, 8)] * 60), tmp_path / "cache"
    writer = start_process(tmp_path, "slow")
    while not list(cache.glob(".*.part")):
        time.sleep(0.01)
    time.sleep(0.3)
    writer.send_signal(signal.SIGKILL)
    end(writer)
    assert list(cache.glob(".*.part")) and not stores(cache)
    assert decoded(paths, 8, cache)[:, 0, 0, 0].tolist() == [20 * number % 256 for number in range(60)]
    assert [path.suffix for path in cache.iterdir()] == [".npy"]


def test_what_a_killed_writer_of_another_store_left_is_cleared(tmp_path: Path) -> None:
    paths, cache = write_images(tmp_path / "rgb", [(8, 8)]), tmp_path / "cache"
    cache.mkdir()
    (cache / ".images-32-0123456789ab.npy.part").write_bytes(bytes(5000))
    decoded(paths, 8, cache)
    assert len(list(cache.iterdir())) == 1


def test_a_second_process_waits_for_the_first_and_decodes_nothing(tmp_path: Path) -> None:
    write_images(tmp_path / "rgb", [(8, 8)] * 60)
    first = start_process(tmp_path, "slow")
    while not list((tmp_path / "cache").glob(".*.part")):
        time.sleep(0.01)
    others = [start_process(tmp_path, "fast") for _ in range(2)]
    seen = set()
    while any(process.poll() is None for process in (first, *others)):
        seen |= {path.stat().st_ino for path in (tmp_path / "cache").glob("*.npy")}
        time.sleep(0.02)
    assert [rest_of_output(process) for process in (first, *others)] == ["opened\n"] * 3
    assert [process.returncode for process in (first, *others)] == [0, 0, 0]
    assert len(seen) <= 1 and len(list((tmp_path / "cache").iterdir())) == 1


def test_a_waiting_process_decodes_when_the_first_is_killed(tmp_path: Path) -> None:
    write_images(tmp_path / "rgb", [(8, 8)] * 60)
    first = start_process(tmp_path, "slow")
    while not list((tmp_path / "cache").glob(".*.part")):
        time.sleep(0.01)
    second = start_process(tmp_path, "fast")
    time.sleep(0.2)
    end(first)
    assert rest_of_output(second) == "opened\n"
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".npy"]


# Room


def test_the_store_opened_longest_ago_is_evicted_first(tmp_path: Path) -> None:
    paths, folder = write_images(tmp_path / "rgb", [(8, 8)]), tmp_path / "cache"
    cache = ImageCache(folder, limit_bytes=3 * 320)
    for name in ("a", "b", "c"):
        cache.open(name, paths, 8).close()
        time.sleep(0.01)
    cache.open("a", paths, 8).close()
    time.sleep(0.01)
    cache.open("d", paths, 8).close()
    assert stores(folder) == ["images-8-a.npy", "images-8-c.npy", "images-8-d.npy"]


def test_a_store_that_a_process_uses_is_not_evicted(tmp_path: Path) -> None:
    paths, folder = write_images(tmp_path / "rgb", [(8, 8)] * 2), tmp_path / "cache"
    reader = start_process(tmp_path, "fast", "hold")
    assert reader.stdout is not None and reader.stdout.readline() == "opened\n"
    in_use = stores(folder)
    cache = ImageCache(folder, limit_bytes=900)
    with pytest.raises(DiskFull, match="are in use") as caught:
        cache.open("other", paths, 8)
    assert caught.value.hint is not None and "training.image_cache=false" in caught.value.hint
    assert stores(folder) == in_use and len(list(folder.iterdir())) == 1
    end(reader)
    cache.open("other", paths, 8).close()
    assert stores(folder) == ["images-8-other.npy"]


def test_a_store_larger_than_the_limit_evicts_nothing(tmp_path: Path) -> None:
    paths, folder = write_images(tmp_path / "rgb", [(8, 8)] * 20), tmp_path / "cache"
    cache = ImageCache(folder, limit_bytes=1000)
    cache.open("small", paths[:1], 8).close()
    with pytest.raises(DiskFull, match="may take"):
        cache.open("large", paths, 8)
    assert stores(folder) == ["images-8-small.npy"]


def test_a_full_disk_evicts_what_is_unused_and_then_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, folder = write_images(tmp_path / "rgb", [(8, 8)]), tmp_path / "cache"
    cache = ImageCache(folder)
    cache.open("old", paths, 8).close()

    def no_space(descriptor: int, offset: int, length: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", no_space)
    with pytest.raises(DiskFull, match="the disk is full") as caught:
        cache.open("new", paths, 8)
    assert caught.value.hint is not None and "training.image_cache=false" in caught.value.hint
    assert not list(folder.iterdir())


def test_a_small_disk_holds_as_many_stores_as_fit_and_refuses_more(tmp_path: Path) -> None:
    paths, folder = write_images(tmp_path / "rgb", [(8, 8)] * 4), tmp_path / "cache"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True).returncode:
        pytest.skip("mounting a small tmpfs needs root")
    try:
        cache = ImageCache(folder, limit_bytes=10**9)  # 270 kB a store of 150 pixels
        for name in ("a", "b", "c"):
            cache.open(name, paths, 150).close()
            time.sleep(0.02)
        held = cache.open("b", paths, 150)
        cache.open("d", paths, 150).close()
        assert stores(folder) == ["images-150-b.npy", "images-150-c.npy", "images-150-d.npy"]
        with pytest.raises(DiskFull, match="the disk is full"):
            cache.open("e", paths * 3, 150)
        assert stores(folder) == ["images-150-b.npy"] and len(list(folder.iterdir())) == 1
        held.close()
    finally:
        subprocess.run(["umount", str(folder)], check=True)
