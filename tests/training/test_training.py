from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from kagglerun.config.schema import OptimizerConfig, ScheduleConfig, TrainingConfig
from kagglerun.errors import CheckpointUnreadable, ConfigError, NonFiniteLoss, TrainingError
from kagglerun.files import sha256_of_file, write_json
from kagglerun.training.batches import Batch
from kagglerun.training.batching import split_epoch, updates_per_epoch
from kagglerun.training.checkpoint import Checkpoints, Snapshot
from kagglerun.training.ema import WeightAverage
from kagglerun.training.loop import FitResult, FitSettings, FitTask, fit
from kagglerun.training.optim import build_optimizer, lr_at
from kagglerun.training.precision import Precision, resolve_device
from kagglerun.training.seed import sample_order, sample_uniforms

CPU = torch.device("cpu")


class Rows:
    """Samples of a linear problem."""

    def __init__(self, inputs: Tensor, targets: Tensor) -> None:
        self.inputs, self.answers = inputs, targets
        self.seen: list[int] = []

    def __len__(self) -> int:
        return len(self.inputs)

    def stream(self, parts: Sequence[np.ndarray], epoch: int | None) -> Generator[Batch]:
        for samples in parts:
            self.seen += samples.tolist()
            yield Batch((self.inputs[samples],), self.answers[samples])

    def targets(self) -> Tensor:
        return self.answers


def linear_problem(n_train: int = 64) -> tuple[Rows, Rows]:
    numbers = torch.Generator().manual_seed(0)
    inputs = torch.randn(n_train + 16, 4, generator=numbers)
    targets = inputs @ torch.tensor([[1.0], [-2.0], [0.5], [0.0]]) + 0.1
    return Rows(inputs[:n_train], targets[:n_train]), Rows(inputs[n_train:], targets[n_train:])


def run_fit(folder: Path, train: Rows, valid: Rows, training: TrainingConfig, **optimizer: object) -> FitResult:
    answers = valid.answers.numpy()
    task = FitTask(
        build=lambda: nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 1)),
        train=train,
        valid=valid,
        loss=nn.functional.mse_loss,
        activate=lambda logits: logits,
        score=lambda predictions: float(np.sqrt(((predictions - answers) ** 2).mean())),
        greater_is_better=False,
        seed=3,
        fold=0,
    )
    settings_ = FitSettings(training, OptimizerConfig(**{"lr": 0.02, **optimizer}), ScheduleConfig())
    return fit(task, settings_, Checkpoints(folder), lambda epoch, values: None, lambda values: False)


def make_training(**values: object) -> TrainingConfig:
    return TrainingConfig(**{"epochs": 20, "batch_size": 8, "device": "cpu", "precision": "fp32", **values})


def test_fit_learns_and_each_epoch_sees_each_sample_once(tmp_path: Path) -> None:
    train, valid = linear_problem()
    result = run_fit(tmp_path, train, valid, make_training())
    assert result.history[-1]["valid_score"] < 0.5 * result.history[0]["valid_score"]
    assert sorted(train.seen[:64]) == list(range(64))
    assert train.seen[:64] != train.seen[64:128]


def test_keep_best_gives_the_weights_of_the_best_epoch(tmp_path: Path) -> None:
    train, valid = linear_problem()
    result = run_fit(tmp_path, train, valid, make_training(keep="best"), lr=0.3)
    scores = [values["valid_score"] for values in result.history]
    assert result.best_epoch == int(np.argmin(scores))
    with torch.no_grad():
        predicted = result.model(valid.inputs)
    assert math.isclose(float(((predicted - valid.answers) ** 2).mean().sqrt()), min(scores), rel_tol=1e-5)


def test_early_stopping_ends_after_the_patience(tmp_path: Path) -> None:
    train, valid = linear_problem()
    result = run_fit(tmp_path, train, valid, make_training(epochs=200, early_stopping=3), lr=0.5)
    assert len(result.history) == result.best_epoch + 1 + 3


def test_accumulated_batches_equal_one_large_batch_closely(tmp_path: Path) -> None:
    train, valid = linear_problem()
    plain = make_training(epochs=3, batch_size=16, clip_norm=None)
    split = make_training(epochs=3, batch_size=4, accumulate=4, clip_norm=None)
    task_free_of_dropout = [
        run_fit_without_dropout(tmp_path / str(i), train, valid, c) for i, c in enumerate((plain, split))
    ]
    for mine, theirs in zip(*task_free_of_dropout, strict=True):
        assert torch.allclose(mine, theirs, atol=1e-5)


