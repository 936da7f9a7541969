"""kagglerun profile: where the time goes, what would help, and that nothing is left behind."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from experiment.made import seal, write_card

from kagglerun.cli.main import run as command
from kagglerun.config.load import parse_config
from kagglerun.config.schema import Config
from kagglerun.errors import ConfigError
from kagglerun.experiment import profile as profiling
from kagglerun.experiment import profile_changes
from kagglerun.experiment.prepare import prepare, resolve_config
from kagglerun.experiment.profile import FoldMeasurement, measure_fold, profile, stage_shares
from kagglerun.experiment.profile_changes import possible_changes
from kagglerun.training.stages import StageTime
from kagglerun.training.throughput import Throughput
from kagglerun.workspace import Workspace

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
YAML = """
model: {kind: tabular_neural, width: 8, depth: 1}
cv: {n_splits: 3}
training: {epochs: 1, batch_size: 8, device: cpu, cpu_threads: 1}
"""


@pytest.fixture
def made(workspace: Workspace) -> Workspace:
    """A workspace with a small table competition and a config for it."""
    paths = workspace.competition("made")
    paths.data.mkdir(parents=True)
    values = np.random.default_rng(0).normal(size=600)
    table = pd.DataFrame({"id": range(600), "a": values, "y": np.where(values > 0, "yes", "no")})
    table.to_csv(paths.data / "train.csv", index=False)
    table.drop(columns="y").to_csv(paths.data / "test.csv", index=False)
    table[["id", "y"]].to_csv(paths.data / "sample_submission.csv", index=False)
    write_card(paths)
    seal(paths)
    workspace.set_current("made")
    (workspace.sweeps / "net.yaml").write_text(YAML, "utf-8")
    return workspace


def config(model: str = "tabular_neural", **training: object) -> Config:
    models = {"tabular_neural": {"kind": model, "width": 8, "depth": 1}, "image": {"kind": model, "name": "resnet18"}}
    values = {"model": models[model], "cv": {"n_splits": 3}}
    return parse_config(
        {**values, "training": {"batch_size": 8, "precision": "fp32", "compile": "off", **training}}, ""
    )


def throughput(stages: tuple[StageTime, ...] = (), **changes: object) -> Throughput:
    plain = Throughput(10, 80, 2.0, 0.1, stages, None, None, 0.5)
    return replace(plain, **changes)  # type: ignore[arg-type]


@pytest.mark.long
def test_a_profile_tells_stages_and_gains_and_writes_nothing(
    made: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(["profile", "net.yaml", "--seconds", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    names = [stage["name"] for stage in found["stages"]]
    assert names == ["wait for data", "forward", "backward", "optimizer", "everything else, idle"]
    assert sum(stage["share"] for stage in found["stages"]) == pytest.approx(1, abs=0.02)
    assert found["samples_per_second"] > 0 and found["n_train"] == 400
    assert {item["line"] for item in found["tried"]} >= {"training.deterministic=false"}
    assert not made.runs.exists() and not made.mlflow_db.exists()


@pytest.mark.long
def test_the_table_names_the_stages_and_what_was_tried(made: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["profile", "net.yaml", "training.deterministic=false", "--seconds", "1"]) == 0
    shown = capsys.readouterr().out
    assert "400 training samples, batch 8, fp32, cpu" in shown
    for word in ("where the time goes", "forward", "backward", "optimizer", "samples/s", "CPU"):
        assert word in shown
    assert "tried" in shown or "help" in shown


def test_a_model_without_steps_is_refused_before_it_trains(made: Workspace) -> None:
    with pytest.raises(ConfigError, match="no updates to measure") as caught:
        trees = parse_config({"model": {"kind": "tabular_boosting"}, "cv": {"n_splits": 3}}, "")
        profile(made, resolve_config(made, trees), 1, lambda _: None)
    assert caught.value.hint


def test_measuring_leaves_the_same_weights_and_files_as_not_measuring(made: Workspace, tmp_path: Path) -> None:
    prepared = prepare(made, resolve_config(made, parse_config({**_yaml()}, "")))
    measured = measure_fold(prepared, prepared.config, 0.05, by_stage=True)
    assert measured.throughput.updates >= 2
    assert measured.throughput.samples == 8 * measured.throughput.updates
    assert not made.runs.exists()


def _yaml() -> dict[str, object]:
    import yaml

    loaded: dict[str, object] = yaml.safe_load(YAML)
    return loaded


def test_shares_add_up_and_work_beside_training_has_none() -> None:
    stages = (
        StageTime("backward", 0.8, None, False),
        StageTime("forward", 0.6, None, False),
        StageTime("read", 0.4, None, True),
    )
    shares = stage_shares(throughput(stages))
    assert [(item.name, item.share) for item in shares] == [
        ("forward", pytest.approx(0.3)),
        ("backward", pytest.approx(0.4)),
        ("everything else, idle", pytest.approx(0.3)),
        ("read", None),
    ]
    assert shares[-1].milliseconds == pytest.approx(40)


def test_on_a_gpu_the_stages_are_timed_by_the_gpu() -> None:
    shares = stage_shares(throughput((StageTime("forward", 0.01, 1.5, False),)))
    assert shares[0].share == pytest.approx(0.75)


def lines(given: Config, device: torch.device, n_train: int = 10_000, **options: bool) -> list[str]:
    return [change.line for change in possible_changes(given, device, n_train, options.get("compile_on_cpu", False))]


def test_changes_fit_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    found = lines(config("image"), GPU)
    assert found[0] == "training.data_on_gpu=always"
    for line in ("training.precision=bf16", "training.precision=tf32", "training.compile=cudagraphs"):
        assert line in found
    assert not any("cpu_threads" in line for line in found)
    best = config("image", precision="bf16", compile="cudagraphs", deterministic=False, data_on_gpu="always")
    assert lines(best, GPU) == ["training.compile=off", "training.batch_size=16 training.effective_batch=16"]
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    assert "training.precision=fp16" in lines(config(), GPU)


def test_changes_fit_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile_changes, "n_cores", lambda: 8)
    found = lines(config(cpu_threads=2, deterministic=False), CPU)
    assert [line for line in found if "precision" not in line] == [
        "training.batch_size=16 training.effective_batch=16",
        "training.cpu_threads=8",
        "training.cpu_threads=4",
    ]
    assert "training.compile=inductor" in lines(config(), CPU, compile_on_cpu=True)
    assert "training.loader_workers=8" in lines(config("image", image_cache=False), CPU)


def test_a_larger_batch_keeps_twenty_updates_and_uses_up_accumulation_first() -> None:
    assert not any("batch_size" in line for line in lines(config(), CPU, n_train=300))
    first = next(c for c in possible_changes(config(accumulate=4), CPU, 300, False) if "batch_size" in c.line)
    assert first.line == "training.batch_size=16 training.accumulate=2"
    assert first.config.training.update_size == 32
    assert first.effect.startswith("the same updates")


@pytest.mark.long
def test_changes_are_measured_in_turns_and_only_sure_gains_are_advised(
    made: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []

    def measured(_: object, given: Config, seconds: float, by_stage: bool = False) -> FoldMeasurement:
        name = "threads" if given.training.cpu_threads == 7 else "batch" if given.training.batch_size == 16 else "now"
        name = "free" if not given.training.deterministic else name
        order.append(name)
        if name == "free":
            raise torch.OutOfMemoryError("CUDA out of memory")
        turn = order.count("batch")
        speed = {"now": 100.0, "threads": 150.0, "batch": 200.0 if turn == 1 else 90.0}[name]
        return FoldMeasurement(throughput(seconds=80 / speed), 0.0)

    monkeypatch.setattr(profiling, "measure_fold", measured)
    monkeypatch.setattr(profile_changes, "n_cores", lambda: 7)
    monkeypatch.setattr(profile_changes, "_cpu_precisions", lambda _: ())
    monkeypatch.setattr(profile_changes, "_threads", lambda c: [profile_changes._one(c, "cpu_threads", 7, "")])
    found = profile(made, resolve_config(made, parse_config(_yaml(), "")), 60, lambda _: None)
    assert order == ["now", "now", "batch", "free", "threads", "now", "batch", "threads"]
    assert [item.line for item in found.advice] == ["training.cpu_threads=7"]
    assert found.advice[0].gain == pytest.approx(0.5)
    failed = next(item for item in found.tried if item.failure)
    assert (failed.line, failed.failure) == ("training.deterministic=false", "out of memory")


def test_with_slow_updates_fewer_changes_are_tried_and_the_others_named(
    made: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(*_: object, **__: object) -> FoldMeasurement:
        return FoldMeasurement(throughput(updates=2, seconds=10.0, warm_up_seconds=5.0), 1.0)

    monkeypatch.setattr(profiling, "measure_fold", measured)
    found = profile(made, resolve_config(made, parse_config(_yaml(), "")), 20, lambda _: None)
    assert len(found.tried) == 1 and found.left_out
