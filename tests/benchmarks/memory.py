"""Memory of training on images that are larger than what is allowed: a whole epoch over a store of 3 GB.

The fit runs in a process of its own, with the command's own path: store, batches read ahead, augmentation, the loop.
Beyond what the process holds before the data (libraries and the network), its peak must stay below 1.5 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

ALLOWED_GB = 1.5


@dataclass(frozen=True)
class Shape:
    """Of the images.

    Attributes:
        images: how many.
        side: their side in pixels.
        batch_size: samples of a step.
    """

    images: int = 20_000
    side: int = 224
    batch_size: int = 256

    @property
    def gigabytes(self) -> float:
        """Of the store."""
        return self.images * self.side**2 * 3 / 1e9


def report(shape: Shape = Shape()) -> str:
    """A Markdown table of what a fit took."""
    taken = measure(shape)
    beyond = taken["peak"] - taken["before"]
    return "\n".join(
        [
            "### Memory of an epoch over images",
            "",
            f"{shape.images} images of {shape.side} pixels, batches of {shape.batch_size}, one whole epoch of `fit()` "
            "with validation and test; resident memory of the process, all its pages counted.",
            "",
            "| store, GB | before the data, GB | peak, GB | beyond, GB | allowed, GB | seconds |",
            "|---|---|---|---|---|---|",
            f"| {shape.gigabytes:.2f} | {taken['before']:.2f} | {taken['peak']:.2f} | {beyond:.2f} | {ALLOWED_GB} "
            f"| {taken['seconds']:.0f} |",
        ]
    )


def measure(shape: Shape) -> dict[str, float]:
    """Gigabytes before the data and at the peak, and seconds, of a fit in a process of its own."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("KAGGLERUN_BENCHMARK_FOLDER")) as folder:
        numbers = [str(shape.images), str(shape.side), str(shape.batch_size)]
        command = [sys.executable, __file__, "--fit", folder, *numbers]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    taken: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return taken


def fit_in_this_process(folder: Path, shape: Shape) -> dict[str, float]:
    """Train a small network for one epoch on made-up images, and watch this process meanwhile."""
    import numpy as np
    import pandas as pd
    import torch

    from kagglerun import metrics
    from kagglerun.config.card import Task
    from kagglerun.config.load import parse_config
    from kagglerun.models.base import FoldContext, ModelInput, find_family
    from kagglerun.workspace import FoldPaths

    training = {
        "epochs": 1,
        "batch_size": shape.batch_size,
        "device": "cpu",
        "augment": "light",
        "deterministic": False,
    }
    model = {"kind": "image", "name": "resnet10t", "image_size": 32, "cache_size": shape.side, "pretrained": False}
    config = parse_config({"model": model, "training": training}, "benchmark")
    n_test = max(1, shape.images // 20)
    n_train = shape.images - n_test
    paths = tuple(folder / f"{number}.png" for number in range(shape.images))
    write_store(folder, paths[:n_train], shape.side)
    write_store(folder, paths[n_train:], shape.side)
    family, metric = find_family("image"), metrics.get("accuracy")
    data = ModelInput(
        task=Task.MULTICLASS,
        n_outputs=4,
        targets=np.arange(n_train) % 4,
        train=pd.DataFrame(index=range(n_train)),
        test=pd.DataFrame(index=range(n_test)),
        train_images=paths[:n_train],
        test_images=paths[n_train:],
        content="made",
        cache=folder / "cache",
        cache_bytes=10**12,
    )
    context = FoldContext(
        config=config,
        data=data,
        metric=metric,
        score=lambda targets, predictions: metric.score_predictions(targets, predictions, data.task),
        fold=0,
        train_rows=np.arange(0, n_train * 9 // 10),
        valid_rows=np.arange(n_train * 9 // 10, n_train),
        paths=FoldPaths(folder / "fold"),
        report=lambda step, values: None,
        should_stop=lambda values: False,
    )
    torch.nn.Linear(4, 4)(torch.zeros(1, 4)).sum().backward()
    watch, started = Watch(), time.monotonic()
    family.fit_fold(context)
    return {"before": watch.before, "peak": watch.end(), "seconds": time.monotonic() - started}


def write_store(folder: Path, paths: tuple[Path, ...], side: int) -> None:
    """What decoding would leave, without a PNG file for each image: 3 GB of those would take minutes to make."""
    import numpy as np

    from kagglerun.config.schema import ImageModelConfig
    from kagglerun.data import images
    from kagglerun.data.image_store import header

    for path in paths:
        path.touch()
    (folder / "cache").mkdir(exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (64, side, side, 3), dtype=np.uint8)
    name = images._digest(paths, side, folder / "cache", "made", ImageModelConfig().aspect)
    with (folder / "cache" / f"images-{side}-{name}.npy").open("wb") as stream:
        stream.write(header(len(paths), side))
        for start in range(0, len(paths), len(pixels)):
            stream.write(pixels[: len(paths) - start].tobytes())


class Watch:
    """Looks at this process's resident memory, in GB, 50 times a second."""

    def __init__(self) -> None:
        self.before = self.peak = resident_gigabytes()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def end(self) -> float:
        """The peak since the start."""
        self._ended.set()
        self._thread.join()
        return self.peak

    def _look(self) -> None:
        while not self._ended.wait(0.02):
            self.peak = max(self.peak, resident_gigabytes())


def resident_gigabytes() -> float:
    """Resident memory of this process, pages of mapped files included."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e9


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fit", nargs=4, metavar=("FOLDER", "IMAGES", "SIDE", "BATCH_SIZE"))
    chosen = parser.parse_args()
    if chosen.fit:
        sizes = [int(number) for number in chosen.fit[1:]]
        print(json.dumps(fit_in_this_process(Path(chosen.fit[0]), Shape(*sizes))))
    else:
        print(report())
