from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kagglerun.errors import DataError
from kagglerun.experiment.postprocess import Postprocess, read
from kagglerun.experiment.postprocess.steps import (
    ClassCutoffs,
    ClassWeights,
    Clip,
    Floor,
    Isotonic,
    Platt,
    Step,
    SumToOne,
    Temperature,
    Thresholds,
    ValueCutoffs,
)
from kagglerun.experiment.postprocess.stored import write
from kagglerun.paths import RunPaths

STEPS: dict[str, tuple[Step, ...]] = {
    "thresholds": (Thresholds((0.31, 0.5, 0.002)),),
    "class weights": (ClassWeights((1.0, 3.7, 0.1)),),
    "class cut-offs": (ClassCutoffs((1.3, 2.9), (1.0, 2.0, 4.0)),),
    "value cut-offs": (ValueCutoffs((0.2, 0.6), (3.0, 4.0, 9.0)),),
    "temperature of classes": (Temperature(1.7, True),),
    "temperature of targets": (Temperature(0.6, False),),
    "platt of classes": (Platt((1.1, 0.7, 2.0), (0.1, -0.2, 0.0), True),),
    "platt of targets": (Platt((1.1, 0.7, 2.0), (0.1, -0.2, 0.0), False),),
    "isotonic": (Isotonic(((0.1, 0.2, 0.7),) * 3, ((0.01, 0.3, 0.9),) * 3, True),),
    "several": (Temperature(1.3, False), SumToOne(((0, 2),)), Floor(1e-3, False)),
    "clip": (Clip((0.1, 0.2, 0.3), (0.5, 0.6, 0.7)),),
}


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
def test_rows_get_the_same_bits_in_any_company_and_after_the_way_through_a_file(
    steps: tuple[Step, ...], tmp_path: Path
) -> None:
    values = probabilities(1001)
    postprocess = Postprocess(steps)
    whole = postprocess.apply(values)
    assert whole.shape == values.shape and whole.dtype == np.float64
    write(RunPaths(tmp_path), postprocess)
    again = read(RunPaths(tmp_path))
    assert again == postprocess
    for size in (1, 7, 64):
        parts = [again.apply(np.asfortranarray(values[at : at + size])) for at in range(0, len(values), size)]
        assert np.vstack(parts).tobytes() == whole.tobytes()
    assert (values == probabilities(1001)).all(), "the argument stays as it is"


def test_a_threshold_becomes_a_half_exactly_and_order_stays() -> None:
    for point in (1e-9, 0.1, 1 / 3, 0.5, 0.7, 1 - 1e-9):
        around = np.array([0.0, np.nextafter(point, 0), point, np.nextafter(point, 1), 1.0])[:, None]
        mapped = Thresholds((point,)).apply(around)
        assert (mapped >= 0.5).ravel().tolist() == [False, False, True, True, True]
        assert (np.diff(mapped.ravel()) >= 0).all() and mapped[0, 0] == 0 and mapped[-1, 0] == 1


def test_a_threshold_of_a_half_changes_nothing() -> None:
    values = probabilities(200)
    assert (Thresholds((0.5,) * 3).apply(values) == values).all()


def test_ratings_in_any_order_get_the_class_of_their_interval() -> None:
    certain = np.eye(3)
    assert (ClassCutoffs((1.5, 3.0), (4.0, 1.0, 2.0)).apply(certain) == certain).all()


def test_what_is_not_written_is_nothing_and_what_is_damaged_is_told(tmp_path: Path) -> None:
    run = RunPaths(tmp_path)
    assert read(run) is None
    write(run, Postprocess((Floor(0.1, False),)))
    write(run, None)
    assert read(run) is None
    for text in ("{", "[]", '{"steps": [{"kind": "magic"}]}', '{"steps": [{"kind": "floor", "top": 1}]}'):
        run.postprocess.write_text(text)
        with pytest.raises(DataError, match=r"postprocess\.json is damaged"):
            read(run)


def test_it_says_in_a_line_what_it_does() -> None:
    told = str(Postprocess((ClassCutoffs((0.52, 1.61), (0.0, 1.0, 2.0)), Floor(1e-6, True))))
    assert told == "class cutoffs 0.52 1.61, then floor 1e-06"
    assert str(Postprocess((Thresholds(tuple(np.linspace(0.1, 0.9, 20))),))).endswith("...")


def probabilities(n_rows: int) -> NDArray[np.float64]:
    """Rows of three that sum to one, with zeros and ones among them."""
    made = np.random.default_rng(3).dirichlet([0.3, 0.5, 1.0], size=n_rows)
    made[:3] = np.eye(3)
    return made
