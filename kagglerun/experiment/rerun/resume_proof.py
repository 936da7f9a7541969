"""The proof that a run that was killed anywhere ends with the same bits: real processes, really killed.

A run is executed once without a disturbance. Then the same run is started again and again under other ids, killed by
SIGKILL at random moments and gone on with, and every digest of its folds is compared.
"""

from __future__ import annotations

import mmap
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kagglerun.errors import TrainingError
from kagglerun.experiment.rerun.compare_folds import compare_folds
from kagglerun.experiment.rerun.nursery import Child, Nursery
from kagglerun.experiment.rerun.tiny_competition import KINDS, tiny_config, tiny_workspace
from kagglerun.files import read_json
from kagglerun.randomness import generator
from kagglerun.workspace import RunPaths, Workspace

_ATTEMPT = "kagglerun.experiment.rerun.resume_proof:attempt"
_WARM = (
    *("kagglerun.experiment.run", "kagglerun.models.image", "kagglerun.models.tabular_neural"),
    *("matplotlib.pyplot", "pyarrow.parquet"),
)
_ATTEMPT_SECONDS = 300.0
_MOST_MISSES = 20
_PLACE_BYTES = 128
_WHOLE = "uninterrupted"
_DOING = {
    "training/checkpoint": "writing a checkpoint",
    "training/step": "in an update",
    "training/loop _train_epoch": "in an update",
    "training/loop _evaluate": "in the validation",
    "models/weights save_weights": "writing the weights",
    "models/neural predict_neural": "predicting",
    "experiment/predictions write_predictions": "writing predictions",
    "experiment/rerun/digests": "taking digests",
    "experiment/fold _write": "writing a fold's result",
    "experiment/fold read_fold": "reading a finished fold",
    "experiment/rerun/record": "writing what a rerun needs",
    "experiment/conclude": "at the end of the run",
    "experiment/prepare": "preparing the data",
}
"""A module, or one of its functions, to what it does; the first on the stack from the innermost frame on counts."""
_FRAME = re.compile(r'File ".*/kagglerun/([\w/]+)\.py", line \d+ in (\S+)')


@dataclass(frozen=True)
class Kill:
    """A process that was killed.

    Attributes:
        seconds: how long it had run.
        where: what it did just then, e.g. "fold 0, epoch 2, in an update".
    """

    seconds: float
    where: str


@dataclass(frozen=True)
class Proof:
    """A run that was killed and gone on with until its end.

    Attributes:
        kind: "image" or "table".
        kills: in order.
        difference: the first place that differs from the run that was left alone; None when all bits are equal.
    """

    kind: str
    kills: tuple[Kill, ...]
    difference: str | None


