"""The questions to NVML: what GPUs and slices answer, what they refuse, and why there may be nothing to ask."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator

import pynvml as real
import pytest

from kagglerun.nvml import Look, NoGpus, Nvml
from tests.fake_nvml import GIGABYTE, FakeNvml, Gpu, fake_functions, fake_nvml


def opened(monkeypatch: pytest.MonkeyPatch, *gpus: Gpu) -> Nvml:
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(*gpus))
    return Nvml.open()


def cut() -> Gpu:
    return Gpu("GPU-cut", slices=[Gpu("MIG-1", free=9, total=10, processes={7: 3}), None, Gpu("MIG-2")])


@pytest.mark.parametrize("name", fake_functions())
def test_the_fake_is_called_as_the_library_is(name: str) -> None:
    ours, theirs = fake_functions()[name]
    library = inspect.unwrap(theirs)
    given = [parameter.name for parameter in inspect.signature(ours).parameters.values()][1:]
    # What the library decorates takes any arguments by its signature.
    asked = [parameter.name for parameter in inspect.signature(library).parameters.values()]
    assert asked in (given, ["args", "kwargs"])


def test_a_gpu_tells_all_of_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(monkeypatch, Gpu("GPU-a", free=60, processes={5: 9, 6: None}, received=1000, busy={5: 40})) as nvml:
        (gpu,) = nvml.gpus()
        assert (gpu.index, gpu.uuid, gpu.name, gpu.is_slice) == ("0", "GPU-a", "NVIDIA Test 80GB", False)
        assert nvml.look(gpu) == Look(
            utilisation=0.87,
            memory_bytes=20 * GIGABYTE,
            free_bytes=60 * GIGABYTE,
            memory_total_bytes=80 * GIGABYTE,
            watts=250.0,
            watts_limit=700.0,
            celsius=61.0,
            processes={5: 9, 6: None},
        )
        assert nvml.received_bytes_per_second(gpu) == 1_024_000
        assert nvml.link_bytes_per_second(gpu) == pytest.approx(31.5e9, rel=0.01)
        assert nvml.busy_processes(gpu) == {5: 0.4}


def test_slices_stand_in_place_of_their_gpu_and_tell_their_memory_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(monkeypatch, cut(), Gpu("GPU-b")) as nvml:
        found = nvml.gpus()
        assert [(gpu.index, gpu.uuid, gpu.whole_uuid) for gpu in found] == [
            ("0.0", "MIG-1", "GPU-cut"),
            ("0.2", "MIG-2", "GPU-cut"),
            ("1", "GPU-b", "GPU-b"),
        ]
        look = nvml.look(found[0])
        assert (look.utilisation, look.watts, look.celsius) == (None, None, None)
        assert (look.memory_bytes, look.processes) == (GIGABYTE, {7: 3})
        whole, other = nvml.whole_gpus()
        assert nvml.is_cut(whole) and not nvml.is_cut(other)
        assert nvml.look(whole).utilisation is None and nvml.look(whole).watts == 250
        assert nvml.busy_processes(other) == {}, "nobody computes on it"


def test_what_an_old_driver_does_not_know_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [name for name in fake_functions() if name.startswith("nvmlDeviceGet")]
    needed = {"nvmlDeviceGetCount", "nvmlDeviceGetHandleByIndex", "nvmlDeviceGetUUID", "nvmlDeviceGetName"}
    with opened(monkeypatch, Gpu("GPU-a", silent=frozenset(asked) - needed)) as nvml:
        (gpu,) = nvml.gpus()
        assert nvml.look(gpu) == Look()
        assert nvml.link_bytes_per_second(gpu) is None and nvml.received_bytes_per_second(gpu) is None


def test_a_gpu_that_fell_off_the_bus_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = Gpu("GPU-a")
    with opened(monkeypatch, gone, Gpu("GPU-b")) as nvml:
        gpu, _ = nvml.gpus()
        gone.is_lost = True
        assert nvml.look(gpu).problem == "GPU is lost"
        assert [each.uuid for each in nvml.gpus()] == ["GPU-b"], "the others are seen all the same"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (real.NVML_ERROR_LIBRARY_NOT_FOUND, "no NVIDIA driver"),
        (real.NVML_ERROR_DRIVER_NOT_LOADED, "not loaded"),
        (real.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "reboot"),
        (real.NVML_ERROR_NO_PERMISSION, "/dev/nvidia"),
        (real.NVML_ERROR_UNKNOWN, "does not answer"),
    ],
)
def test_why_there_are_no_gpus_is_said_in_words(monkeypatch: pytest.MonkeyPatch, error: int, said: str) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(fails=error))
    with pytest.raises(NoGpus, match=said):
        Nvml.open()


def test_without_the_library_there_are_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(NoGpus, match="nvidia-ml-py"):
        Nvml.open()


@pytest.fixture
def driver() -> Iterator[Nvml]:
    try:
        nvml = Nvml.open()
    except NoGpus as error:
        pytest.skip(f"needs a GPU: {error}")
    with nvml:
        yield nvml


@pytest.mark.gpu
def test_a_real_gpu_answers(driver: Nvml) -> None:
    for gpu in driver.gpus():
        look = driver.look(gpu)
        assert look.problem is None and look.memory_total_bytes
        assert gpu.is_slice or look.utilisation is not None
