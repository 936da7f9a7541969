"""Number formats: fp32 is strict, tf32 is switched on for the run alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kagglerun.config.schema import OptimizerConfig, ScheduleConfig, TrainingConfig
from kagglerun.errors import ConfigError
from kagglerun.training.checkpoint import Checkpoints
from kagglerun.training.loop import FitSettings, FitTask, Stopped, fit
from kagglerun.training.precision import Precision, resolve_device

CPU = torch.device("cpu")


def allowed() -> tuple[bool, bool]:
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("name", ["fp32", "bf16", "fp16"])
def test_only_tf32_multiplies_float32_as_tf32(name: str) -> None:
    before = allowed()
    with Precision(name, CPU).float32_math():
        assert allowed() == (False, False)
    assert allowed() == before
    with Precision("tf32", CPU).float32_math():
        assert allowed() == (True, True)
    assert allowed() == before


def test_what_stood_before_is_restored_after_an_error() -> None:
    before = allowed()
    for matmul, convolutions in ((True, False), (False, True)):
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = matmul, convolutions
        with pytest.raises(ValueError, match="broken"), Precision("tf32", CPU).float32_math():
            raise ValueError("broken")
        assert allowed() == (matmul, convolutions)
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def test_the_newer_settings_agree_where_torch_has_them() -> None:
    matmul = torch.backends.cuda.matmul
    if not hasattr(matmul, "fp32_precision"):
        pytest.skip("this torch has the older settings only")
    with Precision("tf32", CPU).float32_math():
        assert matmul.fp32_precision == torch.backends.cudnn.conv.fp32_precision == "tf32"
    with Precision("fp32", CPU).float32_math():
        assert matmul.fp32_precision == "ieee" and torch.backends.cudnn.conv.fp32_precision != "tf32"


class Pairs:
    """Two samples a class."""

    def __len__(self) -> int:
        return 4

    def stream(self, parts, epoch):  # type: ignore[no-untyped-def]
        from kagglerun.training.batches import Batch

        for part in parts:
            yield Batch((torch.ones(len(part), 2),), torch.zeros(len(part), dtype=torch.long))

    def targets(self) -> Tensor:
        return torch.zeros(4, dtype=torch.long)


@pytest.mark.parametrize("name", ["fp32", "tf32"])
def test_a_training_runs_with_its_own_setting_and_leaves_the_process_as_it_was(name: str, tmp_path: Path) -> None:
    seen = []
    before = allowed()

    def stop(_: dict[str, float]) -> bool:
        seen.append(allowed())
        return True

    task = FitTask(
        build=lambda: nn.Linear(2, 2),
        train=Pairs(),
        valid=Pairs(),
        loss=F.cross_entropy,
        activate=lambda logits: logits,
        score=lambda _: 0.0,
        greater_is_better=True,
        seed=0,
        fold=0,
    )
    training = TrainingConfig(batch_size=2, precision=name, device="cpu")
    with pytest.raises(Stopped):
        fit(
            task,
            FitSettings(training, OptimizerConfig(), ScheduleConfig()),
            Checkpoints(tmp_path),
            lambda *_: None,
            stop,
        )
    assert seen == [(name == "tf32", name == "tf32")]
    assert allowed() == before


@pytest.mark.parametrize(
    ("capability", "name"), [((9, 0), "bf16"), ((8, 0), "bf16"), ((7, 5), "fp16"), ((7, 0), "fp16"), ((6, 1), "fp32")]
)
def test_auto_takes_what_the_gpu_multiplies_fast(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], name: str
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    found = Precision.resolve("auto", torch.device("cuda", 0))
    assert found.name == name
    assert found.scales_loss == (name == "fp16")


def test_on_a_cpu_auto_is_fp32_and_fp16_is_refused() -> None:
    assert Precision.resolve("auto", CPU).name == "fp32"
    with pytest.raises(ConfigError, match="needs a GPU"):
        Precision.resolve("fp16", CPU)


def test_each_process_of_a_team_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert resolve_device("auto") == torch.device("cuda", 3)
    assert resolve_device("cpu") == CPU
