"""Images as the host has them, batch by batch: read from a store, decoded, or made by a competition's own transforms.

Work is done in place or by processes, with the same result: own transforms see generators of Python, NumPy and torch
that are seeded for each sample.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from kagglerun.data.image_store import ImageSource
from kagglerun.errors import ConfigError, KagglerunError, TrainingError
from kagglerun.importing import describe
from kagglerun.randomness import derive
from kagglerun.training.batches import Samples

Transforms = Callable[[Image.Image], Tensor]
"""A competition's own change of a training image: RGB to uint8 or float in [0, 1], (3, image_size, image_size)."""

_TOLERANCE = 0.3
"""How far floats may lie outside of [0, 1] and count as overshoot of a resize; colours that were normalised go on."""


@dataclass(frozen=True)
class Request:
    """One batch.

    Attributes:
        rows: the images, int64 (n,).
        epoch: None without augmentation.
    """

    rows: Samples
    epoch: int | None


class Reader(Protocol):
    """Makes the images of a batch on the host."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one image."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of its numbers."""

    def read(self, request: Request, out: NDArray[Any]) -> None:
        """Put the batch's images into `out`, (n, *shape)."""


@dataclass(frozen=True)
class PixelReader:
    """Decoded images as they are, uint8 (n, side, side, 3).

    Attributes:
        source: where they come from.
    """

    source: ImageSource

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one image."""
        return self.source.side, self.source.side, 3

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of its numbers."""
        return np.dtype(np.uint8)

    def read(self, request: Request, out: NDArray[Any]) -> None:
        """Read a batch."""
        self.source.read(request.rows, out)


@dataclass(frozen=True)
class TransformReader:
    """Training images by a competition's own transforms, float32 (n, 3, size, size) in [0, 1].

    What a sample becomes depends on (seed, epoch, row) alone. The process's generators are left as they were.

    Attributes:
        source: the decoded images.
        transforms: what changes them.
        size: side in pixels of what they must give.
        seed: the derived seed of this fold's augmentation.
    """

    source: ImageSource
    transforms: Transforms
    size: int
    seed: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one image."""
        return 3, self.size, self.size

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of its numbers."""
        return np.dtype(np.float32)

    def read(self, request: Request, out: NDArray[Any]) -> None:
        """Read and change a batch.

        Raises:
            ConfigError: the transforms fail, or give something else.
        """
        side = self.source.side
        pixels = np.empty((len(request.rows), side, side, 3), dtype=np.uint8)
        self.source.read(request.rows, pixels)
        with _as_in_a_worker():
            for place, row in enumerate(request.rows.tolist()):
                _seed_generators(derive(self.seed, "transforms", str(request.epoch), row))
                out[place] = self._changed(Image.fromarray(pixels[place]))

    def _changed(self, image: Image.Image) -> NDArray[np.float32]:
        try:
            made = self.transforms(image)
        except Exception as error:
            raise ConfigError(
                f"the transforms of hooks.py failed: {describe(error)}",
                hint="they are called with a PIL image, as by torchvision's ImageFolder",
            ) from error
        return _checked(made, self.size)


def _checked(made: object, size: int) -> NDArray[np.float32]:
    """Colours in [0, 1], float32 (3, size, size)."""
    shape = (3, size, size)
    if (
        not isinstance(made, Tensor)
        or made.shape != shape
        or not (made.dtype == torch.uint8 or made.is_floating_point())
    ):
        given = f"{made.dtype} {tuple(made.shape)}" if isinstance(made, Tensor) else type(made).__name__
        raise ConfigError(
            f"the transforms of hooks.py gave {given}; they must give a tensor {shape}, uint8 or float in [0, 1]",
            hint="end with v2.Resize((image_size, image_size)) and v2.PILToTensor()",
        )
    if made.dtype == torch.uint8:
        return made.numpy().astype(np.float32) / np.float32(255)
    colours = made.detach().float().numpy()
    if not (colours.min() >= -_TOLERANCE and colours.max() <= 1 + _TOLERANCE):
        raise ConfigError(
            f"the transforms of hooks.py gave colours from {colours.min():.2f} to {colours.max():.2f}, not in [0, 1]",
            hint="leave Normalize out: kagglerun normalises training and validation images as the model expects",
        )
    return colours.clip(0, 1)


def _seed_generators(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)


@contextmanager
def _as_in_a_worker() -> Iterator[None]:
    """One thread, as workers have, since sums depend on their number; generators are left as they were."""
    of_python, of_numpy, of_torch = random.getstate(), np.random.get_state(), torch.get_rng_state()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        random.setstate(of_python)
        np.random.set_state(of_numpy)
        torch.set_rng_state(of_torch)


def read_by_workers(reader: Reader, count: int, requests: Iterable[Request]) -> Generator[NDArray[Any]]:
    """Batches in order, read ahead by processes. These start at the first batch and end when the generator is closed.

    To be run in another thread than the main one: torch would have a process's end raise an error anywhere in that.

    Args:
        reader: what each does; it is copied into them by fork.
        count: how many.
        requests: the batches, taken as processes come free.

    Raises:
        KagglerunError: what the reader raised, in its place in the order.
        TrainingError: a process ended, e.g. for want of memory.
    """
    with warnings.catch_warnings():
        # More processes than cores are the user's own wish; and a thread of ours holds no lock that a fork would need.
        warnings.simplefilter("ignore")
        loader: Any = iter(
            DataLoader(
                _Requests(reader),
                sampler=requests,
                batch_size=None,
                collate_fn=_as_it_is,
                num_workers=count,
                multiprocessing_context="fork",
                # Else it would draw a number from the process's own generator.
                generator=torch.Generator(),
            )
        )
    try:
        with _ends_named():
            for item in loader:
                if isinstance(item, KagglerunError):
                    raise item
                yield item
    finally:
        # An error's traceback would hold the loader; collected later as garbage, it waits 5 seconds for each process.
        loader._shutdown_workers()


@contextmanager
def _ends_named() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if "worker" not in str(error):
            raise
        raise TrainingError(
            f"a process that loads images ended: {str(error).splitlines()[0][:200]}",
            hint="perhaps the memory is short: fewer training.loader_workers, or 0",
        ) from error


class _Requests(Dataset[Any]):
    """What torch's workers call. Arrays go through a pipe: shared memory is scarce in containers."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def __getitem__(self, request: Request) -> NDArray[Any] | KagglerunError:
        out = np.empty((len(request.rows), *self._reader.shape), dtype=self._reader.dtype)
        try:
            self._reader.read(request, out)
        except KagglerunError as error:
            return error
        return out


def _as_it_is(item: Any) -> Any:
    return item
