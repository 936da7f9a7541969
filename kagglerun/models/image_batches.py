"""Batches of images, ready on the device when the loop asks for them."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from kagglerun.data.image_store import ImageFiles, ImageSource, ImageStore
from kagglerun.errors import TrainingError
from kagglerun.models.image_reading import PixelReader, Reader, Request, TransformReader, Transforms, read_by_workers
from kagglerun.training.augmentation import Augmentation, Draw
from kagglerun.training.batches import Batch, Samples
from kagglerun.training.prefetch import HostBuffer, SideStream, prefetch
from kagglerun.training.stages import stage

_AHEAD = 2
"""Batches that are made ready while one is in use."""
_COPIED_AT_ONCE = 64 << 20
"""Bytes of a store that go to the GPU at a time."""


@dataclass(frozen=True)
class ImageSupply:
    """Where the batches' images come from, and how they get to the device.

    Attributes:
        source: decoded images.
        device: where batches go.
        resident: all images of the source on the device, uint8 (n, side, side, 3), where they are kept there.
        workers: processes that decode where there is no store, and run own transforms; 0 does it in place.
        transforms: the competition's own, for training images; None for ours.
    """

    source: ImageSource
    device: torch.device
    resident: Tensor | None = None
    workers: int = 0
    transforms: Transforms | None = None


@dataclass(frozen=True)
class _Raw:
    """A batch on the device before augmentation."""

    images: Tensor
    draw: Draw | None
    targets: Tensor | None
    partner_targets: Tensor | None
    mark: torch.cuda.Event | None

    def tensors(self) -> Iterator[Tensor]:
        made = (self.images, self.draw.table if self.draw else None, self.targets, self.partner_targets)
        return (tensor for tensor in made if tensor is not None)


@dataclass(frozen=True)
class _Plan:
    """A batch before it is read."""

    samples: Samples
    request: Request
    draw: Draw | None


class ImageBatches:
    """Images of some rows, augmented and normalised on the device.

    Args:
        supply: where images come from.
        rows: the rows in question; sample i is image rows[i].
        targets: tensor with one entry a sample, or None.
        augmentation: how training images are changed, and what the model expects.
        n_classes: number of classes, where targets are classes.
        mirrored: mirror every image (for test-time augmentation).
    """

    def __init__(
        self,
        supply: ImageSupply,
        rows: Samples,
        targets: Tensor | None,
        augmentation: Augmentation,
        n_classes: int | None = None,
        mirrored: bool = False,
    ) -> None:
        self._supply, self._rows, self._augmentation = supply, rows, augmentation
        self._targets = targets
        self._on_device = targets.to(supply.device) if targets is not None else None
        self._n_classes, self._mirrored = n_classes, mirrored
        self._side_stream = SideStream(supply.device)

    def __len__(self) -> int:
        return len(self._rows)

    def targets(self) -> Tensor:
        """Targets as the loss wants them, on the CPU."""
        assert self._targets is not None, "these rows have no targets"
        return self._targets

    def stream(self, parts: Sequence[Samples], epoch: int | None) -> Generator[Batch]:
        """Images, float32 (n, 3, size, size) in channels-last memory, with their targets."""
        with closing(self._raw(parts, epoch)) as batches:
            for raw in batches:
                self._side_stream.receive(raw.tensors(), raw.mark)
                with stage("augment"):
                    batch = self._finished(raw)
                yield batch

    def _finished(self, raw: _Raw) -> Batch:
        """Augmented, normalised, mixed."""
        augmentation, draw, targets = self._augmentation, raw.draw, raw.targets
        if raw.images.is_floating_point():
            images = raw.images.to(memory_format=torch.channels_last, copy=True)
            images = augmentation.normalised(images)
            images = augmentation.mix(images, draw) if draw is not None else images
        elif draw is not None:
            images = augmentation.apply(raw.images, draw)
        else:
            images = augmentation.plain(raw.images, self._mirrored)
        if draw is not None and targets is not None and raw.partner_targets is not None:
            targets = augmentation.mix_targets(targets, raw.partner_targets, draw, self._n_classes)
        return Batch((images,), targets)

    def _raw(self, parts: Sequence[Samples], epoch: int | None) -> Generator[_Raw]:
        """Each part's images on the device, made ready ahead."""
        supply, own = self._supply, self._uses_own(epoch)
        if supply.resident is not None and not own:
            return self._gathered(supply.resident, parts, epoch)
        if supply.workers and (own or isinstance(supply.source, ImageFiles)):
            return self._by_workers(parts, epoch)
        if own:
            return self._in_place(parts, epoch)
        return self._ahead(parts, epoch)

    def _gathered(self, resident: Tensor, parts: Sequence[Samples], epoch: int | None) -> Generator[_Raw]:
        """From the images that are on the device already."""

        def make(plan: _Plan, _: None) -> _Raw:
            with self._side_stream.copying(), stage("copy"):
                return self._with_targets(plan, resident.index_select(0, self._sent(plan.request.rows)))

        return prefetch(self._plans(parts, epoch), make, [None] * (1 + _AHEAD))

    def _ahead(self, parts: Sequence[Samples], epoch: int | None) -> Generator[_Raw]:
        """Read in a thread, into buffers that are used again and again, and copied while the device computes."""
        reader = self._reader(epoch)

        def make(plan: _Plan, buffer: HostBuffer) -> _Raw:
            host = buffer.first(len(plan.request.rows))
            with stage("read"):
                reader.read(plan.request, host.numpy())
            return self._copied(plan, host, buffer)

        return prefetch(self._plans(parts, epoch), make, self._buffers(reader, parts, epoch))

    def _in_place(self, parts: Sequence[Samples], epoch: int | None) -> Generator[_Raw]:
        """Read when it is needed: own transforms draw from the process's generators, so nothing may run beside them."""
        reader = self._reader(epoch)
        buffer = self._buffers(reader, parts, epoch)[0]
        for plan in self._plans(parts, epoch):
            host = buffer.first(len(plan.request.rows))
            with stage("read"):
                reader.read(plan.request, host.numpy())
            yield self._copied(plan, host, buffer)

    def _by_workers(self, parts: Sequence[Samples], epoch: int | None) -> Generator[_Raw]:
        """Read by other processes."""
        reader = self._reader(epoch)
        # The workers are asked for later batches than the one that is taken from them.
        plans, asked = itertools.tee(self._plans(parts, epoch))
        workers = min(self._supply.workers, max(1, len(parts)))
        made = read_by_workers(reader, workers, (plan.request for plan in asked))

        def make(plan: _Plan, buffer: HostBuffer) -> _Raw:
            host = buffer.first(len(plan.request.rows))
            with stage("read"):
                host.numpy()[:] = next(made)
            return self._copied(plan, host, buffer)

        with closing(made), closing(prefetch(plans, make, self._buffers(reader, parts, epoch))) as batches:
            yield from batches

    def _plans(self, parts: Sequence[Samples], epoch: int | None) -> Iterator[_Plan]:
        """What each batch needs; drawn when it is asked for."""
        for samples in parts:
            draw = None if epoch is None else self._augmentation.draw(epoch, samples, self._rows)
            needed = samples if draw is None else draw.samples
            yield _Plan(samples, Request(self._rows[needed], epoch), draw)

    def _reader(self, epoch: int | None) -> Reader:
        source, transforms = self._supply.source, self._supply.transforms
        if self._supply.workers and isinstance(source, ImageFiles):
            source = source.in_one_thread()
        if epoch is None or transforms is None:
            return PixelReader(source)
        return TransformReader(source, transforms, self._augmentation.size, self._augmentation.seed)

    def _uses_own(self, epoch: int | None) -> bool:
        return epoch is not None and self._supply.transforms is not None

    def _buffers(self, reader: Reader, parts: Sequence[Samples], epoch: int | None) -> list[HostBuffer]:
        """One for each batch that is under way; mixed samples bring their partners' images."""
        largest = max((len(part) for part in parts), default=0)
        if epoch is not None and self._augmentation.mixes:
            largest *= 2
        dtype = torch.from_numpy(np.empty(0, dtype=reader.dtype)).dtype
        return [HostBuffer((largest, *reader.shape), dtype, self._supply.device) for _ in range(1 + _AHEAD)]

    def _copied(self, plan: _Plan, host: Tensor, buffer: HostBuffer) -> _Raw:
        with self._side_stream.copying(), stage("copy"):
            raw = self._with_targets(plan, host.to(self._supply.device, non_blocking=True))
        buffer.copied(raw.mark)
        return raw

    def _with_targets(self, plan: _Plan, images: Tensor) -> _Raw:
        draw, targets, partners = plan.draw, None, None
        if draw is not None:
            draw = draw.to(self._supply.device)
        if self._on_device is not None:
            targets = self._on_device.index_select(0, self._sent(plan.samples))
            if draw is not None and self._augmentation.mixes:
                partners = self._on_device.index_select(0, self._sent(draw.partners))
        return _Raw(images, draw, targets, partners, self._side_stream.mark())

    def _sent(self, numbers: Samples) -> Tensor:
        """Row numbers on the device; the host does not wait for the copy."""
        tensor = torch.from_numpy(numbers)
        if self._supply.device.type == "cuda":
            tensor = tensor.pin_memory()
        return tensor.to(self._supply.device, non_blocking=True)