def run_fit_without_dropout(folder: Path, train: Rows, valid: Rows, training: TrainingConfig) -> list[Tensor]:
    task = FitTask(
        build=lambda: nn.Linear(4, 1),
        train=train,
        valid=valid,
        loss=nn.functional.mse_loss,
        activate=lambda logits: logits,
        score=lambda predictions: 0.0,
        greater_is_better=True,
        seed=3,
        fold=0,
    )
    settings_ = FitSettings(training, OptimizerConfig(name="sgd", lr=0.05), ScheduleConfig(name="constant"))
    result = fit(task, settings_, Checkpoints(folder), lambda *_: None, lambda _: False)
    return [parameter.detach() for parameter in result.model.parameters()]


def test_a_loss_that_is_not_finite_stops_before_the_update_and_names_the_place(tmp_path: Path) -> None:
    train, valid = linear_problem()
    train.inputs[5] = float("nan")
    with pytest.raises(NonFiniteLoss) as caught:
        run_fit(tmp_path, train, valid, make_training())
    assert "epoch 0" in caught.value.message and "lr" in caught.value.message
    assert "optimizer.lr=" in str(caught.value.hint)


def snapshot(epoch: int) -> Snapshot:
    return Snapshot({"weights": {"w": torch.full((3,), float(epoch))}}, {"epoch": epoch, "sum": torch.tensor(0.5)})


