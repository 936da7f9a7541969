"""batch_size auto and compile auto: the rules, and the trials as far as a CPU can make them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kagglerun.config.schema import OptimizerConfig, ScheduleConfig, TrainingConfig
from kagglerun.errors import TrainingError
from kagglerun.training import tune
from kagglerun.training.available_memory import available_memory
from kagglerun.training.batches import Batch
from kagglerun.training.step import FitSettings
from kagglerun.training.step_trial import Cost, StepTrial, Workload
from kagglerun.training.tune import allowed_sizes, cpu_bytes, fastest, find_batch_size, largest_that_fits

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


def settings(**changes: object) -> FitSettings:
    values = {"batch_size": "auto", "precision": "fp32", "device": "cpu", **changes}
    return FitSettings(TrainingConfig.model_validate(values), OptimizerConfig(), ScheduleConfig())


def workload(n_train: int = 2000, width: int = 16, most: int | None = None) -> Workload:
    """A small network; batches of more than `most` run out of memory."""

    def batch(size: int, device: torch.device) -> Batch:
        if most is not None and size > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
        return Batch((torch.ones(size, width, device=device),), torch.zeros(size, dtype=torch.long, device=device))

    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2))

    return Workload(build, batch, F.cross_entropy, n_train, 0, {"width": width})


@pytest.fixture
def fake_gpu(monkeypatch: pytest.MonkeyPatch) -> dict[int, int]:
    """A GPU with 1000 bytes free, of which a sample takes 10; gives the sizes that were tried and how often."""
    tried: dict[int, int] = {}

    def peak(work: Workload, how: FitSettings, device: torch.device, size: int) -> int | None:
        try:
            work.batch(size, CPU)
        except torch.OutOfMemoryError:
            return None
        tried[size] = tried.get(size, 0) + 1
        return 10 * size

    monkeypatch.setattr(tune, "peak_bytes", peak)
    for name, value in (
        ("mem_get_info", (1000, 2000)),
        ("memory_reserved", 0),
        ("empty_cache", None),
        ("get_device_name", "a GPU"),
    ):
        monkeypatch.setattr(torch.cuda, name, lambda *_, value=value: value)
    return tried


def test_sizes_leave_twenty_updates_an_epoch() -> None:
    for n_train in (1, 50, 400, 1437, 100_000):
        sizes = allowed_sizes(n_train, TrainingConfig(batch_size="auto"))
        assert sizes == sorted(set(sizes))
        assert sizes[-1] <= max(2, n_train // 20)
    assert allowed_sizes(1437, TrainingConfig(batch_size="auto"))[-1] == 64
    assert allowed_sizes(1437, TrainingConfig(batch_size="auto", accumulate=2, gpus=2))[-1] == 16


def test_sizes_divide_a_given_effective_batch_so_that_it_does_not_change() -> None:
    assert allowed_sizes(10, TrainingConfig(batch_size="auto", effective_batch=48)) == [
        1,
        2,
        3,
        4,
        6,
        8,
        12,
        16,
        24,
        48,
    ]
    assert allowed_sizes(10, TrainingConfig(batch_size="auto", effective_batch=48, gpus=4))[-1] == 12
    assert allowed_sizes(10, TrainingConfig(batch_size="auto", effective_batch=48, accumulate=4)) == [12]


@pytest.mark.parametrize("most", [1, 2, 7, 8, 100, 129, 500, 511, 512, 2000])
def test_the_largest_that_fits_is_found_within_a_sixteenth_by_few_trials(most: int) -> None:
    sizes = [2, 4, *range(8, 1025, 8)]
    trials = []

    def fits(size: int) -> bool:
        trials.append(size)
        return size <= most

    found = largest_that_fits(sizes, fits)
    best = max((size for size in sizes if size <= most), default=None)
    assert (found is None) == (best is None)
    if found is not None and best is not None:
        assert found <= best and found >= best * 15 / 16 - 8
    assert len(trials) <= 15 and len(trials) == len(set(trials))


def test_on_a_gpu_a_tenth_of_the_memory_is_left_free(fake_gpu: dict[int, int], tmp_path: Path) -> None:
    answer = find_batch_size(workload(n_train=100_000), settings(), GPU, tmp_path)
    assert answer.size == 88
    assert "limited by the GPU's memory" in answer.why


def test_a_size_that_runs_out_of_memory_is_too_large_and_no_error(fake_gpu: dict[int, int], tmp_path: Path) -> None:
    assert find_batch_size(workload(n_train=100_000, most=33), settings(), GPU, tmp_path).size == 32


def test_where_the_data_or_the_effective_batch_decide_the_answer_says_so(
    fake_gpu: dict[int, int], tmp_path: Path
) -> None:
    few = find_batch_size(workload(n_train=500), settings(), GPU, tmp_path)
    assert few.size == 24 and "limited by 20 updates an epoch" in few.why
    given = find_batch_size(workload(), settings(effective_batch=60), GPU, tmp_path)
    assert given.size == 60 and "limited by effective_batch" in given.why
    assert find_batch_size(workload(), settings(effective_batch=96), GPU, tmp_path).size == 48


def test_data_that_will_lie_on_the_gpu_is_left_room_for(fake_gpu: dict[int, int], tmp_path: Path) -> None:
    work = workload(n_train=100_000)
    beside = Workload(work.build, work.batch, work.loss, work.n_train, 400, {"data": 400})
    assert find_batch_size(beside, settings(), GPU, tmp_path).size < 60
    assert find_batch_size(beside, settings(data_on_gpu="never"), GPU, tmp_path).size == 88


def test_a_model_of_which_not_one_step_fits_is_an_error_with_a_way_out(
    fake_gpu: dict[int, int], tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match="a step of 2 samples does not fit") as caught:
        find_batch_size(workload(most=0), settings(), GPU, tmp_path)
    assert "gradient_checkpointing" in str(caught.value.hint)


def test_an_answer_is_kept_and_not_measured_again(fake_gpu: dict[int, int], tmp_path: Path) -> None:
    first = find_batch_size(workload(), settings(), GPU, tmp_path)
    assert find_batch_size(workload(), settings(), GPU, tmp_path) == first
    assert set(fake_gpu.values()) == {1}
    find_batch_size(workload(width=8), settings(), GPU, tmp_path)
    find_batch_size(workload(), settings(precision="bf16"), GPU, tmp_path)
    assert max(fake_gpu.values()) == 3, "another model and another precision are measured"


@pytest.mark.long
def test_real_updates_that_run_out_of_memory_give_no_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("reset_peak_memory_stats", None), ("synchronize", None), ("max_memory_reserved", 123)):
        monkeypatch.setattr(torch.cuda, name, lambda *_, value=value: value)
    assert tune.peak_bytes(workload(most=4), settings(), CPU, 4) == 123
    assert tune.peak_bytes(workload(most=4), settings(), CPU, 5) is None


def test_on_a_cpu_the_rule_takes_memory_and_data_into_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answer = find_batch_size(workload(n_train=2000), settings(), CPU, tmp_path)
    assert answer.size == 96 and answer.why.startswith("limited by 20 updates an epoch")
    fixed, per_sample = cpu_bytes(workload())
    monkeypatch.setattr(tune, "available_memory", lambda: 2 * (fixed + 40 * per_sample))
    answer = find_batch_size(workload(n_train=2000), settings(), CPU, tmp_path)
    assert 32 <= answer.size <= 40 and answer.why.startswith("limited by the memory")


def test_a_step_on_a_cpu_is_counted_by_what_the_backward_pass_needs() -> None:
    fixed, per_sample = cpu_bytes(workload(width=100))
    assert fixed == 4 * 4 * (100 * 100 + 100 + 200 + 2)
    # Input and hidden layer are kept, of 400 bytes each, some tens for the loss, and their gradients come on top.
    assert 2 * 800 <= per_sample <= 2 * 900


def test_a_compiler_must_save_a_twentieth_of_the_whole_run() -> None:
    costs = {"off": Cost(0, 1.0), "inductor": Cost(100, 0.5), "cudagraphs": None}
    assert fastest(costs, 10_000).mode == "inductor"
    assert fastest(costs, 150).mode == "off", "compiling takes longer than it saves"
    assert fastest({"off": Cost(0, 1.0), "inductor": Cost(0, 0.96), "cudagraphs": None}, 1000).mode == "off"
    both = {"off": Cost(0, 1.0), "inductor": Cost(50, 0.8), "cudagraphs": Cost(1, 0.85)}
    assert fastest(both, 500).mode == "cudagraphs"
    assert "does not work here" in fastest(costs, 10_000).why


def test_nothing_is_compiled_on_a_cpu(tmp_path: Path) -> None:
    assert tune.find_compile_mode(workload(), settings(batch_size=8), CPU, 5, tmp_path).mode == "off"
    assert not list(tmp_path.iterdir())


@pytest.mark.long
def test_each_mode_is_tried_once_and_one_that_fails_is_left_out(
    monkeypatch: pytest.MonkeyPatch, fake_gpu: dict[int, int], tmp_path: Path
) -> None:
    tried = []

    class Trial:
        def __init__(self, *given: object) -> None:
            self.mode = str(given[-1])
            tried.append(self.mode)
            if self.mode == "inductor":
                raise RuntimeError("no compiler")

        def cost(self) -> Cost:
            return Cost(1, 1.0 if self.mode == "off" else 0.5)

    monkeypatch.setattr(tune, "StepTrial", Trial)
    for _ in range(2):
        answer = tune.find_compile_mode(workload(), settings(batch_size=8), GPU, 5, tmp_path)
    assert answer.mode == "cudagraphs"
    assert tried == ["off", "inductor", "cudagraphs"]


def test_a_trial_makes_real_updates_and_tells_their_cost() -> None:
    trial = StepTrial(workload(), settings(ema=0.9, accumulate=3), CPU, 8)
    before = [parameter.clone() for parameter in trial.model.parameters()]
    cost = trial.cost(seconds=0.01)
    assert any(not torch.equal(old, new) for old, new in zip(before, trial.model.parameters(), strict=True))
    assert cost.update_seconds > 0 and cost.start_seconds >= 0


def test_available_memory_is_what_machine_and_container_leave(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9000 kB\nMemAvailable:    4000 kB\n", "ascii")
    assert available_memory(meminfo, tmp_path) == 4000 * 1024
    (tmp_path / "memory.max").write_text("3000000\n", "ascii")
    (tmp_path / "memory.current").write_text("2500000\n", "ascii")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 400000\nactive_file 100000\n", "ascii")
    assert available_memory(meminfo, tmp_path) == 1_000_000
    (tmp_path / "memory.max").write_text("max\n", "ascii")
    assert available_memory(meminfo, tmp_path) == 4000 * 1024
    assert available_memory() > 0
