"""Ten minutes of a GPU that has too little to do give one warning, and its advice is that of the measured cause."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kagglerun.config.load import parse_config
from kagglerun.config.schema import Config
from kagglerun.experiment.watch.starved import Moment, StarvedGpus, judge
from kagglerun.jobs.machine import GpuStretch, Stretch
from kagglerun.training.pace import Pace

_GPU = GpuStretch(
    index="0",
    name="test",
    utilisation=0.12,
    memory_bytes=8,
    memory_total_bytes=80,
    watts=100.0,
    celsius=40.0,
    own_bytes=8,
    others=0,
    received_share=0.01,
)
_STRETCH = Stretch(
    seconds=10.0, gpus=(_GPU,), cores=1.0, machine_cores=1.5, n_cores=8, n_machine_cores=8, memory_bytes=1
)
_BUSY = Pace(updates=100, samples=6400, seconds=9.5, waited_seconds=0.5)


def config(**training: object) -> Config:
    return parse_config({"model": {"kind": "image", "name": "resnet18"}, "training": training}, "the test's config")


def moment(pace: Pace = _BUSY, cores: float = 1.0, machine_cores: float = 1.5, **gpu: object) -> Moment:
    stretch = replace(_STRETCH, gpus=(replace(_GPU, **gpu),), cores=cores, machine_cores=machine_cores)  # type: ignore[arg-type]
    return Moment(stretch, pace)


def warnings(watch: StarvedGpus, moments: list[Moment]) -> list[str]:
    return [warned.text for each in moments if (warned := watch.add(each, config())) is not None]


def test_it_warns_after_ten_minutes_and_only_once() -> None:
    watch = StarvedGpus()
    assert warnings(watch, [moment()] * 59) == []
    (text,) = warnings(watch, [moment()])
    assert text.startswith("GPU 0 was busy for 12% of the last 10 minutes")
    assert warnings(watch, [moment()] * 200) == []


@pytest.mark.parametrize("busy", [0.3, 0.95])
def test_a_gpu_that_is_used_is_no_warning(busy: float) -> None:
    assert warnings(StarvedGpus(), [moment(utilisation=busy)] * 100) == []


def test_minutes_of_preparation_before_good_ones_are_no_warning() -> None:
    assert warnings(StarvedGpus(), [moment(utilisation=0.0)] * 40 + [moment(utilisation=0.9)] * 100) == []


def test_slices_that_do_not_tell_and_no_gpu_at_all_are_no_warning() -> None:
    assert warnings(StarvedGpus(), [moment(utilisation=None)] * 100) == []
    assert warnings(StarvedGpus(), [Moment(replace(_STRETCH, gpus=()), _BUSY)] * 100) == []


def test_a_gpu_taken_a_moment_ago_is_not_judged() -> None:
    without = Moment(replace(_STRETCH, gpus=()), _BUSY)
    assert warnings(StarvedGpus(), [without] * 59 + [moment()]) == []


def test_of_several_gpus_the_one_with_the_least_to_do_is_named() -> None:
    two = Moment(replace(_STRETCH, gpus=(_GPU, replace(_GPU, index="3", utilisation=0.02))), _BUSY)
    warned = judge([two], config())
    assert warned is not None and warned.text.startswith("GPU 3 was busy for 2%")


_WAITING = Pace(updates=100, samples=6400, seconds=9.5, waited_seconds=7.0)


@pytest.mark.parametrize(
    ("seen", "training", "cause", "advice"),
    [
        (moment(_WAITING), {"image_cache": False}, "wait for their data 74%", "training.image_cache=true"),
        (moment(_WAITING), {}, "wait for their data 74%", "training.loader_workers=7"),
        (moment(_WAITING), {"loader_workers": 2}, "wait for their data", "more than 2 training.loader_workers"),
        (moment(_WAITING, cores=7.5, machine_cores=7.6), {}, "wait for their data", "all 8 cores are busy"),
        (moment(received_share=0.8), {}, "fill 80% of its link", "training.data_on_gpu=always"),
        (moment(), {"batch_size": 4}, "steps of 4 samples are too small for it, 10% of its memory", "batch_size=auto"),
        (moment(others=2), {}, "2 other processes compute on it too", "slots=auto"),
        (moment(Pace(10, 640, 2.0, 0.1)), {}, "80% of the time is not updates", "training.eval_batch_size"),
        (moment(Pace()), {}, "100% of the time is not updates", "training.checkpoint_epochs"),
        (moment(machine_cores=7.9), {}, "other programs keep 7 of the machine's 8 cores busy", "top"),
        (moment(_WAITING, machine_cores=7.9), {}, "other programs keep 7", "another machine"),
    ],
)
def test_the_advice_fits_the_measured_cause(seen: Moment, training: dict[str, object], cause: str, advice: str) -> None:
    warned = judge([seen] * 60, config(**training))
    assert warned is not None
    assert cause in warned.text
    assert advice in warned.advice


def test_a_step_that_is_recorded_already_is_not_advised_again() -> None:
    warned = judge([moment()], config(compile="cudagraphs"))
    assert warned is not None and "cudagraphs" not in warned.advice


def test_every_setting_that_is_advised_is_one_of_the_config() -> None:
    seen = (moment(_WAITING), moment(received_share=0.8), moment(), moment(Pace(10, 640, 2.0, 0.1)))
    advised = [warned.advice for each in seen if (warned := judge([each], config())) is not None]
    names = {word.partition("=")[0] for text in advised for word in text.replace(",", " ").split() if "." in word}
    sections = config()
    for name in names:
        section, _, key = name.rstrip(".;").partition(".")
        assert hasattr(getattr(sections, section), key), name
