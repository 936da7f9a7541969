"""From a packaged run and a test set of any size to a submission file, within time and memory."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kagglerun.code_competition.inference.budget import Budget
from kagglerun.code_competition.inference.data_set import DataSetPaths, Inference, read_inference
from kagglerun.code_competition.inference.gathered import Gathered, Unit, in_order
from kagglerun.code_competition.inference.member import Member, as_many_threads
from kagglerun.code_competition.inference.pictures import Pictures
from kagglerun.code_competition.inference.report import InferenceReport
from kagglerun.code_competition.inference.submission_file import SubmissionFile, open_file
from kagglerun.code_competition.inference.test_set import TestSet, competition_beside
from kagglerun.ensemble.blend import Blend
from kagglerun.errors import KagglerunError
from kagglerun.experiment.postprocess import Postprocess
from kagglerun.files import read_json

Tell = Callable[[str], None]


def _say_nothing(_: str) -> None:
    """For callers whom nobody watches."""


def predict_package(
    data_set: Path,
    data: Path,
    output: Path,
    *,
    seconds: float | None = None,
    memory_bytes: int | None = None,
    tell: Tell = _say_nothing,
) -> InferenceReport:
    """Predict the test rows of a competition's data with a packaged run, and write the submission file.

    The first complete file is written as soon as one fold of the most useful member has seen all rows; it is written
    again as more come in. What does not fit into the time is left out, and said.

    Args:
        data_set: what `freeze_run` wrote.
        data: the competition's files, with a test set of any size.
        output: the submission file, or a folder for it; it gets the ending of the sample's format.
        seconds: all the time there is; None for no limit.
        memory_bytes: rows are predicted in pieces that take a part of this; None for pieces of the usual size.
        tell: is told what is done, one line at a time.

    Raises:
        PackageError: the packaged run is damaged.
        DataError: the competition's files cannot be used; the message names what is missing.
        KagglerunError: nothing could be predicted.
    """
    budget = Budget(seconds)
    paths = DataSetPaths(data_set)
    inference = read_inference(paths)
    with _scratch(output) as scratch, competition_beside(paths, inference.slug, data, scratch) as competition:
        tests = TestSet.open(competition, inference)
        tell(f"{len(tests.rows.test)} test rows, {len(inference.members)} members of {inference.run}")
        several = sum(len(member.folds) * member.views for member in inference.members) > 1
        pictures = Pictures(scratch, keeps=several)
        members = {
            said.run: Member(paths.member(said.run), said, tests, pictures, memory_bytes) for said in inference.members
        }
        try:
            return _Run(paths, inference, tests, members, pictures, budget, output, tell).execute()
        finally:
            pictures.close()


@contextmanager
def _scratch(output: Path) -> Iterator[Path]:
    """A folder beside the output, whose disk a notebook may fill, removed at the end."""
    beside = output if output.is_dir() else output.parent
    beside.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".inference-", dir=beside))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(eq=False)
class _Run:
    """One call of `predict_package`."""

    paths: DataSetPaths
    inference: Inference
    tests: TestSet
    members: dict[str, Member]
    pictures: Pictures
    budget: Budget
    output: Path
    tell: Tell
    _left_out: list[str] = field(default_factory=list)
    _reached: int = 0

    def execute(self) -> InferenceReport:
        """Unit after unit, as long as there is time."""
        gathered = Gathered(
            finish=lambda run, values: self.members[run].finished(values),
            views={said.run: said.views for said in self.inference.members},
            blend=Blend.from_dict(read_json(self.paths.ensemble)) if self.paths.ensemble.is_file() else None,
            postprocess=self._postprocess(),
        )
        file = open_file(self.tests, self.output)
        units = in_order([(said.run, said.folds, said.views) for said in self.inference.members])
        if not len(self.tests.rows.test):
            units = units[:0]
            gathered.add(Unit(self.inference.members[0].run, 0, 0), np.zeros((0, len(self.inference.names))))
        self._predict_all(units, gathered, file)
        if file.held != gathered.used:
            self._write(file, gathered)
        return self._report(file, gathered)

    def _predict_all(self, units: list[Unit], gathered: Gathered, file: SubmissionFile) -> None:
        for done, unit in enumerate(units):
            first = not gathered.used
            needed = None if first else self.budget.forecast(unit.member)
            if needed is not None and needed > self.budget.left:
                self._left_out.append(f"{unit} left out: it takes about {needed:.0f} s, {self._time_left}")
                continue
            started = time.monotonic()
            try:
                with as_many_threads(self.members[unit.member].config.training.cpu_threads):
                    values = self._predict(unit, first)
            except Exception as error:  # a member's own code may raise anything; the file that stands is worth keeping
                if first:
                    raise
                self._left_out.append(f"{unit} left out: it failed: {_reason(error)}")
                self.tell(self._left_out[-1])
                continue
            if values is None:
                self._left_out.append(f"{unit} left out: {self._time_left}")
                continue
            took = time.monotonic() - started
            self.budget.took(unit.member, took)
            gathered.add(unit, values)
            self.tell(f"{done + 1} of {len(units)}: {unit} in {took:.1f} s")
            if first or self.budget.should_rewrite(file.age):
                self._write(file, gathered)

    def _predict(self, unit: Unit, first: bool) -> NDArray[np.float64] | None:
        """All rows, float64 (n, k); None when time ran out on the way.

        The very first unit then gives the mean out-of-fold prediction for the rows that it did not reach.
        """
        member = self.members[unit.member]
        predictor = member.load(unit.fold)
        count = len(self.tests.rows.test)
        values: NDArray[np.float64] | None = None
        reached = 0
        for rows, part in self._in_time(member.predict(predictor, unit.view)):
            if values is None:
                values = np.empty((count, part.shape[1]), dtype=np.float64)
            values[rows] = part
            reached = rows.stop
        if reached < count and not first:
            return None
        if values is None:
            values = np.empty((count, len(self.inference.prior)), dtype=np.float64)
        values[reached:] = np.asarray(self.inference.prior)
        self._reached = max(self._reached, reached)
        return values

    def _in_time(
        self, parts: Iterator[tuple[slice, NDArray[np.float64]]]
    ) -> Iterator[tuple[slice, NDArray[np.float64]]]:
        """Pieces, as long as the next one will probably be done in time."""
        slowest, began = 0.0, time.monotonic()
        while self.budget.left > slowest:
            part = next(parts, None)
            if part is None:
                return
            yield part
            now = time.monotonic()
            slowest, began = max(slowest, now - began), now

    @property
    def _time_left(self) -> str:
        return f"{max(0.0, self.budget.left):.0f} s are left"

    def _postprocess(self) -> Postprocess | None:
        if not self.paths.postprocess.is_file():
            return None
        return Postprocess.from_dict(read_json(self.paths.postprocess))

    def _write(self, file: SubmissionFile, gathered: Gathered) -> None:
        """Write the file; where one stands already, it stays when that fails."""
        started = time.monotonic()
        try:
            file.write(gathered.result(), gathered.used)
        except KagglerunError as error:
            if not file.held:
                raise
            self._left_out.append(f"the file was not written again, the earlier one stays: {error.message}")
            self.tell(self._left_out[-1])
        self.budget.wrote(time.monotonic() - started)

    def _report(self, file: SubmissionFile, gathered: Gathered) -> InferenceReport:
        count = len(self.tests.rows.test)
        broken = self.pictures.broken
        notes = list(self.tests.notes)
        if broken:
            notes.append(f"{len(broken)} images cannot be read and count as grey ones, the first is {broken[0].name}")
        if gathered.blend is not None and len(file.held) < len(self.members):
            notes.append(gathered.blend.without([run for run in self.members if run not in file.held]))
        return InferenceReport(
            file=file.path,
            rows=count,
            used=file.held if count else {},
            left_out=tuple(self._left_out),
            notes=tuple(notes),
            broken_images=len(broken),
            reached=self._reached if count else 0,
            seconds=self.budget.spent,
        )


def _reason(error: Exception) -> str:
    if isinstance(error, KagglerunError):
        return error.message
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0][:160]}" if lines else type(error).__name__
