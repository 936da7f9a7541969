"""Images from disk to augmented, normalised batches, without a model: ours beside the loop of a good tutorial.

    python tests/benchmarks/data_path.py FOLDER_WITH_REAL_BUNDLES

The tutorial's is `ImageFolder` + `DataLoader(num_workers=2, persistent_workers=True)` + torchvision v2 with the same
operations and strengths; its transforms run on PIL images and on tensors, and the faster of the two counts. Both take
the same files, batches of 64 and the same cores, in turns, within one process; files are in the page cache.
"""

from __future__ import annotations

import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from kagglerun.config.augment import AugmentConfig
from kagglerun.data.image_store import ImageSource
from kagglerun.data.images import open_images
from kagglerun.models.image_batches import ImageBatches, ImageSupply
from kagglerun.training.augmentation import Augmentation
from kagglerun.training.batching import cut
from kagglerun.training.host_memory import reuse_freed_memory
from kagglerun.training.seed import sample_order

BUNDLE = "sign-language-digits"
SIZE, BATCH_SIZE, WORKERS = 96, 64, 2
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Recipe:
    """One augmentation, said twice.

    Attributes:
        name: for the table.
        config: ours.
        operations: torchvision's.
    """

    name: str
    config: AugmentConfig
    operations: tuple[v2.Transform, ...]


_BILINEAR = v2.InterpolationMode.BILINEAR
RECIPES = (
    Recipe(
        "light: shift, rotation, scale",
        AugmentConfig(preset="light"),
        (v2.Resize((SIZE, SIZE)), v2.RandomAffine(8, (0.06, 0.06), (0.92, 1.08), interpolation=_BILINEAR)),
    ),
    Recipe(
        "random resized crop, flip",
        AugmentConfig(preset="none", crop_scale=(0.08, 1), hflip=0.5),
        (v2.RandomResizedCrop(SIZE), v2.RandomHorizontalFlip()),
    ),
    Recipe(
        "random resized crop, flip, rotation, colour jitter",
        AugmentConfig(
            preset="none", crop_scale=(0.08, 1), hflip=0.5, degrees=15, brightness=0.2, contrast=0.2, saturation=0.2,
            hue=0.05,
        ),
        (
            v2.RandomResizedCrop(SIZE),
            v2.RandomHorizontalFlip(),
            v2.RandomRotation(15, interpolation=_BILINEAR),
            v2.ColorJitter(0.2, 0.2, 0.2, 0.05),
        ),
    ),
)  # fmt: skip


def report(data: Path, rounds: int = 5) -> str:
    """A Markdown table of samples per second and of the first epoch's cost.

    Args:
        data: folder with sign-language-digits.zip.
        rounds: how often each is measured; medians are shown, ratios are medians of the rounds' ratios.
    """
    lines = [
        f"### Data path: {BUNDLE} at {SIZE} pixels, batches of {BATCH_SIZE}, without a model",
        "",
        f"`ImageFolder` + `DataLoader(num_workers={WORKERS})` + torchvision v2 on PIL images or on tensors, against",
        f"ours; {torch.get_num_threads()} threads, medians of {rounds} rounds in turns. Samples per second after the",
        "first epoch. The first epoch decodes into an empty store; it is compared with a later epoch of the faster",
        "plain loader.",
        "",
        "| augmentation | plain, PIL | plain, tensors | ours | ratio to the faster | first epoch, of one plain epoch |",
        "|---|---|---|---|---|---|",
    ]
    reuse_freed_memory(torch.device("cpu"))  # as fit() does, for both
    with tempfile.TemporaryDirectory() as folder:
        root = unpacked(data / f"{BUNDLE}.zip", Path(folder) / "images")
        compiled, loaded = (kernel_seconds(Path(folder) / "kernel") for _ in range(2))
        first_batch()
        lines += [row(recipe, root, Path(folder), rounds) for recipe in RECIPES]
    lines += [
        "",
        f"Not in these: the compiled pass, {compiled:.1f} s once a machine, {loaded:.1f} s in each process later.",
    ]
    return "\n".join(lines)


