"""A child that crashes, hangs or talks nonsense does no harm, and what it said before counts."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest
from fake_nvml import FakeNvml, Gpu

from kagglerun.environment.doctor.children import gpus
from kagglerun.environment.doctor.children.ask import Answer, ask, ask_all
from kagglerun.environment.doctor.gpu_states import GpuState
from kagglerun.environment.doctor.probes import driver as driver_probe
from kagglerun.environment.doctor.probes.computing import all_reduce_state, read_torch

BUILD = {"version": "2.15", "cuda": "13.2", "archs": ["sm_90"], "cudnn": 9, "nccl": "2.30", "threads": 4}


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes a program that `ask` runs in place of ours."""

    def write(source: str) -> str:
        (tmp_path / "made").mkdir(exist_ok=True)
        (tmp_path / "made" / "__init__.py").touch()
        (tmp_path / "made" / "child.py").write_text(source)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.setattr("kagglerun.environment.doctor.children.ask._PACKAGE", "made")
        return "child"

    return write


def test_what_a_child_said_before_it_crashed_counts(program: Any) -> None:
    source = (
        'import os, sys\nprint(\'{"a": 1}\\nnoise\\n{"cut\', flush=True)\nsys.stderr.write("why")\nsys.stderr.flush()\n'
    )
    answer = ask(program(source + "os.kill(os.getpid(), 11)"))
    assert answer.messages == ({"a": 1},)
    assert answer.failure == "killed by SIGSEGV\nwhy"


