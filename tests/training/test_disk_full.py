"""A disk that fills up while a checkpoint is written: a small file system of its own."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from kagglerun.errors import CheckpointUnreadable, DiskFull, TrainingError
from kagglerun.training.checkpoint import Checkpoints, Snapshot
from tests.training.small_fits import run_fit, same_bits, training_config

torch.set_num_threads(1)
SIZE_BYTES = 2 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    folder = tmp_path / "small disk"
    folder.mkdir()
    system = ctypes.CDLL(None, use_errno=True)
    options = f"size={SIZE_BYTES}".encode()
    if system.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, options) != 0:
        pytest.skip(f"a file system cannot be mounted here: {os.strerror(ctypes.get_errno())}")
    yield folder
    system.umount2(os.fsencode(folder), 2)


def wide_net() -> nn.Module:
    """About 100 KB of weights, so that a checkpoint takes 400 KB."""
    return nn.Sequential(nn.Linear(4, 4000), nn.ReLU(), nn.Linear(4000, 1))


def fill(folder: Path, left: int) -> Path:
    """Leave so many bytes free."""
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_bsize
    blocker = folder / "blocker"
    blocker.write_bytes(bytes(max(0, free - left)))
    return blocker


@pytest.mark.parametrize("left", [0, 4096, 60_000, 120_000, 200_000, 300_000])
def test_a_full_disk_is_said_and_the_run_goes_on_with_the_same_bits_after_some_is_freed(
    small_disk: Path, tmp_path: Path, left: int
) -> None:
    config = training_config()
    whole = run_fit(tmp_path / "whole", config, build=wide_net)
    folder = small_disk / "checkpoints"
    blockers: list[Path] = []

    def fill_in_second_epoch(values: dict[str, float]) -> bool:
        if values["epoch"] == 1 and not blockers:
            while not (folder / "00000001").exists():
                time.sleep(0.01)
            blockers.append(fill(small_disk, left))
        return False

    with pytest.raises(DiskFull) as caught:
        run_fit(folder, config, build=wide_net, should_stop=fill_in_second_epoch)
    said = f"{caught.value.message}\n{caught.value.hint}"
    assert "the disk is full" in said and str(small_disk) in said and len(said.splitlines()) <= 3
    assert [path.name for path in folder.iterdir()] == ["00000001"]
    found = Checkpoints(folder).load()
    assert found is not None and found.rest["epoch"] == 1
    blockers[0].unlink()
    assert same_bits(run_fit(folder, config, build=wide_net), whole)


def test_a_full_disk_from_the_start_is_said(small_disk: Path) -> None:
    fill(small_disk, 0)
    with pytest.raises(DiskFull):
        run_fit(small_disk / "checkpoints", training_config(), build=wide_net)


def test_a_folder_that_cannot_be_written_to_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "checkpoints"
    with pytest.raises(TrainingError) as caught:
        run_fit(folder, training_config())
    assert str(folder) in caught.value.message and "Not a directory" in caught.value.message
    assert "writable" in str(caught.value.hint)


def test_a_disk_that_may_only_be_read_is_said(small_disk: Path) -> None:
    config, folder = training_config(), small_disk / "checkpoints"
    read_only, remount = 1, 32
    system = ctypes.CDLL(None)

    def forbid(values: dict[str, float]) -> bool:
        if values["epoch"] == 1:
            while not (folder / "00000001").exists():
                time.sleep(0.01)  # the first is still being written
            while system.mount(b"tmpfs", os.fsencode(small_disk), b"tmpfs", read_only | remount, b"") != 0:
                time.sleep(0.01)  # a checkpoint is being written
        return False

    with pytest.raises(TrainingError, match=r"no checkpoint can be written to .*Read-only file system"):
        run_fit(folder, config, should_stop=forbid)
    assert system.mount(b"tmpfs", os.fsencode(small_disk), b"tmpfs", remount, b"") == 0
    found = Checkpoints(folder).load()
    assert found is not None and found.rest["epoch"] == 1


def test_a_write_that_fails_in_the_background_ends_the_run_at_the_next_one(tmp_path: Path) -> None:
    folder, seen = tmp_path / "checkpoints", []

    def spoil(values: dict[str, float]) -> bool:
        seen.append(values["update"])
        if values["update"] >= 3 and folder.is_dir():  # the first checkpoint is made in the background
            folder.rename(tmp_path / "gone")
            folder.write_text("a file in its place")
        return False

    with pytest.raises(TrainingError, match="no checkpoint can be written"):
        run_fit(folder, training_config(checkpoint_seconds=1e-9, epochs=400), should_stop=spoil)
    assert seen[-1] < 400 * 8


def test_a_damaged_newest_checkpoint_is_said_and_the_one_before_gives_the_same_bits(tmp_path: Path) -> None:
    config = training_config()
    whole = run_fit(tmp_path / "whole", config)
    folder = tmp_path / "checkpoints"
    run_fit(folder, config)
    newest = sorted(folder.iterdir())[-1]
    rest = newest / "rest.pt"
    rest.write_bytes(rest.read_bytes()[:-100])
    with pytest.raises(CheckpointUnreadable) as caught:
        run_fit(folder, config)
    assert str(newest) in caught.value.message and f"rm -r '{newest}'" in str(caught.value.hint)
    for file in newest.iterdir():
        file.unlink()
    newest.rmdir()
    assert same_bits(run_fit(folder, config), whole)


def test_a_state_after_a_loss_that_is_not_finite_is_never_written(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    good, bad = torch.tensor(0.0), torch.tensor(1.0)
    checkpoints.save(Snapshot({"weights": {"w": torch.zeros(1)}}, {"n": 1}, spoilt=good))
    checkpoints.save(Snapshot({"weights": {"w": torch.zeros(1)}}, {"n": 2}, spoilt=bad))
    found = checkpoints.load()
    assert found is not None and found.rest["n"] == 1
