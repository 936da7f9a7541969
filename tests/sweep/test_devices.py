"""Trials go where there is memory: to whole GPUs and to slices, beside other people's processes, and to no others."""

from __future__ import annotations

import sys

import pytest

from kagglerun.config.load import parse_config
from kagglerun.config.schema import Config
from kagglerun.sweep.devices import Device, spread, visible_gpus
from kagglerun.sweep.settle_workers import best_slots, settle_workers
from tests.fake_nvml import GIGABYTE, Gpu, fake_nvml

_A, _B, _C = Gpu("GPU-aaaa-1", free=79), Gpu("GPU-bbbb-2", free=12), Gpu("GPU-bccc-3", free=60)
_CUT = Gpu("GPU-cut", free=80, slices=[Gpu("MIG-1", free=9, total=10), None, Gpu("MIG-2", free=19, total=20)])


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(_A, _B, _C))


def names(environment: dict[str, str]) -> list[str]:
    return [device.name for device in visible_gpus(environment)]


def device(name: str, free: float | None) -> Device:
    return Device(name, None if free is None else int(free * GIGABYTE), 80 * GIGABYTE, (name,))


@pytest.mark.usefixtures("three")
def test_every_gpu_is_named_by_its_uuid_which_no_order_of_numbers_changes() -> None:
    assert names({}) == ["GPU-aaaa-1", "GPU-bbbb-2", "GPU-bccc-3"]
    assert [gpu.free_bytes for gpu in visible_gpus({})] == [79 * GIGABYTE, 12 * GIGABYTE, 60 * GIGABYTE]


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("", []),
        ("2,0", ["2", "0"]),
        ("GPU-bb", ["GPU-bbbb-2"]),
        ("GPU-aaaa-1, GPU-bccc-3", ["GPU-aaaa-1", "GPU-bccc-3"]),
        ("1,-1,0", ["1"]),
        ("none", []),
    ],
)
def test_only_gpus_that_the_environment_leaves_are_used(given: str, found: list[str]) -> None:
    assert names({"CUDA_VISIBLE_DEVICES": given}) == found


@pytest.mark.usefixtures("three")
def test_numbers_keep_the_memory_of_their_gpu() -> None:
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "1"})[0].free_bytes == 12 * GIGABYTE


def test_a_number_says_nothing_of_memory_where_gpus_differ_and_cuda_orders_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(_A, Gpu("GPU-small", free=10, total=12)))
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "1"})[0].free_bytes is None
    by_place = {"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    assert visible_gpus(by_place)[0].free_bytes == 10 * GIGABYTE


def test_slices_of_a_gpu_are_devices_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(_CUT, _A))
    assert names({}) == ["MIG-1", "MIG-2", "GPU-aaaa-1"]
    assert names({"CUDA_VISIBLE_DEVICES": "MIG-2"}) == ["MIG-2"]
    assert [part.free_bytes for part in visible_gpus({})][:2] == [9 * GIGABYTE, 19 * GIGABYTE]


def test_a_gpu_that_does_not_tell_its_memory_is_used_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(Gpu("GPU-silent", free=0, tells_memory=False)))
    assert visible_gpus({}) == (Device("GPU-silent", None, None, ("GPU-silent",)),)


def test_without_a_driver_there_are_no_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(_A, works=False))
    assert visible_gpus({}) == ()
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert visible_gpus({}) == ()


def placements(devices: list[Device], count: int, slots: int) -> list[str]:
    placed: list[str] = []
    for _ in range(count):
        found = spread(devices, placed, slots)
        assert found is not None
        placed.append(found.name)
    return placed


def test_trials_go_to_the_gpu_with_the_most_memory_for_each() -> None:
    assert placements([device("a", 79), device("b", 79)], 4, slots=2) == ["a", "b", "a", "b"]


def test_a_gpu_that_others_fill_is_left_alone_while_there_is_a_slot_elsewhere() -> None:
    assert placements([device("full", 1), device("free", 79)], 7, slots=7) == ["free"] * 7


def test_more_trials_than_slots_are_spread_evenly() -> None:
    assert sorted(placements([device("a", 70), device("b", 70)], 4, slots=1)) == ["a", "a", "b", "b"]


def test_gpus_that_tell_nothing_are_taken_in_turn() -> None:
    assert sorted(placements([device("a", None), device("b", None)], 4, slots=4)) == ["a", "a", "b", "b"]
    assert spread([], [], 1) is None


@pytest.mark.parametrize(
    ("free", "need", "slots"),
    [([80, 80], 10, 7), ([80, 1], 10, 7), ([80, 30], 10, 7), ([80, 60, 60], 10, 5), ([5], 10, 1), ([80], None, 1)],
)
def test_slots_are_those_with_which_most_trials_run(free: list[float], need: float | None, slots: int) -> None:
    devices = [device(str(index), each) for index, each in enumerate(free)]
    assert best_slots(devices, None if need is None else int(need * GIGABYTE)) == slots


def config(**values: object) -> Config:
    return parse_config({"sweep": {"workers": "auto", "slots": "auto", **values}}, "the test's config")


def settled(given: Config, *free: float, need: float | None = 10, gpu: bool = True) -> tuple[object, object]:
    devices = [device(str(index), each) for index, each in enumerate(free)]
    need_bytes = None if need is None else int(need * GIGABYTE)
    done = settle_workers(given, lambda: gpu, lambda: need_bytes, lambda: devices).sweep
    return done.workers, done.slots


def test_workers_and_slots_become_numbers() -> None:
    assert settled(config(), 80, 80) == (14, 7)
    assert settled(config(), 80, 3) == (7, 7)
    assert settled(config(workers=3), 80, 80) == (3, 7)
    assert settled(config(slots=2), 80, 80) == (4, 2)
    assert settled(config(), 80, 80, need=None) == (2, 1)
    assert settled(config()) == (1, 1)
    assert settled(config(), 80, gpu=False) == (1, 1)
    assert settled(config(), 3) == (1, 1)


def test_a_trial_on_several_gpus_has_them_to_itself() -> None:
    several = config().model_copy(update={"training": config().training.model_copy(update={"gpus": 2})})
    assert settled(several, 80, 80, 80, 80) == (2, 1)


def test_numbers_that_were_given_are_not_measured() -> None:
    def never() -> bool:
        raise AssertionError("nothing is left open")

    given = config(workers=2, slots=1)
    assert settle_workers(given, never, never) == given
