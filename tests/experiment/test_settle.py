"""What a config leaves open is settled when it is resolved, told, kept, and the same when a run goes on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from experiment.made import seal, write_card

from kagglerun.cli.main import run as command
from kagglerun.config.load import load_config, parse_config
from kagglerun.config.schema import Config
from kagglerun.config.settled import keep_settled
from kagglerun.errors import ConfigError
from kagglerun.experiment.prepare import resolve_config
from kagglerun.sweep.study import prepare_study
from kagglerun.training import tune
from kagglerun.workspace import Workspace

ROWS = 240


@pytest.fixture
def made(workspace: Workspace) -> Workspace:
    """A workspace with a small table competition."""
    paths = workspace.competition("made")
    paths.data.mkdir(parents=True)
    generator = np.random.default_rng(0)
    table = pd.DataFrame(
        {"id": range(ROWS), "a": generator.normal(size=ROWS), "b": generator.choice(list("xyz"), ROWS)}
    )
    table["y"] = np.where(table["a"] > 0, "yes", "no")
    table.to_csv(paths.data / "train.csv", index=False)
    table.drop(columns="y").to_csv(paths.data / "test.csv", index=False)
    table[["id", "y"]].to_csv(paths.data / "sample_submission.csv", index=False)
    write_card(paths)
    seal(paths)
    workspace.set_current("made")
    return workspace


def config(**training: object) -> Config:
    values = {
        "model": {"kind": "tabular_neural", "width": 8, "depth": 1},
        "cv": {"n_splits": 3},
        "training": {"epochs": 1, "batch_size": "auto", "device": "cpu", **training},
    }
    return parse_config(values, "test")


def test_batch_size_precision_and_compile_are_settled_and_told_in_one_line(made: Workspace) -> None:
    told: list[str] = []
    resolved = resolve_config(made, config(), told.append)
    assert resolved.training.batch_size == 8, "160 training rows leave 20 updates of 8"
    assert (resolved.training.precision, resolved.training.compile) == ("fp32", "off")
    assert len(told) == 1 and told[0].startswith("batch_size=8 (limited by 20 updates an epoch")
    told.clear()
    assert resolve_config(made, resolved, told.append) == resolved
    assert told == [], "nothing was left open"


def test_the_answer_is_kept_in_the_cache_for_the_next_run(made: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    first = resolve_config(made, config())

    def measured(_: object) -> tuple[int, int]:
        raise AssertionError("measured again")

    monkeypatch.setattr(tune, "cpu_bytes", measured)
    assert resolve_config(made, config()) == first
    assert list(made.measurements.iterdir())


def test_a_given_effective_batch_stays(made: Workspace) -> None:
    training = resolve_config(made, config(effective_batch=24)).training
    assert training.step_size * training.accumulate == training.effective_batch == 24


def test_models_without_steps_get_the_usual_batch(made: Workspace) -> None:
    trees = config().model_copy(update={"model": parse_config({"model": {"kind": "tabular_boosting"}}, "test").model})
    assert resolve_config(made, trees).training.batch_size == 64


def test_a_run_goes_on_with_what_it_settled_wherever_that_is(
    made: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made.sweeps / "open.yaml"
    path.write_text(
        "model: {kind: tabular_neural, width: 8, depth: 1}\ncv: {n_splits: 3}\n"
        "training: {epochs: 1, batch_size: auto, device: cpu}\n",
        "utf-8",
    )
    assert command(["train", "open.yaml", "--run", "first"]) == 0
    assert "batch_size=8" in "".join(capsys.readouterr())
    frozen = load_config(made.run("made", "first").config)
    assert frozen.training.batch_size == 8
    # On a machine with little memory another batch would be found; the run keeps its own.
    for kept in made.measurements.iterdir():
        kept.unlink()
    monkeypatch.setattr(tune, "available_memory", lambda: 1)
    assert command(["train", "open.yaml", "--run", "first"]) == 0
    assert load_config(made.run("made", "first").config) == frozen


def test_what_the_user_wrote_is_not_replaced_by_what_was_settled() -> None:
    before = config(batch_size=32, precision="bf16", cpu_threads=3)
    now = keep_settled(config(precision="fp32"), before).training
    assert (now.batch_size, now.precision, now.cpu_threads) == (32, "fp32", 3)


def test_a_study_that_goes_on_keeps_its_batch_size(made: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    searched = config().model_copy(
        update={"sweep": parse_config({"sweep": {"search": {"optimizer.lr": {"low": 1e-4, "high": 1e-2}}}}, "t").sweep}
    )
    _, first = prepare_study(made, searched)
    monkeypatch.setattr(tune, "find_batch_size", None)
    _, again = prepare_study(made, searched)
    assert again.config == first.config and first.config.training.batch_size == 8


def test_measurements_of_another_model_are_others(made: Workspace, tmp_path: Path) -> None:
    resolve_config(made, config())
    wider = {"kind": "tabular_neural", "width": 16, "depth": 1}
    resolve_config(made, config().model_copy(update={"model": parse_config({"model": wider}, "t").model}))
    assert len(list(made.measurements.iterdir())) == 2


def test_what_only_a_gpu_can_do_is_told_to_have_no_effect_on_a_cpu(made: Workspace) -> None:
    told: list[str] = []
    resolve_config(made, config(batch_size=8, data_on_gpu="always", compile="cudagraphs"), told.append)
    assert told == ["without a GPU training.compile=cudagraphs and training.data_on_gpu=always have no effect"]


def test_an_automatic_batch_size_and_a_search_over_the_effective_batch_exclude_each_other(made: Workspace) -> None:
    searched = config().model_dump(mode="json") | {"sweep": {"search": {"training.effective_batch": [16, 32]}}}
    with pytest.raises(ConfigError, match="the search varies"):
        resolve_config(made, parse_config(searched, "test"))


def test_far_more_processes_than_cores_are_refused(made: Workspace) -> None:
    with pytest.raises(ConfigError, match="gpus is 64, but this machine has"):
        resolve_config(made, config(batch_size=1, gpus=64))
