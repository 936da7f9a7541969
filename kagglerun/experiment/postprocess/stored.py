"""What a run's predictions go through, and how its folder keeps it: postprocess.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kagglerun.errors import DataError
from kagglerun.experiment.postprocess import steps
from kagglerun.experiment.postprocess.steps import Step
from kagglerun.files import read_json, write_json
from kagglerun.paths import RunPaths

_KINDS: dict[str, type[Any]] = {
    "thresholds": steps.Thresholds,
    "class_weights": steps.ClassWeights,
    "class_cutoffs": steps.ClassCutoffs,
    "value_cutoffs": steps.ValueCutoffs,
    "temperature": steps.Temperature,
    "platt": steps.Platt,
    "isotonic": steps.Isotonic,
    "sum_to_one": steps.SumToOne,
    "floor": steps.Floor,
    "clip": steps.Clip,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}
_SHOWN = 8


@dataclass(frozen=True)
class Postprocess:
    """Maps predictions to predictions of the same shape, each row by itself.

    Attributes:
        steps: one after another.
    """

    steps: tuple[Step, ...]

    def apply(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Predictions float64 (n, k), mapped; bit for bit the same whichever rows stand beside a row."""
        mapped = np.ascontiguousarray(values, dtype=np.float64)
        for step in self.steps:
            mapped = step.apply(mapped)
        return mapped

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"steps": [{"kind": _NAMES[type(step)], **_values(step)} for step in self.steps]}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Postprocess:
        """What `to_dict` gave.

        Raises:
            DataError: it is not that, or of a newer version.
        """
        try:
            return cls(tuple(_step(dict(one)) for one in saved["steps"]))
        except (KeyError, TypeError, ValueError) as error:
            told = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
            raise DataError(f"this is no post-processing that this version knows: {told}") from error

    def __str__(self) -> str:
        """In a line, for people: `class cutoffs 0.52 1.61`."""
        return ", then ".join(_told(step) for step in self.steps)


def read(run: RunPaths) -> Postprocess | None:
    """What the predictions of a run go through before they are written; None where nothing.

    Raises:
        DataError: its file is damaged.
    """
    if not run.postprocess.exists():
        return None
    try:
        return Postprocess.from_dict(read_json(run.postprocess))
    except (DataError, ValueError, TypeError) as error:
        told = error.message if isinstance(error, DataError) else str(error)
        raise DataError(f"{run.postprocess} is damaged: {told}", hint="train the run again") from error


def write(run: RunPaths, postprocess: Postprocess | None) -> None:
    """Keep it in the run's folder, in one step; None removes what an earlier attempt left."""
    if postprocess is None:
        run.postprocess.unlink(missing_ok=True)
    else:
        write_json(run.postprocess, postprocess.to_dict())


def _values(step: Step) -> dict[str, Any]:
    assert type(step) in _NAMES, "steps are the dataclasses of `steps`"
    return asdict(step)  # type: ignore[call-overload,no-any-return]


def _step(saved: dict[str, Any]) -> Step:
    name = saved.pop("kind")
    if name not in _KINDS:
        raise ValueError(f"there is no step {name!r}")
    made: Step = _KINDS[name](**{name: _frozen(value) for name, value in saved.items()})
    return made


def _frozen(value: Any) -> Any:
    """Lists, as JSON has them, as tuples."""
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def _told(step: Step) -> str:
    """Name and first numbers."""
    numbers = getattr(step, fields(step)[0].name)  # type: ignore[arg-type]
    name = _NAMES[type(step)].replace("_", " ")
    if isinstance(step, steps.Isotonic | steps.SumToOne):
        return name
    listed = numbers if isinstance(numbers, tuple) else (numbers,)
    texts = [f"{number:.4g}" for number in listed[:_SHOWN]]
    return " ".join([name, *texts, *(["..."] if len(listed) > _SHOWN else [])])