def first_batch() -> float:
    """Seconds until the first image of a process is augmented, without the time to import torch."""
    augmentation = Augmentation(RECIPES[0].config, 1, 8, 8, MEAN, STD)
    draw = augmentation.draw(0, np.zeros(1, np.int64), np.zeros(1, np.int64))
    return seconds(lambda: augmentation.apply(torch.zeros(1, 8, 8, 3, dtype=torch.uint8), draw))


def kernel_seconds(cache: Path) -> float:
    """`first_batch` in a process of its own, which keeps compiled code in the folder `cache`."""
    program = "import data_path; print(data_path.first_batch())"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    ran = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=Path(__file__).parent,
        env=environment,
    )  # fmt: skip
    return float(ran.stdout)


def unpacked(bundle: Path, root: Path) -> Path:
    """The labelled images in one folder a class, as `ImageFolder` wants them; reading them fills the page cache."""
    with zipfile.ZipFile(bundle) as archive:
        files = {Path(name).name: name for name in archive.namelist() if name.startswith("train/")}
        for labelled in csv.DictReader(archive.read("train.csv").decode().splitlines()):
            target = root / labelled["label"] / labelled["id"]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(files[labelled["id"]]))
    return root


def row(recipe: Recipe, root: Path, scratch: Path, rounds: int) -> str:
    """Measure one augmentation, in turns."""
    loaders = [plain_loader(recipe, root, on_tensors) for on_tensors in (False, True)]
    paths = [Path(path) for path, _ in ImageFolder(str(root)).samples]
    n = len(paths)
    rates: list[list[float]] = [[], [], []]
    first_costs = []
    for loader in loaders:
        seconds(lambda loader=loader: drain(images for images, _ in loader))  # starts the workers
    for number in range(rounds):
        cache = scratch / f"{recipe.config.preset}-{len(recipe.operations)}-{number}"
        started = time.perf_counter()
        with closing(open_images(paths, SIZE, cache, content="benchmark")) as source:
            drain(our_epoch(recipe, source, 0))
            first = time.perf_counter() - started
            plain = [seconds(lambda loader=loader: drain(images for images, _ in loader)) for loader in loaders]
            ours = statistics.median(seconds(lambda e=e: drain(our_epoch(recipe, source, e))) for e in range(1, 6))
        for kept, measured in zip(rates, [*plain, ours], strict=True):
            kept.append(n / measured)
        first_costs.append(first / min(plain))
    ratio = statistics.median(our / max(pil, tensor) for pil, tensor, our in zip(*rates, strict=True))
    middles = " | ".join(f"{statistics.median(rate):,.0f}" for rate in rates)
    return f"| {recipe.name} | {middles} | {ratio:.1f} | {statistics.median(first_costs):.2f} |"


def plain_loader(recipe: Recipe, root: Path, on_tensors: bool) -> DataLoader[Any]:
    """The tutorial's loader."""
    finish = [v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
    operations = [v2.ToImage(), *recipe.operations] if on_tensors else [*recipe.operations, v2.ToImage()]
    folder = ImageFolder(str(root), transform=v2.Compose([*operations, *finish]))
    return DataLoader(folder, BATCH_SIZE, shuffle=True, num_workers=WORKERS, persistent_workers=True)


def our_epoch(recipe: Recipe, source: ImageSource, epoch: int) -> Iterable[torch.Tensor]:
    """Our batches of one epoch, as the training loop gets them."""
    rows = np.arange(len(source), dtype=np.int64)
    targets = torch.from_numpy(rows % 10)
    augmentation = Augmentation(recipe.config, 1, source.side, SIZE, MEAN, STD)
    batches = ImageBatches(ImageSupply(source, torch.device("cpu")), rows, targets, augmentation, n_classes=10)
    parts = cut(sample_order(1, 0, epoch, len(rows)), BATCH_SIZE)
    return (batch.inputs[0] for batch in batches.stream(parts, epoch))


def drain(batches: Iterable[torch.Tensor]) -> None:
    """Take every batch."""
    for images in batches:
        assert images.shape[1:] == (3, SIZE, SIZE)
        assert images.dtype == torch.float32


def seconds(action: Callable[[], object]) -> float:
    """Wall time of an action."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


if __name__ == "__main__":
    print(report(Path(sys.argv[1] if len(sys.argv) > 1 else os.environ["KAGGLERUN_TEST_DATA"])))