def prove_resume(
    kills: int = 5,
    seed: int | None = None,
    kinds: Sequence[str] = KINDS,
    kills_per_run: int = 1,
    training: Mapping[str, object] | None = None,
) -> Iterator[Proof]:
    """Kill tiny runs at random moments, and compare what comes of them with the run left alone.

    Args:
        kills: how many processes to kill in all, the kinds in turn.
        seed: of the moments; another one each time by default.
        kinds: "image", "table" or both.
        kills_per_run: how often one run is killed before it may end.
        training: changes to the training section of the runs.

    Yields:
        A proof a run, as soon as it is there.

    Raises:
        TrainingError: a run that was left alone failed.
    """
    numbers = generator(time.time_ns() if seed is None else seed, "kills")
    with tempfile.TemporaryDirectory(prefix="kagglerun-doctor-") as folder, Nursery(_WARM) as nursery:
        workspace = tiny_workspace(Path(folder) / "workspace")
        runs = {kind: _Killing(nursery, workspace, kind, dict(training or {})) for kind in kinds}
        left = kills
        while left > 0:
            run = runs[kinds[(kills - left) // kills_per_run % len(kinds)]]
            count = min(kills_per_run, left)
            yield run.kill_and_compare(lambda most: float(numbers.uniform(0, most)), count)
            left -= count


def attempt(root: str, slug: str, run_id: str, config: str, place: str) -> int:
    """Execute a run, or go on with it; what a killed process does.

    Args:
        root: the workspace.
        slug: its competition.
        run_id: the run.
        config: file of its resolved config.
        place: file of `_PLACE_BYTES` that is told where the run is.
    """
    from kagglerun.config.load import load_config
    from kagglerun.experiment.run import run_experiment

    del slug
    run_experiment(Workspace(Path(root)), load_config(Path(config)), run_id, observer=_Reporter(Path(place)))
    return 0


class _Reporter:
    """Writes where the run is into a mapped file, which outlives the process without a write to the disk."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as stream:
            self._memory = mmap.mmap(stream.fileno(), _PLACE_BYTES)
        self._fold, self._epoch, self._updates = 0, 0, 0
        self._tell()

    def epoch(self, fold: int, epoch: int, epochs: int, values: Mapping[str, float]) -> None:
        """An epoch is done."""
        del epochs, values
        self._fold, self._epoch, self._updates = fold, epoch + 1, 0
        self._tell()

    def fold(self, fold: int, n_folds: int, score: float) -> None:
        """A fold is done."""
        del n_folds, score
        self._fold, self._epoch, self._updates = fold + 1, 0, 0
        self._tell()

    def should_stop(self) -> bool:
        """An update is done."""
        self._updates += 1
        self._tell()
        return False

    def _tell(self) -> None:
        text = f"fold {self._fold}, epoch {self._epoch}, {self._updates} updates on"
        self._memory[:_PLACE_BYTES] = text.encode().ljust(_PLACE_BYTES, b"\0")


class _Killing:
    """One kind of run, which was executed once without a disturbance."""

    def __init__(self, nursery: Nursery, workspace: Workspace, kind: str, training: dict[str, object]) -> None:
        from kagglerun.config.load import save_config

        self._nursery, self._workspace, self._kind = nursery, workspace, kind
        self._config = workspace.sweeps / f"{kind}.yaml"
        self._place = workspace.state / f"{kind}.place"
        self._place.write_bytes(bytes(_PLACE_BYTES))
        save_config(self._config, tiny_config(workspace, kind, **training))
        self._count = 0
        began = time.monotonic()
        if self._start(_WHOLE).wait(_ATTEMPT_SECONDS) != 0:
            raise TrainingError(f"the tiny {kind} run failed before anything was killed", hint="see its messages above")
        self._seconds = time.monotonic() - began

    def kill_and_compare(self, draw: Callable[[float], float], count: int) -> Proof:
        """Kill a run `count` times, let it end then, and compare.

        Args:
            draw: the most seconds to the moment of a kill.
            count: how many kills.
        """
        self._count += 1
        name = f"killed-{self._count}"
        kills: list[Kill] = []
        for _ in range(count + _MOST_MISSES):
            if len(kills) == count:
                break
            found = self._kill_once(name, draw(self._seconds))
            if found is not None:
                kills.append(found)
            elif self._run(name).metrics.exists():
                # It ended before its moment: another run takes its place, this one is compared all the same.
                difference = self._difference(name)
                if difference is not None or kills:
                    return Proof(self._kind, tuple(kills), difference)
                self._count += 1
                name = f"killed-{self._count}"
        if self._start(name).wait(_ATTEMPT_SECONDS) != 0:
            return Proof(self._kind, tuple(kills), "it could not go on: see its messages above")
        return Proof(self._kind, tuple(kills), self._difference(name))

    def _kill_once(self, name: str, moment: float) -> Kill | None:
        """None when the run ended (or failed) before its moment."""
        child = self._start(name)
        if child.wait(moment) is not None:
            return None
        stack = child.kill()
        seconds = time.monotonic() - child.started
        if child.wait() == 0:
            return None
        return Kill(seconds, f"{self._place_text()}, {_doing(stack)}")

    def _start(self, name: str) -> Child:
        arguments = (self._workspace.root, f"tiny-{self._kind}", name, self._config, self._place)
        return self._nursery.start(_ATTEMPT, [str(argument) for argument in arguments])

    def _run(self, name: str) -> RunPaths:
        return self._workspace.run(f"tiny-{self._kind}", name)

    def _place_text(self) -> str:
        return self._place.read_bytes().rstrip(b"\0").decode()

    def _difference(self, name: str) -> str | None:
        return first_difference(self._run(_WHOLE), self._run(name))


def first_difference(whole: RunPaths, other: RunPaths) -> str | None:
    """The first place in which two finished runs of one config differ; None when all bits are equal."""
    if not other.metrics.exists():
        return "it has not ended"
    folds: list[int] = read_json(whole.metrics)["folds"]
    for fold in folds:
        found = compare_folds(whole.fold(fold), other.fold(fold))
        if found.first is not None:
            return found.first
        if read_json(whole.fold(fold).digests) != read_json(other.fold(fold).digests):
            return f"fold {fold}, digests"
    for path, again in ((whole.oof, other.oof), (whole.test, other.test)):
        if path.read_bytes() != again.read_bytes():
            return path.name
    return None


def _doing(stack: str) -> str:
    """What a process did, from the stacks of its threads."""
    parts = [_doing_of_thread(thread) for thread in stack.split("\n\n")]
    # The main thread stands last; others, e.g. one that writes a checkpoint, before it.
    known = dict.fromkeys(part for part in reversed(parts) if part)
    return " while ".join(known) or "before or after the training"


def _doing_of_thread(thread: str) -> str | None:
    frames = _FRAME.findall(thread)
    named = (_DOING.get(f"{module} {function}") or _DOING.get(module) for module, function in frames)
    return next((what for what in named if what), None)