def keep_on_device(
    source: ImageSource, device: torch.device, wanted: Literal["auto", "always", "never"]
) -> Tensor | None:
    """All images on the GPU, uint8 (n, side, side, 3), where that is wanted and they fit; else None.

    Args:
        source: a store; files that are decoded at each reading are not kept.
        device: the device.
        wanted: auto: where they take less than half of its free memory.

    Raises:
        TrainingError: it is wanted always, and they do not fit.
    """
    if device.type != "cuda" or wanted == "never" or not isinstance(source, ImageStore):
        return None
    free, _ = torch.cuda.mem_get_info(device)
    if wanted == "auto" and source.size_bytes > free // 2:
        return None
    if source.size_bytes > free:
        raise TrainingError(
            f"training.data_on_gpu is 'always', but the images take {source.size_bytes / 1e9:.1f} GB and "
            f"{free / 1e9:.1f} GB are free on the GPU",
            hint="training.data_on_gpu=auto, or a smaller model.cache_size",
        )
    return copied_to(source, device)


def copied_to(source: ImageSource, device: torch.device) -> Tensor:
    """All images of a source on a device, uint8 (n, side, side, 3)."""
    side = source.side
    made = torch.empty((len(source), side, side, 3), dtype=torch.uint8, device=device)
    step = max(1, _COPIED_AT_ONCE // (3 * side * side))
    buffer = HostBuffer((min(step, len(source)), side, side, 3), torch.uint8, device)
    for start in range(0, len(source), step):
        rows = np.arange(start, min(start + step, len(source)), dtype=np.int64)
        host = buffer.first(len(rows))
        source.read(rows, host.numpy())
        made[start : start + len(rows)].copy_(host)
    return made
