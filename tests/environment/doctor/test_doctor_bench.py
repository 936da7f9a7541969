"""A slow or a shared GPU is called so; a fast one, an unknown one and a slice are not."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_nvml import FakeNvml, Gpu, fake_nvml

from kagglerun.environment.doctor.bench.gpu_models import MODELS, model_of
from kagglerun.environment.doctor.bench.host import decode_rate, disk_rates
from kagglerun.environment.doctor.bench.judge import judge
from kagglerun.environment.doctor.bench.measure import measure, read_gpu
from kagglerun.environment.doctor.bench.rates import GpuMeasures, Measures, Rate, in_words
from kagglerun.environment.doctor.children import bench_device
from kagglerun.environment.doctor.children.ask import Answer, ask
from kagglerun.environment.doctor.finding import Finding, Level

H100 = "NVIDIA H100 80GB HBM3"
NAMES = {
    H100: "H100 SXM",
    "NVIDIA H100 PCIe": "H100 PCIe",
    "NVIDIA H100 NVL": "H100 NVL",
    "NVIDIA H200": "H200",
    "NVIDIA H200 NVL": "H200 NVL",
    "NVIDIA A100-SXM4-80GB": "A100 80GB SXM",
    "NVIDIA A100-SXM4-40GB": "A100 40GB",
    "NVIDIA A100-PCIE-40GB": "A100 40GB",
    "NVIDIA A100 80GB PCIe": "A100 80GB PCIe",
    "Tesla T4": "T4",
    "Tesla P100-PCIE-16GB": "P100",
    "Tesla P100-PCIE-12GB": "P100 12GB",
    "Tesla V100-SXM2-16GB": "V100 SXM2",
    "Tesla V100-PCIE-32GB": "V100 PCIe",
    "NVIDIA A10G": "A10G",
    "NVIDIA A10": "A10",
    "NVIDIA L4": "L4",
    "NVIDIA L40": "L40",
    "NVIDIA L40S": "L40S",
    "NVIDIA B200": "B200",
    "NVIDIA GeForce RTX 4090": "RTX 4090",
    "NVIDIA GeForce RTX 3080 Ti": "RTX 3080 Ti",
    "NVIDIA RTX A6000": "RTX A6000",
    "NVIDIA RTX 6000 Ada Generation": "RTX 6000 Ada",
    "Quadro RTX 8000": "Quadro RTX 6000",
    "NVIDIA RTX PRO 6000 Blackwell Server Edition": "RTX PRO 6000 Blackwell Server",
    "NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition": "RTX PRO 6000 Blackwell Max-Q",
}
UNKNOWN = (
    "NVIDIA GeForce RTX 4090 Laptop GPU",
    "NVIDIA GeForce RTX 4090 D",
    "NVIDIA GeForce RTX 4080 SUPER",
    "NVIDIA GeForce RTX 4070 Ti SUPER",
    "NVIDIA GeForce GTX 1080 Ti",
    "AMD Instinct MI300X",
    "NVIDIA T400",
    "GRID T4-16Q",
    "NVIDIA A40-48Q",
    "NVIDIA A10-24C",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_gpu_is_known_by_the_drivers_name_of_it(name: str) -> None:
    model = model_of(name)
    assert model is not None
    assert model.name == NAMES[name]


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_gpu_that_shares_a_part_of_its_name_is_not_taken_for_another(name: str) -> None:
    assert model_of(name) is None


def test_published_figures_have_the_order_that_formats_have() -> None:
    for model in MODELS:
        formats = [value for value in (model.fp32, model.tf32, model.fp16) if value is not None]
        assert formats == sorted(formats), model.name
        assert model.bf16 in (None, model.fp16), model.name
        assert 100 < model.memory < 10_000
        assert model.source in "DALBT"


def _measured(share: float, model: str = H100, **changes: Any) -> GpuMeasures:
    known = model_of(model)
    assert known is not None
    told = tuple(
        {"rate": {"name": f"matmul {name}", "value": share * (known.flops(name) or 0), "unit": "FLOP/s"}}
        for name in ("fp32", "tf32", "fp16", "bf16")
    )
    copies = (("copy within", known.memory * 1e9, 0.85), ("copy to it, pinned", 6.3e10, 0.8))
    more = tuple({"rate": {"name": name, "value": full * part, "unit": "B/s"}} for name, full, part in copies)
    about = {"about": {"model": model, "link": 6.3e10, "busy_before": 0.0, "others": 0, "is_slice": False}}
    gpu = read_gpu("cuda:0", Answer((about, *told, *more, {"watched": {"slowdowns": [], "at_power_limit": 0.9}}), None))
    return replace(gpu, **changes)


def _faults(gpu: GpuMeasures) -> list[Finding]:
    return [finding for finding in judge(Measures((gpu,))) if finding.level]


def test_a_gpu_that_reaches_the_usual_share_is_well() -> None:
    gpu = _measured(0.7)
    assert [rate.share for rate in gpu.rates] == pytest.approx([0.7, 0.7, 0.7, 0.7, 0.85, 0.8])
    assert not _faults(gpu)
    assert "as fast as such a GPU is" in judge(Measures((gpu,)))[0].found


def test_a_slow_gpu_is_called_so_with_its_figures_and_the_reason() -> None:
    (slow,) = _faults(_measured(0.3))
    assert slow.level is Level.WARNING
    assert "is slow: matmul fp32 20.1 TFLOP/s of 67 TFLOP/s" in slow.found
    assert "power limit" in slow.found
    (hot,) = _faults(_measured(0.3, slowdowns=("heat (hardware)",)))
    assert "lowered by heat (hardware)" in hot.found
    assert "cooling" in (hot.mend or "")


def test_a_shared_gpu_is_called_so() -> None:
    (shared,) = _faults(_measured(0.7, others=2, busy_before=0.6))
    assert "shared: 2 processes of others compute on it, busy 60% of the time before" in shared.found
    (unseen,) = _faults(_measured(0.7, busy_before=0.5))
    assert "somebody computes on it unseen" in unseen.found


def test_a_slow_link_is_told_from_a_slow_gpu() -> None:
    gpu = _measured(0.7)
    slow = replace(gpu.rates[-1], value=1e9)
    (found,) = _faults(replace(gpu, rates=(*gpu.rates[:-1], slow)))
    assert "copy to it, pinned 1 GB/s of 63 GB/s" in found.found
    assert "lanes" in (found.mend or "")


def test_a_card_of_70_watts_is_not_held_to_its_boost_clock() -> None:
    assert not _faults(_measured(0.35, "Tesla T4"))
    assert _faults(_measured(0.2, "Tesla T4"))


def test_an_unknown_gpu_and_a_slice_are_not_judged() -> None:
    about = {"about": {"model": "NVIDIA Next"}}
    told = {"rate": {"name": "matmul fp32", "value": 1e9, "unit": "FLOP/s"}}
    gpu = read_gpu("cuda:0", Answer((about, told), None))
    assert gpu.rates[0].published is None
    assert not _faults(gpu)
    cut = {"about": {"model": H100, "is_slice": True}}
    assert not _faults(read_gpu("cuda:0", Answer((cut, told), None)))


def test_a_gpu_that_crashes_keeps_what_it_reached_before() -> None:
    told = {"rate": {"name": "matmul fp32", "value": 6e13, "unit": "FLOP/s"}}
    gpu = read_gpu("cuda:0", Answer(({"about": {"model": H100}}, told), "killed by SIGSEGV"))
    assert len(gpu.rates) == 1
    assert _faults(gpu)[0].level is Level.ERROR


def test_a_slow_disk_and_slow_decoding_are_called_so() -> None:
    host = (Rate("decode", 50, "images/s"), Rate("disk write", 2e7, "B/s"), Rate("disk synced files", 5, "files/s"))
    found = judge(Measures(host=host, cores=4, failures=("cpu: killed",)))
    assert [finding.level for finding in found] == [Level.WARNING, Level.WARNING, Level.ERROR]
    assert "writes 20 MB/s, 5 files/s synced" in found[1].found
    well = (Rate("decode", 1500, "images/s"), Rate("disk write", 2e9, "B/s"))
    assert not any(finding.level for finding in judge(Measures(host=well, cores=4)))


def test_figures_in_words() -> None:
    assert in_words(3.125e14, "FLOP/s") == "312 TFLOP/s"
    assert in_words(1.55e9, "B/s") == "1.55 GB/s"
    assert in_words(823.4, "images/s") == "823 images/s"
    assert in_words(0.123, "files/s") == "0.12 files/s"


def test_decoding_and_the_disk_are_measured(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    assert decode_rate(tmp_path / "photos", quick=True).value > 0
    rates = disk_rates(tmp_path, quick=True)
    assert [rate.name for rate in rates] == ["disk write", "disk read", "disk synced files", "disk read files"]
    assert all(rate.value > 0 for rate in rates)


class WorkingNvml(FakeNvml):
    """A GPU at its power limit, hot now and then."""

    reasons = 0

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: Gpu) -> int:
        self.reasons += 1
        return 0x4 | (0x40 if self.reasons % 4 == 0 else 0)


def test_a_gpu_is_watched_while_it_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, other = Gpu("GPU-12-34", utilisation=60, processes={1: 5, 2: 5}), Gpu("GPU-56")
    nvml = WorkingNvml(other, ours)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr(bench_device, "_LOOK_SECONDS", 0.001)
    watch = bench_device._Watch("12-34")
    before = watch.before(quick=True)
    assert (before["busy_before"], before["others"], before["is_slice"]) == (0.6, 1, False)
    assert before["link"] == pytest.approx(16 * 1.969e9)
    with watch:
        while nvml.reasons < 20:
            time.sleep(0.001)
    assert watch.found()["slowdowns"] == (), "heat in a quarter of the looks alone"
    assert watch.found()["at_power_limit"] == 1.0


def test_a_slice_is_known_and_a_machine_without_nvml_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(Gpu("GPU-1", slices=[Gpu("MIG-7")])))
    assert bench_device._Watch("7").before(quick=True)["is_slice"] is True
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(works=False))
    watch = bench_device._Watch("7")
    with watch:
        assert watch.before(quick=True) == {}
    assert watch.found() == {"slowdowns": (), "at_power_limit": 0.0}


@pytest.mark.long
def test_the_whole_machine_is_measured_and_nothing_is_left(workspace: Any) -> None:
    told: list[str] = []
    measures = measure(workspace, told.append, quick=True)
    assert not measures.failures
    assert {"cpu matmul fp32", "cpu matmul bf16", "cpu copy within", "decode"} <= {rate.name for rate in measures.rates}
    assert "decoding" in told
    assert not list(workspace.root.glob(".kagglerun-doctor*"))
    assert measures.to_dict()["rates"]


@pytest.mark.gpu
def test_a_gpu_reaches_something() -> None:
    if not Path("/dev/nvidia0").exists():
        pytest.skip("no GPU")
    gpu = read_gpu("cuda:0", ask("bench_device", ["cuda:0", "quick"]))
    assert gpu.failure is None
    assert len(gpu.rates) >= 6
