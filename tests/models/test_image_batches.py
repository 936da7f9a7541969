"""Batches of images: the same bits from a store, the device or files, by any number of processes, in any batches."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from kagglerun.config.augment import AugmentConfig
from kagglerun.data.image_store import ImageStore, file_bytes, header
from kagglerun.data.images import open_images
from kagglerun.errors import ConfigError, DataError, TrainingError
from kagglerun.models.image_batches import ImageBatches, ImageSupply, copied_to, keep_on_device
from kagglerun.training.augmentation import Augmentation
from kagglerun.training.batches import Batch

CPU = torch.device("cpu")
N, SIDE, SIZE = 40, 24, 16
ROWS = np.random.default_rng(5).permutation(N)[:30].astype(np.int64)
TARGETS = torch.from_numpy(ROWS % 3)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder, numbers = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    made = []
    for number in range(N):
        path = folder / f"{number}.{('png', 'jpg')[number % 2]}"
        Image.fromarray(numbers.integers(0, 256, (30, 40, 3), dtype=np.uint8)).save(path)
        made.append(path)
    return made


@pytest.fixture
def supply(paths: list[Path], tmp_path: Path) -> Iterator[Callable[..., ImageSupply]]:
    opened = []

    def make(keep: bool = True, resident: bool = False, **options: Any) -> ImageSupply:
        source = open_images(paths, SIDE, tmp_path / "cache", "content", keep=keep)
        opened.append(source)
        return ImageSupply(source, CPU, copied_to(source, CPU) if resident else None, **options)

    yield make
    for source in opened:
        source.close()


def batches_of(supply: ImageSupply, mirrored: bool = False, **augment: Any) -> ImageBatches:
    config = AugmentConfig.model_validate({"preset": "strong", **augment})
    colours = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)
    return ImageBatches(supply, ROWS, TARGETS, Augmentation(config, 7, SIDE, SIZE, *colours), 3, mirrored)


def parts_of(*sizes: int) -> list[np.ndarray]:
    order = np.random.default_rng(1).permutation(len(ROWS)).astype(np.int64)
    return np.split(order[: sum(sizes)], np.cumsum(sizes)[:-1])


def all_of(batches: ImageBatches, epoch: int | None, *sizes: int) -> tuple[Tensor, Tensor]:
    made: list[Batch] = [
        Batch((batch.inputs[0].clone(),), batch.targets) for batch in batches.stream(parts_of(*sizes), epoch)
    ]
    assert [len(batch.inputs[0]) for batch in made] == list(sizes)
    return torch.cat([batch.inputs[0] for batch in made]), torch.cat([batch.targets for batch in made])


def own_transforms(image: Image.Image) -> Tensor:
    """Draws from all three generators."""
    if random.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    turned = v2.Compose([v2.RandomResizedCrop(SIZE), v2.ColorJitter(0.4, 0.4, 0.4, 0.1), v2.PILToTensor()])(image)
    return (turned.float() / 255 * np.random.uniform(0.5, 1.0)).clamp(0, 1)


WAYS: dict[str, dict[str, Any]] = {
    "store": {},
    "on the device": {"resident": True},
    "files": {"keep": False},
    "files by one process": {"keep": False, "workers": 1},
    "files by three processes": {"keep": False, "workers": 3},
}


@pytest.mark.parametrize("epoch", [None, 0, 4])
@pytest.mark.parametrize("mixup", [0.0, 0.4])
def test_every_way_gives_the_same_bits(supply: Callable[..., ImageSupply], epoch: int | None, mixup: float) -> None:
    expected, answers = all_of(batches_of(supply(), mixup=mixup), epoch, 8, 8, 8, 5)
    assert expected.shape == (29, 3, SIZE, SIZE) and expected.is_contiguous(memory_format=torch.channels_last)
    assert answers.dtype == (torch.float32 if mixup and epoch is not None else torch.int64)
    for name, options in WAYS.items():
        images, targets = all_of(batches_of(supply(**options), mixup=mixup), epoch, 8, 8, 8, 5)
        assert torch.equal(images, expected) and torch.equal(targets, answers), name


@pytest.mark.parametrize("sizes", [(29,), (1, 28), (10, 10, 9), (3,) * 9 + (2,)])
@pytest.mark.parametrize("way", ["store", "on the device"])
def test_batches_do_not_change_a_sample(supply: Callable[..., ImageSupply], way: str, sizes: tuple[int, ...]) -> None:
    for epoch, mixup in ((None, 0.0), (3, 0.0), (3, 0.4)):
        batches = batches_of(supply(**WAYS[way]), mixup=mixup)
        expected, _ = all_of(batches, epoch, 8, 8, 8, 5)
        assert torch.equal(all_of(batches, epoch, *sizes)[0], expected)


def test_epochs_differ_and_validation_is_the_plain_image(supply: Callable[..., ImageSupply]) -> None:
    batches = batches_of(supply())
    first, _ = all_of(batches, 0, 20)
    assert not torch.equal(first, all_of(batches, 1, 20)[0])
    plain, targets = all_of(batches, None, 20)
    [samples] = parts_of(20)
    pixels = np.empty((20, SIDE, SIDE, 3), dtype=np.uint8)
    supply().source.read(ROWS[samples], pixels)
    resized = v2.functional.resize(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255, [SIZE, SIZE], antialias=True)
    mean, std = torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1), torch.tensor([0.2, 0.3, 0.25]).view(3, 1, 1)
    assert torch.allclose(plain, (resized - mean) / std, atol=1e-4)
    assert torch.equal(targets, TARGETS[samples]) and torch.equal(batches.targets(), TARGETS)
    assert torch.allclose(all_of(batches_of(supply(), mirrored=True), None, 20)[0], plain.flip(3), atol=1e-5)


@pytest.mark.parametrize("way", list(WAYS))
def test_closing_a_stream_early_leaves_no_thread_and_no_process(supply: Callable[..., ImageSupply], way: str) -> None:
    stream = batches_of(supply(**WAYS[way])).stream(parts_of(2, 2, 2, 2, 2, 2), 0)
    next(stream)
    stream.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "kagglerun-prefetch"]
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("way", ["files", "files by three processes"])
def test_a_broken_file_is_named_whoever_decodes_it(
    paths: list[Path], tmp_path: Path, supply: Callable[..., ImageSupply], way: str
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"nothing")
    made = supply(**WAYS[way])
    files = [broken if row == ROWS[parts_of(8, 8)[1][3]] else path for row, path in enumerate(paths)]
    damaged = ImageSupply(open_images(files, SIDE, tmp_path, "", keep=False), CPU, workers=made.workers)
    with pytest.raises(DataError, match=r"broken\.jpg cannot be read") as caught:
        all_of(batches_of(damaged), 0, 8, 8)
    assert "Traceback" not in caught.value.message


# A competition's own transforms


@pytest.mark.parametrize("mixup", [0.0, 0.4])
@pytest.mark.parametrize("keep", [True, False])
def test_own_transforms_give_the_same_by_any_number_of_processes_and_in_any_batches(
    supply: Callable[..., ImageSupply], keep: bool, mixup: float
) -> None:
    def made(workers: int, *sizes: int) -> Tensor:
        torch.manual_seed(workers)  # what the generators held before must not matter
        supplied = supply(keep=keep, workers=workers, transforms=own_transforms)
        return all_of(batches_of(supplied, mixup=mixup), 2, *sizes)[0]

    expected = made(0, 8, 8, 4)
    assert expected.std() > 0.1
    for workers, sizes in ((0, (20,)), (1, (8, 8, 4)), (2, (8, 8, 4)), (3, (5, 5, 5, 5))):
        assert torch.equal(made(workers, *sizes), expected), (workers, sizes)
    supplied = supply(keep=keep, transforms=own_transforms)
    assert not torch.equal(all_of(batches_of(supplied, mixup=mixup), 3, 20)[0], expected)


@pytest.mark.parametrize("workers", [0, 2])
def test_own_transforms_leave_the_generators_as_they_were(supply: Callable[..., ImageSupply], workers: int) -> None:
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    expected = random.random(), np.random.random(), torch.rand(1)
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    all_of(batches_of(supply(workers=workers, transforms=own_transforms)), 0, 8, 8)
    assert (random.random(), np.random.random(), torch.rand(1)) == expected


def test_own_transforms_are_for_training_images_alone(supply: Callable[..., ImageSupply]) -> None:
    ours = all_of(batches_of(supply()), None, 20)[0]
    assert torch.equal(all_of(batches_of(supply(transforms=own_transforms)), None, 20)[0], ours)


@pytest.mark.parametrize("way", ["uint8", "float"])
def test_own_transforms_are_normalised_like_all_images(supply: Callable[..., ImageSupply], way: str) -> None:
    resize = v2.Resize((SIZE, SIZE))
    ending = (
        v2.PILToTensor() if way == "uint8" else v2.Compose([v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)])
    )
    images, _ = all_of(batches_of(supply(transforms=v2.Compose([resize, ending]))), 0, 20)
    plain, _ = all_of(batches_of(supply()), None, 20)
    assert (images - plain).abs().max() < 0.05  # Pillow resizes to whole numbers
    assert images.is_contiguous(memory_format=torch.channels_last)


def fails(image: Image.Image) -> Tensor:
    raise KeyError("colour")


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("transforms", "message"),
    [
        (lambda image: image, "gave Image; they must give a tensor"),
        (lambda image: torch.zeros(3, SIDE, SIDE), r"\(3, 24, 24\); they must give a tensor \(3, 16, 16\)"),
        (lambda image: torch.zeros(3, SIZE, SIZE, dtype=torch.int64), "torch.int64"),
        (lambda image: torch.full((3, SIZE, SIZE), -1.5), r"from -1.50 to -1.50, not in \[0, 1\]"),
        (lambda image: torch.full((3, SIZE, SIZE), torch.nan), "from nan"),
        (fails, "failed: KeyError: 'colour'"),
    ],
)
def test_transforms_that_give_something_else_are_told_what_is_wanted(
    supply: Callable[..., ImageSupply], transforms: Any, message: str, workers: int
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        all_of(batches_of(supply(transforms=transforms, workers=workers)), 0, 8, 8)
    assert caught.value.hint is not None and "Traceback" not in caught.value.message


def test_a_process_that_is_killed_is_an_error_with_a_way_out(supply: Callable[..., ImageSupply]) -> None:
    def killed(image: Image.Image) -> Tensor:
        os.kill(os.getpid(), signal.SIGKILL)
        return torch.zeros(3, SIZE, SIZE)

    with pytest.raises(TrainingError, match="a process that loads images ended") as caught:
        all_of(batches_of(supply(transforms=killed, workers=1)), 0, 8, 8)
    assert caught.value.hint is not None and "loader_workers" in caught.value.hint


# On the device


def test_on_a_cpu_images_are_not_kept_twice(supply: Callable[..., ImageSupply]) -> None:
    for wanted in ("auto", "always", "never"):
        assert keep_on_device(supply().source, CPU, wanted) is None


def test_what_is_kept_on_a_gpu_follows_its_free_memory(
    supply: Callable[..., ImageSupply], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu, taken = torch.device("cuda"), N * SIDE * SIDE * 3
    monkeypatch.setattr("kagglerun.models.image_batches.copied_to", lambda source, device: torch.zeros(1))
    free = [0]
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free[0], 10**12))
    store, files = supply().source, supply(keep=False).source
    for space, wanted, kept in (
        (2 * taken, "auto", True),
        (2 * taken - 2, "auto", False),
        (taken, "always", True),
        (10 * taken, "never", False),
    ):
        free[0] = space
        assert (keep_on_device(store, gpu, wanted) is not None) == kept, (space, wanted)
        assert keep_on_device(files, gpu, wanted) is None
    free[0] = taken - 1
    with pytest.raises(TrainingError, match="data_on_gpu is 'always'"):
        keep_on_device(store, gpu, "always")


# Memory


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_memory_does_not_grow_with_the_store(tmp_path: Path) -> None:
    count, side = 2000, 224
    path = tmp_path / "images.npy"
    path.write_bytes(header(count, side))
    os.truncate(path, file_bytes(count, side))  # 300 MB of black, which take no room on the disk
    store = ImageStore.open(path, count, side)
    assert store is not None
    augmentation = Augmentation(AugmentConfig(), 0, side, 32, (0.5,) * 3, (0.5,) * 3)
    batches = ImageBatches(ImageSupply(store, CPU), np.arange(count), None, augmentation)
    parts = np.split(np.random.default_rng(0).permutation(count), count // 20)
    before = highest = resident_bytes()
    for epoch in (None, 0):
        for _ in batches.stream(parts, epoch):
            highest = max(highest, resident_bytes())
    store.close()
    assert highest - before < 100e6 < store.size_bytes / 3


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_every_way_gives_the_same_bits_and_nearly_those_of_the_cpu(
    supply: Callable[..., ImageSupply],
) -> None:
    gpu = torch.device("cuda")
    for epoch, mixup in ((None, 0.0), (0, 0.0), (4, 0.4)):
        on_cpu, _ = all_of(batches_of(supply(), mixup=mixup), epoch, 8, 8, 8, 5)
        source = supply().source
        made = [
            all_of(batches_of(ImageSupply(source, gpu, resident), mixup=mixup), epoch, 8, 8, 8, 5)[0]
            for resident in (None, copied_to(source, gpu))
        ]
        assert torch.equal(made[0], made[1])
        assert torch.allclose(made[0].cpu(), on_cpu, atol=1e-3)
