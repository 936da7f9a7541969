"""Packaged runs on images, some of which may be broken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from kagglerun.code_competition.freeze import freeze_run
from kagglerun.code_competition.inference import predict_package
from kagglerun.data.image_decoding import decode
from kagglerun.data.tolerant_images import TolerantImages
from kagglerun.workspace import Workspace
from tests.code_competition.packaging_runs import (
    SMALL,
    make_rows,
    submission_of,
    train,
    write_image_competition,
    write_test_images,
)


@pytest.mark.long
def test_a_packaged_image_run_with_two_views_and_a_test_set_with_broken_images(
    workspace: Workspace, tmp_path: Path
) -> None:
    data = write_image_competition(workspace)
    run = train(workspace, "image", model={**SMALL["image"], "tta": "hflip"}, cv={"n_splits": 2})
    frozen = freeze_run(workspace, run, tmp_path / "package")
    assert frozen.inference.same_bits and frozen.inference.members[0].views == 2
    report = predict_package(tmp_path / "package", data, tmp_path / "submission.csv")
    assert report.complete and report.used == {run.run_id: 4}
    assert report.file.read_bytes() == submission_of(workspace, run)

    other = tmp_path / "other"
    write_test_images(other, make_rows(40, seed=4, first_id=2000))
    (other / "test/2003.png").write_bytes(b"not an image")
    (other / "test/2005.png").unlink()
    Image.new("RGB", (20, 20), (128, 128, 128)).save(other / "test/2007.png")
    told = predict_package(tmp_path / "package", other, tmp_path / "other.csv")
    assert told.complete and told.broken_images == 2
    assert told.notes == ("2 images cannot be read and count as grey ones, the first is 2003.png",)
    written = pd.read_csv(told.file).set_index("id")["y"]
    assert len(written) == 40
    assert np.allclose(written[[2003, 2005]], written[2007], rtol=1e-4)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    for number in range(7):
        Image.new("RGB", (9 + number, 12), (30 * number, 100, 200)).save(tmp_path / f"{number}.png")
    return [tmp_path / f"{number}.png" for number in range(7)]


def read(images: TolerantImages, rows: list[int]) -> np.ndarray:
    out = np.zeros((len(rows), images.side, images.side, 3), dtype=np.uint8)
    images.read(np.asarray(rows, dtype=np.int64), out)
    return out


@pytest.mark.parametrize("kept", [False, True])
def test_pixels_are_those_of_any_other_reading_and_broken_files_are_grey(
    files: list[Path], tmp_path: Path, kept: bool
) -> None:
    files[2].write_bytes(b"")
    files.append(tmp_path / "missing.png")
    images = TolerantImages(files, 16, "pad", tmp_path / "scratch/store" if kept else None)
    for _ in range(2):
        pixels = read(images, [6, 2, 0, 7])
        assert (pixels[0] == np.asarray(decode(files[6], 16, "pad"))).all()
        assert (pixels[2] == np.asarray(decode(files[0], 16, "pad"))).all()
        assert (pixels[[1, 3]] == 128).all()
    assert images.broken == (files[2], files[7])
    images.close()


def test_what_was_decoded_is_not_decoded_again(files: list[Path], tmp_path: Path) -> None:
    images = TolerantImages(files, 16, "stretch", tmp_path / "store")
    before = read(images, [1, 2, 3])
    files[2].write_bytes(b"gone")
    assert (read(images, [3, 2, 1]) == before[::-1]).all() and not images.broken
    images.close()
    assert (read(images, [2]) == 128).all()
    assert not (tmp_path / "store").exists()


def test_a_disk_without_room_means_decoding_again(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = TolerantImages(files, 16, "stretch", tmp_path / "store")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.pwrite", full)
    first = read(images, [0, 1, 2])
    assert (read(images, [0, 1, 2]) == first).all()
    little = TolerantImages(files, 1 << 22, "stretch", tmp_path / "too-large")
    assert not (tmp_path / "too-large").exists()
    little.close()