def test_a_child_that_hangs_is_killed(program: Any, tmp_path: Path) -> None:
    source = f"import os, time\nopen({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)"
    answer = ask(program(source), seconds=0.7)
    assert answer.failure == "no answer within 1 s"
    pid = int((tmp_path / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_when_one_of_several_fails_the_others_are_not_waited_for_long(program: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("kagglerun.environment.doctor.children.ask._KILL_SECONDS", 0.3)
    answers = ask_all(
        program("import sys, time\nsys.exit(3) if sys.argv[1] == '1' else time.sleep(600)"), [("0",), ("1",)]
    )
    assert answers[1].failure == "ended with code 3"
    assert answers[0].failure == "it was waiting for one that failed"


def test_a_device_that_crashes_the_child_has_the_failure_and_the_ones_before_stay() -> None:
    told = ({"torch": BUILD}, {"available": True, "why_not": None}, {"testing": "cpu"}, {"device": _device("cpu")})
    state = read_torch(Answer((*told, {"testing": "cuda:0"}), "killed by SIGSEGV\nstack"))
    assert [device.name for device in state.devices] == ["cpu", "cuda:0"]
    assert state.devices[1].failure == "killed by SIGSEGV\nstack"
    assert state.failure is None


def test_a_torch_that_cannot_be_imported_is_told_from_one_that_is_not_installed() -> None:
    absent = read_torch(Answer((), "ended with code 1\nModuleNotFoundError: No module named 'torch'"))
    broken = read_torch(Answer((), "ended with code 1\nImportError: libcudart.so.13: cannot open"))
    assert (absent.version, absent.failure) == (None, None)
    assert broken.failure is not None


def _device(name: str) -> dict[str, Any]:
    return {"name": name, "model": name, "capability": None, "repeats": True, "error_share": 1e-7}


@pytest.mark.long
def test_processes_add_up_on_this_machine_and_one_that_is_missing_is_noticed() -> None:
    well = all_reduce_state(2, "gloo", 90.0)
    assert well.failure is None
    assert (well.bytes_per_second or 0) > 0
    assert all_reduce_state(2, "nonsense", 60.0).failure is not None


class DiagnosedNvml(FakeNvml):
    """Answers what only a diagnosis asks."""

    def nvmlSystemGetDriverVersion(self) -> str:
        return "580.82.07"

    def nvmlSystemGetCudaDriverVersion_v2(self) -> int:
        return 13020

    def nvmlDeviceGetCudaComputeCapability(self, handle: Gpu) -> list[int]:
        return [9, 0]

    def nvmlDeviceGetComputeMode(self, handle: Gpu) -> int:
        return pynvml.NVML_COMPUTEMODE_EXCLUSIVE_PROCESS

    def nvmlDeviceGetTotalEccErrors(self, handle: Gpu, kind: int, counter: int) -> int:
        assert (kind, counter) == (pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_VOLATILE_ECC)
        return 2

    def nvmlDeviceGetRemappedRows(self, device: Gpu) -> tuple[int, int, int, int]:
        return (0, 1, 1, 0)

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: Gpu) -> int:
        return pynvml.nvmlClocksThrottleReasonSwPowerCap | pynvml.nvmlClocksThrottleReasonHwThermalSlowdown

    def nvmlDeviceGetPowerManagementLimit(self, handle: Gpu) -> int:
        return 350_000

    def nvmlDeviceGetPowerManagementDefaultLimit(self, handle: Gpu) -> int:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)


def _open(*machine: Gpu) -> DiagnosedNvml:
    nvml = DiagnosedNvml(*machine)
    nvml.nvmlInit()
    return nvml


def test_a_gpu_is_diagnosed_by_nvml() -> None:
    state = gpus.look(_open(Gpu("GPU-1", free=70, processes={7: None})), 0)
    assert state.capability == (9, 0)
    assert state.compute_mode == "exclusive"
    assert state.uncorrected_errors == 2
    assert state.remap_pending
    assert state.slowdowns == ("its power limit", "heat (hardware)")
    assert state.other_processes == 1
    assert (state.memory_used, state.memory_total) == (10_000_000_000, 80_000_000_000)
    assert (state.power_limit_watts, state.power_default_watts) == (350.0, None)
    assert state.mig is None, "a GPU that cannot be cut"


def test_slices_and_lost_gpus_are_seen() -> None:
    nvml = _open(Gpu("GPU-1", slices=[Gpu("MIG-1"), None, Gpu("MIG-2")]), Gpu("GPU-2", is_lost=True))
    assert (gpus.look(nvml, 0).mig, gpus.look(nvml, 0).slices) == (True, 2)
    lost = gpus.look(nvml, 1).lost
    assert lost is not None
    assert "lost" in lost.lower()


def test_working_at_the_power_limit_is_no_fault() -> None:
    assert gpus.slowdowns(0x4) == gpus.slowdowns(0x1) == gpus.slowdowns(0x5) == ()
    assert gpus.slowdowns(0x84) == ("its power limit", "a power brake (the machine's supply)")


def test_the_questions_are_those_of_the_library() -> None:
    for name in vars(DiagnosedNvml):
        assert name.startswith("_") or callable(getattr(pynvml, name)), name


def test_the_driver_survives_the_way_from_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = _open(Gpu("GPU-1"))
    told = (
        json.loads(json.dumps({"driver": gpus.driver(nvml)})),
        json.loads(json.dumps({"gpu": asdict(gpus.look(nvml, 0))})),
    )
    monkeypatch.setattr(driver_probe, "ask", lambda *_, **__: Answer(told, None))
    state, found = driver_probe.driver_and_gpus()
    assert (state.version, state.cuda) == ("580.82.07", (13, 2))
    assert found == (gpus.look(nvml, 0),)
    assert isinstance(found[0], GpuState)


def test_a_gpu_on_which_the_driver_crashes_is_called_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    told = ({"driver": {"version": "580", "cuda": None}},)
    monkeypatch.setattr(driver_probe, "ask", lambda *_, **__: Answer(told, "killed by SIGBUS"))
    assert driver_probe.driver_and_gpus()[1][0].lost == "NVML killed by SIGBUS"


def test_without_a_driver_nvmls_words_are_told(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(fails=pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH))
    monkeypatch.delenv("KAGGLERUN_DOCTOR", raising=False)
    gpus.main()
    assert "mismatch" in json.loads(capfd.readouterr().out)["nvml_error"].lower()


def test_settings_of_a_namespace_are_no_gpus() -> None:
    nvml = _open()
    with pytest.raises(AttributeError):
        nvml.nvmlDeviceGetFanSpeed(SimpleNamespace())
    assert gpus._ask(nvml, lambda: nvml.nvmlDeviceGetFanSpeed(None)) is None, "an older library lacks some questions"
