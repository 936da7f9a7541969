"""Several processes that share each update give what one gives, repeat bit for bit, and survive kills."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training.teams import LOST_PEER, OUT_OF_MEMORY, Case, bits, checkpoints, kill, result, run, start
from tests.training.teams import wait_for_checkpoint as wait_for

TWO = {"gpus": 2, "batch_size": 4}


@pytest.fixture(autouse=True)
def quiet_processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the processes inherit."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield
    assert "WORLD_SIZE" not in os.environ


def test_two_processes_give_what_one_gives_with_the_same_effective_batch(tmp_path: Path) -> None:
    one = Case(tmp_path / "one", {"batch_size": 8})
    two = Case(tmp_path / "two", {**TWO, "micro_batch": 3})
    assert run(one, 1) == [0] and run(two, 2) == [0, 0]
    (weights, [history, _]), (theirs, [their_history, _]) = result(one), result(two)
    for name, values in weights.items():
        torch.testing.assert_close(theirs[name], values, rtol=0, atol=2e-6)
    for mine, other in zip(history, their_history, strict=True):
        assert other["valid_score"] == pytest.approx(mine["valid_score"], abs=1e-5)
        assert other["train_loss"] == pytest.approx(mine["train_loss"], abs=1e-5)


def test_a_team_repeats_bit_for_bit_and_all_its_processes_agree(tmp_path: Path) -> None:
    cases = [Case(tmp_path / name, {**TWO, "accumulate": 2}, net="norm") for name in ("first", "second")]
    for case in cases:
        assert run(case, 2) == [0, 0]
    assert bits(cases[0]) == bits(cases[1])
    (weights, history), (theirs, their_history) = result(cases[0], 0), result(cases[0], 1)
    assert history == their_history
    assert all(torch.equal(theirs[name], values) for name, values in weights.items())


@pytest.mark.parametrize("rows", [37, 5])
def test_predictions_are_the_same_bits_in_order_for_any_number_of_processes(tmp_path: Path, rows: int) -> None:
    """37 rows are five batches of 8, 5 rows are one: neither divides by 2 or 3."""
    seen = set()
    for size in (1, 2, 3):
        case = Case(tmp_path / str(size), n_valid=rows, only_predicts=True)
        assert run(case, size) == [0] * size
        seen |= {(case.folder / f"logits-{rank}").read_bytes() for rank in range(size)}
    assert len(seen) == 1 and len(seen.pop()) == 4 * rows


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A training that nobody kills."""
    training = {**TWO, "epochs": 25, "checkpoint_seconds": 0.01, "accumulate": 2}
    case = Case(tmp_path_factory.mktemp("whole"), training, net="norm")
    assert run(case, 2) == [0, 0]
    return case


@pytest.mark.parametrize("victims", [(0, 1), (1,), (0,)], ids=["both", "second", "first"])
def test_killed_at_random_moments_and_resumed_gives_the_same_bits(
    tmp_path: Path, whole: Case, victims: tuple[int, ...]
) -> None:
    killed = replace(whole, folder=tmp_path)
    moments = random.Random(str(victims))
    for _ in range(2):
        team = start(killed, 2)
        wait_for(killed, checkpoints(killed))
        time.sleep(moments.uniform(0, 0.15))
        kill(team, victims)
        survivors = {team[rank].exitcode for rank in (0, 1) if rank not in victims}
        assert survivors <= {0, LOST_PEER}
    assert run(killed, 2) == [0, 0]
    assert bits(killed) == bits(whole)


def test_a_loss_that_is_not_finite_ends_every_process_with_the_same_error(tmp_path: Path) -> None:
    case = Case(tmp_path / "bad", TWO, bad_sample=5)
    assert run(case, 2) == [1, 1]
    errors = [json.loads((case.folder / f"error-{rank}.json").read_text()) for rank in (0, 1)]
    assert errors[0] == errors[1] and errors[0][0] == "NonFiniteLoss" and "the update was not made" in errors[0][1]


def test_memory_that_runs_out_in_one_process_restarts_all_with_half_the_forward_pass(tmp_path: Path) -> None:
    plain = Case(tmp_path / "plain", TWO)
    assert run(plain, 2) == [0, 0]
    short = replace(plain, folder=tmp_path / "short", full_from=4)
    first = start(short, 2)
    first[1].join(60)
    assert first[1].exitcode == OUT_OF_MEMORY
    kill(first, [0])
    assert run(short, 2) == [0, 0]
    (weights, _), (theirs, [_, notes]) = result(plain), result(short)
    for name, values in weights.items():
        torch.testing.assert_close(theirs[name], values, rtol=0, atol=2e-6)
    assert len(notes) == 1 and "2 samples a forward pass instead of 4" in notes[0]
