"""All GPU measurements in one call of a few minutes, as a Markdown section.

    python tests/benchmarks/gpu.py                      measure, print the section
    python tests/benchmarks/gpu.py --write              also add it to RESULTS.md
    python tests/benchmarks/gpu.py --parts speed,memory
    python tests/benchmarks/gpu.py --device cpu --quick     prove that the script works, in under a minute

Needs torch, torchvision, timm, numpy, pillow, pydantic, safetensors, and nvidia-ml-py for the utilisation; nothing else
of kagglerun's packages. Figures that compare are measured in turns in one process. A part that fails says so in the
section and does not end the others.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import os
import platform
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[2]))

from kagglerun.config.augment import AugmentConfig
from kagglerun.config.schema import OptimizerConfig, ScheduleConfig, TrainingConfig
from kagglerun.data.images import open_images
from kagglerun.models.image_batches import ImageBatches, ImageSupply, copied_to
from kagglerun.training.augmentation import Augmentation
from kagglerun.training.batches import Batch
from kagglerun.training.checkpoint import Checkpoints
from kagglerun.training.compiled import use_compile_cache
from kagglerun.training.gpu_monitor import GpuMonitor, GpuUse
from kagglerun.training.loop import FitSettings, FitTask, Stopped, fit
from kagglerun.training.precision import Precision
from kagglerun.training.seed import deterministic_algorithms
from kagglerun.training.step_trial import StepTrial, Workload, release
from kagglerun.training.tune import find_batch_size, peak_bytes

RESULTS = Path(__file__).parent / "RESULTS.md"
CLASSES = 8
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Case:
    """A model, the side of its input, and the samples of a step."""

    model: str
    side: int
    batch: int


@dataclass
class Bench:
    """Where and how much is measured.

    Attributes:
        device: where.
        quick: only prove that it works.
        folder: for images, stores and checkpoints.
    """

    device: torch.device
    quick: bool
    folder: Path
    stores: dict[int, Pictures] = field(default_factory=dict)

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    @property
    def seconds(self) -> float:
        return 0.1 if self.quick else 4.0

    @property
    def warm_updates(self) -> int:
        return 2 if self.quick else 8

    @property
    def rounds(self) -> int:
        return 1 if self.quick else 2

    @property
    def fast(self) -> str:
        """The precision that `auto` means."""
        return Precision.resolve("auto", self.device).name

    @property
    def cases(self) -> list[Case]:
        if self.quick:
            return [Case("resnet10t", 32, 8)]
        return [Case("resnet50", 224, 256), Case("convnext_tiny", 224, 256), Case("resnet18", 32, 512)]

    @property
    def small(self) -> Case:
        return self.cases[-1]

    @property
    def small_and_large(self) -> list[Case]:
        return list(dict.fromkeys((self.small, self.cases[0])))

    def pictures(self, side: int) -> Pictures:
        if side not in self.stores:
            count = 64 if self.quick else (4096 if side > 64 else 16384)
            self.stores[side] = Pictures(self.folder / f"{side}", side, count)
        return self.stores[side]

    def wait(self) -> None:
        if self.on_gpu:
            torch.cuda.synchronize(self.device)


class Pictures:
    """JPEG files in one folder a class, a little larger than the model's input, and the store they are decoded into."""

    def __init__(self, folder: Path, side: int, count: int) -> None:
        self.folder, self.side, self.count = folder, side, count
        self.labels = torch.from_numpy(np.arange(count) % CLASSES)
        source = np.random.default_rng(0)
        rough = source.integers(0, 256, (64, side // 8 + 1, side // 8 + 1, 3), dtype=np.uint8)
        self.paths = [folder / f"class{number % CLASSES}" / f"{number:06d}.jpg" for number in range(count)]
        for label in range(CLASSES):
            (folder / f"class{label}").mkdir(parents=True)

        def write(number: int) -> None:
            larger = (side * 5 // 4, side * 5 // 4)
            picture = Image.fromarray(np.roll(rough[number % 64], number // 64, axis=0)).resize(larger)
            picture.save(self.paths[number], quality=90)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(write, range(count)))

    @cached_property
    def source(self) -> Any:
        """Decoded once, as in a run."""
        return open_images(self.paths, self.side, self.folder.parent / "cache", "benchmark")

    def batches(
        self,
        device: torch.device,
        *,
        repeat: int = 1,
        resident: bool = True,
        augment: str = "light",
        **strengths: float,
    ) -> ImageBatches:
        """The run's own data path; rows are repeated, so that an epoch is long."""
        augmentation = Augmentation(
            AugmentConfig(preset=augment, **strengths), seed=1, side=self.side, size=self.side, mean=MEAN, std=STD
        )
        kept = copied_to(self.source, device) if resident and device.type == "cuda" else None
        rows = np.tile(np.arange(self.count, dtype=np.int64), repeat)
        return ImageBatches(
            ImageSupply(self.source, device, kept), rows, self.labels.repeat(repeat), augmentation, CLASSES
        )


def loss(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits, targets)


def network(case: Case) -> nn.Module:
    return timm.create_model(case.model, num_classes=CLASSES).to(memory_format=torch.channels_last)


def settings(bench: Bench, case: Case, **changes: object) -> FitSettings:
    values: dict[str, object] = {
        "batch_size": case.batch,
        "epochs": 10_000,
        "precision": bench.fast,
        "compile": "off",
        "deterministic": False,
        "checkpoint_seconds": 1e6,
        "device": bench.device.type,
    }
    training = TrainingConfig.model_validate({**values, **changes})
    return FitSettings(training, OptimizerConfig(lr=1e-4), ScheduleConfig())


def task(case: Case, train: ImageBatches, valid: ImageBatches) -> FitTask:
    return FitTask(
        build=lambda: network(case),
        train=train,
        valid=valid,
        loss=loss,
        activate=lambda logits: logits.softmax(1),
        score=lambda predictions: float(predictions.max(axis=1).mean()),
        greater_is_better=True,
        seed=0,
        fold=0,
    )


@dataclass
class Speed:
    """Samples a second of `fit`, and what NVML saw meanwhile."""

    samples_per_second: float
    gpu: GpuUse | None


def fit_speed(
    bench: Bench,
    case: Case,
    *,
    resident: bool = True,
    forbid_sync: bool = False,
    checkpoints: Callable[[Path], Checkpoints] = Checkpoints,
    each: Callable[[], None] = lambda: None,
    **changes: object,
) -> Speed:
    """`fit` on the real data path, between two moments at which the device was waited for."""
    pictures = bench.pictures(case.side)
    train = pictures.batches(bench.device, repeat=10 if bench.quick else 400, resident=resident)
    valid = first_rows(pictures, bench.device, 8)
    began, count, took, use = 0.0, 0, 0.0, None

    with tempfile.TemporaryDirectory(dir=bench.folder) as folder, GpuMonitor(bench.device) as monitor:

        def stop(values: dict[str, float]) -> bool:
            nonlocal began, count, took, use
            update = int(values["update"])
            if update == bench.warm_updates:
                bench.wait()
                monitor.interval()
                began = time.perf_counter()
                if forbid_sync and bench.on_gpu:
                    torch.cuda.set_sync_debug_mode("error")
            elif update > bench.warm_updates:
                count += 1
                each()
                if count >= 4 and time.perf_counter() - began >= bench.seconds:
                    if bench.on_gpu:
                        torch.cuda.set_sync_debug_mode("default")
                    bench.wait()
                    took, use = time.perf_counter() - began, monitor.interval()
                    return True
            return False

        try:
            how = settings(bench, case, **changes)
            with deterministic_algorithms(how.training.deterministic):
                fit(task(case, train, valid), how, checkpoints(Path(folder)), lambda *_: None, stop)
        except Stopped:
            pass
        finally:
            if bench.on_gpu:
                torch.cuda.set_sync_debug_mode("default")
            release(bench.device)
    return Speed(count * case.batch / took, use)


def bare_speed(bench: Bench, case: Case, batches: Iterator[tuple[Tensor, Tensor]]) -> float:
    """Samples a second of a loop as a tutorial would write it, with the same optimizer and clipping."""
    number = Precision.resolve(bench.fast, bench.device)
    model = network(case).to(bench.device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    scaler = torch.amp.GradScaler(bench.device.type, enabled=number.scales_loss)
    began, count = 0.0, 0
    with number.float32_math():
        for update, (inputs, targets) in enumerate(batches):
            if update == bench.warm_updates:
                bench.wait()
                began = time.perf_counter()
            inputs = inputs.to(bench.device, memory_format=torch.channels_last, non_blocking=True)
            targets = targets.to(bench.device, non_blocking=True)
            optimizer.zero_grad(set_to_none=True)
            with number.autocast():
                value = loss(model(inputs), targets)
            scaler.scale(value).backward()
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()
            if update >= bench.warm_updates:
                count += len(targets)
                if time.perf_counter() - began >= bench.seconds:
                    break
    bench.wait()
    took = time.perf_counter() - began
    del model, optimizer
    release(bench.device)
    return count / took


def on_device(bench: Bench, case: Case) -> Iterator[tuple[Tensor, Tensor]]:
    """One synthetic batch that is on the device already, again and again. Every eighth one is waited for."""
    shape = (case.batch, 3, case.side, case.side)
    inputs = torch.randn(shape, device=bench.device).contiguous(memory_format=torch.channels_last)
    targets = torch.arange(case.batch, device=bench.device) % CLASSES
    done: list[torch.cuda.Event] = []
    while True:
        yield inputs, targets
        if bench.on_gpu:
            done.append(torch.cuda.Event())
            done[-1].record()
            if len(done) > 8:
                done.pop(0).synchronize()


def image_folder(bench: Bench, case: Case) -> Iterator[tuple[Tensor, Tensor]]:
    """ImageFolder, DataLoader and torchvision v2 with the same kinds of augmentation, on all cores."""
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    change = v2.Compose(
        [
            v2.PILToTensor(),
            v2.Resize((case.side, case.side), antialias=True),
            v2.RandomAffine(10, translate=(0.1, 0.1), scale=(0.9, 1.1)),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )
    data = ImageFolder(bench.pictures(case.side).folder, transform=change)
    workers = 0 if bench.quick else len(os.sched_getaffinity(0))
    options: dict[str, Any] = {"num_workers": workers, "pin_memory": bench.on_gpu, "persistent_workers": workers > 0}
    loader = DataLoader(data, case.batch, shuffle=True, drop_last=True, **options)
    while True:
        yield from loader


def in_turns(bench: Bench, *contenders: Callable[[], float]) -> list[float]:
    """Median of each over the rounds."""
    found = [[contender() for contender in contenders] for _ in range(bench.rounds)]
    return [statistics.median(values) for values in zip(*found, strict=True)]


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return [*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)]


def verdict(value: float, least: float) -> str:
    return f"{value:.3f} ({'reached' if value >= least else 'NOT reached'}: {least:g})"


def speed(bench: Bench) -> list[str]:
    """fit on the real data path against the same model on synthetic data on the device, and a loader-bound loop."""
    rows = []
    for case in bench.cases:
        uses: list[GpuUse | None] = []

        def ours(case: Case = case, uses: list[GpuUse | None] = uses) -> float:
            found = fit_speed(bench, case)
            uses.append(found.gpu)
            return found.samples_per_second

        bare, own = in_turns(bench, lambda case=case: bare_speed(bench, case, on_device(bench, case)), ours)
        plain = bare_speed(bench, case, image_folder(bench, case))
        repeatable = fit_speed(bench, case, deterministic=True).samples_per_second
        seen = [use.utilisation for use in uses if use is not None]
        rows.append(
            (
                f"{case.model}, {case.side} pixels, batch {case.batch}",
                f"{bare:.0f}",
                f"{own:.0f}",
                verdict(own / bare, 0.95),
                verdict(min(seen), 0.9) if seen else "no NVML",
                f"{repeatable / bare:.3f}",
                f"{plain:.0f}",
                f"{own / plain:.1f} times",
            )
        )
    head = ("", "on the device, images/s", "fit(), images/s", "ratio", "GPU busy (NVML)", "ratio, deterministic")
    head = (*head, "ImageFolder + DataLoader, images/s", "fit() is as fast")
    return [f"### fit() on decoded JPEGs with light augmentation, {bench.fast}", "", *table(head, rows)]


def precisions(bench: Bench) -> list[str]:
    """bf16 and tf32 against strict fp32, in fit()."""
    rows = []
    for case in bench.cases:
        names = ("fp32", "tf32", "bf16")
        found = [fit_speed(bench, case, precision=name).samples_per_second for name in names]
        base = found[0]
        rows.append(
            (case.model, *(f"{value:.0f}" for value in found), f"{found[1] / base:.2f}", verdict(found[2] / base, 1.8))
        )
    head = ("", "fp32 without tf32, images/s", "tf32", "bf16", "tf32 gain", "bf16 gain")
    return ["### Precision", "", *table(head, rows)]


def compilers(bench: Bench) -> list[str]:
    """Gain of inductor and CUDA graphs on steps of the real shape, and on fit() for the small net."""
    modes = ("off", "inductor", "cudagraphs") if bench.on_gpu else ("off",)
    rows = []
    for case in bench.small_and_large:
        costs = {}
        for mode in modes:
            how = settings(bench, case)
            costs[mode] = StepTrial(workload(case), how, bench.device, case.batch, mode).cost(bench.seconds / 2)
            release(bench.device)
        plain = costs["off"].update_seconds
        for mode, cost in costs.items():
            each, start = f"{1000 * cost.update_seconds:.2f}", f"{cost.start_seconds:.1f}"
            rows.append((case.model, case.batch, mode, each, f"{plain / cost.update_seconds:.2f}", start))
    for mode in modes:
        found = fit_speed(bench, bench.small, compile=mode).samples_per_second
        rows.append((f"{bench.small.model} in fit()", bench.small.batch, mode, f"{found:.0f} images/s", "", ""))
    head = ("", "batch", "compile", "ms an update", "times as fast", "s until then")
    return ["### torch.compile", "", *table(head, rows)]


def supply(bench: Bench) -> list[str]:
    """Images kept on the GPU against batches that are prefetched from the store."""
    rows = []
    for case in bench.small_and_large:
        kept, fetched = in_turns(
            bench,
            *(
                lambda resident=resident, case=case: fit_speed(bench, case, resident=resident).samples_per_second
                for resident in (True, False)
            ),
        )
        rows.append((case.model, f"{kept:.0f}", f"{fetched:.0f}", f"{fetched / kept:.3f}"))
    head = ("", "on the GPU, images/s", "prefetched from pinned memory", "ratio")
    return ["### Where the decoded images are", "", *table(head, rows)]


def waiting(bench: Bench) -> list[str]:
    """No update may wait for the device: torch raises where one does."""
    lines = ["### Waiting for the device within an epoch", ""]
    seen = "torch saw none (sync debug mode 'error')" if bench.on_gpu else "not looked for on a CPU"
    for resident in (True, False) if bench.on_gpu else (False,):
        for changes in ({}, {"ema": 0.99, "accumulate": 2}):
            found = fit_speed(bench, bench.small, resident=resident, forbid_sync=True, **changes)
            where = "on the GPU" if resident else "prefetched"
            lines.append(f"- images {where}, {changes or 'defaults'}: {seen}, {found.samples_per_second:.0f} images/s")
    return lines


class CountedCheckpoints(Checkpoints):
    """Remembers before which update each checkpoint began."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.updates = 0
        self.began: list[int] = []

    def save_soon(self, *given: Any) -> None:
        self.began.append(self.updates)
        super().save_soon(*given)


def checkpoints(bench: Bench) -> list[str]:
    """How long the device stands still when a checkpoint is taken: gaps between updates, by the device's clock."""
    case, stamps, made = bench.cases[0], [], []

    def watched(folder: Path) -> Checkpoints:
        made.append(CountedCheckpoints(folder))
        return made[-1]

    def each() -> None:
        made[-1].updates = len(stamps)
        if bench.on_gpu:
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            stamps.append(event)
        else:
            stamps.append(time.perf_counter())

    found = fit_speed(bench, case, checkpoints=watched, each=each, checkpoint_seconds=bench.seconds / 6)
    bench.wait()
    pairs = itertools.pairwise(stamps)
    gaps = [a.elapsed_time(b) if bench.on_gpu else 1000 * (b - a) for a, b in pairs]
    usual = statistics.median(gaps)
    around = [max(gaps[at : at + 3], default=usual) - usual for at in made[-1].began if at < len(gaps)]
    lines = ["### Checkpoints in the background", ""]
    if not around:
        return [*lines, "none fell into the measured time"]
    share = statistics.median(around) / usual
    return [
        *lines,
        f"{case.model}: an update takes {usual:.1f} ms; around {len(around)} checkpoints the longest of three updates "
        f"took {statistics.median(around):.1f} ms more (median; {share:.2f} of an update; most {max(around):.1f} ms), "
        f"{found.samples_per_second:.0f} images/s with a checkpoint every {bench.seconds / 6:.1f} s",
    ]


def exactness(bench: Bench) -> list[str]:
    """Twice the same bits, and the same bits after a stop and a resume, on this device."""
    modes = ("off", "inductor", "cudagraphs") if bench.on_gpu else ("off",)
    lines = ["### Exactness on this device", ""]
    case = replace(bench.small, batch=8 if bench.quick else 64)
    for mode in modes:
        for precision in dict.fromkeys(("fp32", bench.fast) if mode == "off" else (bench.fast,)):
            changes: dict[str, object] = {"compile": mode, "precision": precision, "ema": 0.9, "accumulate": 2}
            first, again = (trained(bench, case, None, changes) for _ in range(2))
            resumed = trained(bench, case, 3, changes)
            lines.append(
                f"- compile {mode}, {precision}, mixup, EMA, accumulation: "
                f"twice {same(first, again)}, stopped and resumed {same(first, resumed)}"
            )
    return lines


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> str:
    differing = [name for name in a if not torch.equal(a[name], b[name])]
    if not differing:
        return "EQUAL"
    most = max(float((a[name].double() - b[name].double()).abs().max()) for name in differing)
    return f"DIFFERENT in {len(differing)} of {len(a)} tensors, by {most:.2g} at most"


def trained(bench: Bench, case: Case, stop_at: int | None, changes: dict[str, object]) -> dict[str, Tensor]:
    """Weights after two short epochs, or after a stop within them and a resume."""
    pictures = bench.pictures(case.side)
    few = first_rows(pictures, bench.device, 8 * case.batch, mixup=0.2)
    what = task(case, few, first_rows(pictures, bench.device, 16))
    how = settings(bench, case, epochs=2, deterministic=True, **changes)
    with tempfile.TemporaryDirectory(dir=bench.folder) as folder, deterministic_algorithms(True):
        if stop_at is not None:
            with stopped():
                files = Checkpoints(Path(folder))
                fit(what, how, files, lambda *_: None, lambda values: values["update"] == stop_at)
        result = fit(what, how, Checkpoints(Path(folder)), lambda *_: None, lambda _: False)
    release(bench.device)
    return {name: tensor.detach().cpu() for name, tensor in result.model.state_dict().items()}


@contextmanager
def stopped() -> Iterator[None]:
    try:
        yield
    except Stopped:
        pass
    else:
        raise AssertionError("it was to be stopped")


def first_rows(pictures: Pictures, device: torch.device, count: int, **strengths: float) -> ImageBatches:
    """The first so many images."""
    whole = pictures.batches(device, resident=False, **strengths)
    rows = np.arange(count, dtype=np.int64) % pictures.count
    supply = ImageSupply(pictures.source, device)
    return ImageBatches(supply, rows, pictures.labels[rows], whole._augmentation, CLASSES)


class Hungry(nn.Module):
    """On a CPU, which has no such limit: runs out of memory with more than so many samples."""

    def __init__(self, inner: nn.Module, most: int) -> None:
        super().__init__()
        self.inner, self.most = inner, most

    def forward(self, inputs: Tensor) -> Tensor:
        if len(inputs) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.00 GiB")
        return self.inner(inputs)


def memory(bench: Bench) -> list[str]:
    """batch_size auto's answer, and what happens with a batch that is too large."""
    lines = ["### Memory", ""]
    for case in bench.cases[:2]:
        how = settings(bench, case)
        auto = FitSettings(how.training.model_copy(update={"batch_size": "auto"}), how.optimizer, how.schedule)
        began = time.perf_counter()
        answer = find_batch_size(workload(case), auto, bench.device, bench.folder / "measurements")
        took = time.perf_counter() - began
        lines.append(
            f"- batch_size auto, {case.model} at {case.side}: {answer.size} ({answer.why}), found in {took:.1f} s"
        )
        if bench.on_gpu:
            peak = peak_bytes(workload(case), how, bench.device, answer.size)
            lines[-1] += f"; two updates of it {'do not fit' if peak is None else f'hold {peak / 1e9:.1f} GB'}"
    lines.append(f"- too large a batch: {too_large(bench)}")
    return lines


def too_large(bench: Bench) -> str:
    """Memory really runs out (on a CPU it is played), and the run goes on with the same samples an update."""
    case = replace(bench.small, batch=16 if bench.quick else 4096)
    pictures = bench.pictures(case.side)
    train = first_rows(pictures, bench.device, 2 * case.batch)
    what = task(case, train, first_rows(pictures, bench.device, 16))
    if bench.on_gpu:
        used = workload(case)
        peak = peak_bytes(used, settings(bench, case), bench.device, case.batch)
        total = torch.cuda.get_device_properties(bench.device).total_memory
        # Half of what a whole step takes is all that torch may have from now on.
        torch.cuda.set_per_process_memory_fraction(0.5 * (peak or total) / total, bench.device)
    else:
        what = replace(what, build=lambda: Hungry(network(case), case.batch // 2))
    updates = []
    try:
        with tempfile.TemporaryDirectory(dir=bench.folder) as folder:
            how = settings(bench, case, epochs=1)
            result = fit(what, how, Checkpoints(Path(folder)), lambda *_: None, lambda v: bool(updates.append(v)))
    finally:
        if bench.on_gpu:
            torch.cuda.set_per_process_memory_fraction(1.0, bench.device)
        release(bench.device)
    return f"trained to the end; {'; '.join(result.notes) or 'MEMORY DID NOT RUN OUT'}"


@cache
def workload(case: Case) -> Workload:
    def batch(size: int, device: torch.device) -> Batch:
        images = torch.rand(size, 3, case.side, case.side, device=device)
        return Batch(
            (images.contiguous(memory_format=torch.channels_last),), torch.arange(size, device=device) % CLASSES
        )

    return Workload(lambda: network(case), batch, loss, 10_000_000, 0, {"model": case.model, "side": case.side})


PARTS: dict[str, Callable[[Bench], list[str]]] = {
    "speed": speed,
    "precisions": precisions,
    "compilers": compilers,
    "supply": supply,
    "waiting": waiting,
    "checkpoints": checkpoints,
    "exactness": exactness,
    "memory": memory,
}


def heading(bench: Bench) -> str:
    """Date, machine and versions."""
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, timm {timm.__version__}"
    cores = len(os.sched_getaffinity(0))
    if not bench.on_gpu:
        return f"## {datetime.now(UTC):%Y-%m-%d}, the GPU script on {cores} CPU cores\n\n{versions}."
    card = torch.cuda.get_device_properties(bench.device)
    return (
        f"## {datetime.now(UTC):%Y-%m-%d}, {card.name} ({card.total_memory / 1e9:.0f} GB), {cores} CPU cores\n\n"
        f"{versions}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}, driver {driver()}."
    )


def driver() -> str:
    try:
        import pynvml

        pynvml.nvmlInit()
        return str(pynvml.nvmlSystemGetDriverVersion())
    except Exception as error:
        return f"unknown ({type(error).__name__})"


def report(device: torch.device | None = None, quick: bool = False, parts: Sequence[str] = tuple(PARTS)) -> str:
    """The whole section. Without a GPU, and without being told to use the CPU, it says that there is none."""
    if device is None:
        if not torch.cuda.is_available():
            return "### GPU\n\nThere is no GPU on this machine."
        device = torch.device("cuda", 0)
    with tempfile.TemporaryDirectory(prefix="gpu-benchmark-") as folder:
        use_compile_cache(Path(folder) / "compiled")
        bench = Bench(device, quick, Path(folder))
        sections = [heading(bench)]
        for name in parts:
            began = time.perf_counter()
            try:
                lines = PARTS[name](bench)
            except Exception as error:
                traceback.print_exc()
                lines = [f"### {name}", "", f"FAILED: {type(error).__name__}: {str(error)[:300]}"]
            gc.collect()
            print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
            sections.append("\n".join(lines))
    return "\n\n".join(sections) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), help="cuda by default")
    parser.add_argument("--quick", action="store_true", help="small sizes and short times")
    parser.add_argument("--parts", default=",".join(PARTS), help="which of them, with commas")
    parser.add_argument("--write", action="store_true", help="add the section to RESULTS.md")
    chosen = parser.parse_args()
    section = report(torch.device(chosen.device) if chosen.device else None, chosen.quick, chosen.parts.split(","))
    if chosen.write:
        before = RESULTS.read_text("utf-8") if RESULTS.exists() else "# Results\n"
        RESULTS.write_text(f"{before.rstrip()}\n\n{section}", "utf-8")
    print(section)


if __name__ == "__main__":
    main()