def test_a_damaged_checkpoint_is_an_error_never_a_quiet_restart(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(snapshot(1))
    checkpoints.save(snapshot(2))
    for name in ("weights.safetensors", "rest.pt", "manifest.json"):
        file = tmp_path / "00000002" / name
        content = file.read_bytes()
        for damaged in (content[:-5], content[: len(content) // 2] + b"?" + content[len(content) // 2 + 1 :], b""):
            file.write_bytes(damaged)
            with pytest.raises(CheckpointUnreadable) as caught:
                checkpoints.load()
            assert str(file.parent) in caught.value.message and "rm -r" in str(caught.value.hint)
        file.write_bytes(content)
    found = checkpoints.load()
    assert found is not None and found.rest["epoch"] == 2 and float(found.weights["weights"]["w"][0]) == 2


def test_the_last_two_checkpoints_are_kept_and_leftovers_of_a_killed_write_are_not_read(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.load() is None
    for epoch in range(4):
        checkpoints.save(snapshot(epoch))
    (tmp_path / ".00000005.partial").mkdir()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.isdigit()) == ["00000003", "00000004"]
    found = checkpoints.load()
    assert found is not None and found.rest["epoch"] == 3
    checkpoints.save(snapshot(4))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000004", "00000005"]
    checkpoints.delete()
    assert checkpoints.load() is None


def test_a_checkpoint_is_written_while_the_caller_goes_on_and_its_error_comes_out_later(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    checkpoints = Checkpoints(tmp_path / "file" / "folder")
    checkpoints.save_soon(snapshot(1))
    with pytest.raises(TrainingError, match="Not a directory"):
        checkpoints.wait()


def test_a_checkpoint_with_code_in_it_is_refused(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(snapshot(1))
    rest = tmp_path / "00000001" / "rest.pt"
    torch.save({"model": nn.Linear(1, 1)}, rest)
    write_json(tmp_path / "00000001" / "manifest.json", {"rest.pt": sha256_of_file(rest)})
    with pytest.raises(CheckpointUnreadable):
        checkpoints.load()


@given(update=st.integers(0, 199), name=st.sampled_from(["cosine", "one_cycle", "constant"]))
def test_lr_stays_between_zero_and_its_peak(update: int, name: str) -> None:
    config = ScheduleConfig(name=name)
    assert 0 <= lr_at(update, config, 0.1, updates_per_epoch=20, epochs=10) <= 0.1


def test_schedules_rise_and_fall_where_they_should() -> None:
    cosine = [lr_at(update, ScheduleConfig(min_lr=0.001), 0.1, 10, 5) for update in range(50)]
    assert cosine[0] < cosine[5] < cosine[10] == pytest.approx(0.1)
    assert cosine[49] < 0.003
    one_cycle = [lr_at(update, ScheduleConfig(name="one_cycle"), 0.1, 10, 5) for update in range(50)]
    assert int(np.argmax(one_cycle)) == 15
    assert (
        len({lr_at(update, ScheduleConfig(name="constant", warmup_epochs=0), 0.1, 10, 5) for update in range(50)}) == 1
    )


def test_weight_decay_leaves_biases_and_norms_out() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
    decayed, spared = build_optimizer(model, OptimizerConfig(weight_decay=0.1)).param_groups
    assert [p.ndim for p in decayed["params"]] == [2] and decayed["weight_decay"] == 0.1
    assert all(p.ndim == 1 for p in spared["params"]) and spared["weight_decay"] == 0


def test_the_weight_average_follows_its_formula() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 0.0)
    average = WeightAverage(model, decay=0.9)
    nn.init.constant_(model.weight, 1.0)
    average.update(updates=1)
    expected = 1 - 2 / 11
    assert float(average.module.weight) == pytest.approx(expected)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**62), epoch=st.integers(0, 1000))
def test_uniforms_belong_to_the_sample_not_to_the_batch(seed: int, epoch: int) -> None:
    together = sample_uniforms(seed, epoch, np.arange(50, dtype=np.int64), 4)
    alone = sample_uniforms(seed, epoch, np.array([17], dtype=np.int64), 4)
    assert (together[17] == alone[0]).all()
    assert ((together >= 0) & (together < 1)).all()


def test_uniforms_are_uniform_and_differ_between_epochs_and_parameters() -> None:
    numbers = sample_uniforms(1, 0, np.arange(20000, dtype=np.int64), 3)
    assert np.abs(numbers.mean(axis=0) - 0.5).max() < 0.01
    assert np.abs(numbers.var(axis=0) - 1 / 12).max() < 0.003
    assert np.abs(np.corrcoef(numbers.T) - np.eye(3)).max() < 0.03
    other = sample_uniforms(1, 1, np.arange(20000, dtype=np.int64), 3)
    assert abs(np.corrcoef(numbers[:, 0], other[:, 0])[0, 1]) < 0.03


def test_sample_order_is_a_permutation_of_its_epoch() -> None:
    first, again, other = sample_order(1, 0, 0, 100), sample_order(1, 0, 0, 100), sample_order(1, 0, 1, 100)
    assert (first == again).all() and (first != other).any()
    assert sorted(first) == list(range(100))


def test_precision_auto_is_fp32_on_a_cpu_and_fp16_there_is_refused() -> None:
    assert Precision.resolve("auto", CPU).name == "fp32"
    assert Precision.resolve("bf16", CPU).name == "bf16"
    with pytest.raises(ConfigError, match="fp16"):
        Precision.resolve("fp16", CPU)


def test_cuda_without_a_gpu_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="GPU"):
        resolve_device("cuda")
    assert resolve_device("auto") == CPU


def test_bf16_trains_on_a_cpu(tmp_path: Path) -> None:
    train, valid = linear_problem()
    result = run_fit(tmp_path, train, valid, make_training(precision="bf16", epochs=5))
    assert math.isfinite(result.history[-1]["valid_loss"])


def test_updates_per_epoch_counts_groups_of_batches() -> None:
    assert updates_per_epoch(64, make_training(batch_size=8, accumulate=3)) == 3
    assert updates_per_epoch(5, make_training(batch_size=8)) == 1
    assert updates_per_epoch(64, make_training(batch_size=8, accumulate=2, gpus=2)) == 2


@given(n=st.integers(1, 300), size=st.integers(1, 40), accumulate=st.integers(1, 4), gpus=st.integers(1, 3))
def test_an_epoch_is_cut_into_updates_without_doubles(n: int, size: int, accumulate: int, gpus: int) -> None:
    config = make_training(batch_size=size, accumulate=accumulate, gpus=gpus)
    order = sample_order(1, 0, 0, n)
    updates = split_epoch(order, config)
    assert len(updates) == updates_per_epoch(n, config)
    assert all(len(update) == config.update_size for update in updates[:-1])
    seen = np.concatenate(updates)
    assert (seen == order[: len(seen)]).all() and n - len(seen) < size * gpus
