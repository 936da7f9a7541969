"""Children that train the folds of a tiny run and are killed: by their parent at any moment, or by their own trap.

Everything is real: the process, its SIGKILL, the files that it leaves. A trap only chooses the moment.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch

import kagglerun.experiment.fold as fold_module
import kagglerun.models.neural as neural
import kagglerun.training.checkpoint as checkpoint
import kagglerun.training.loop as loop
import kagglerun.training.predict as predict
from kagglerun.config.load import load_config, save_config
from kagglerun.experiment.prepare import prepare
from kagglerun.experiment.rerun.tiny_competition import tiny_config
from kagglerun.files import read_json, sha256_of_file
from kagglerun.training.ema import WeightAverage
from kagglerun.training.process_team import has_lost_peer, join_team, leave_team
from kagglerun.training.step import Stepper
from kagglerun.workspace import Workspace

PEER_LOST = 3
"""Exit code of a process whose team is not whole any more."""
SLUGS = {"image": "tiny-image", "table": "tiny-table"}


def attempt(root: str, config_name: str, run_id: str, trap: str = "") -> int:
    """Train what is left of a run's folds; killed at the trap, if one is given as `name:which time`."""
    try:
        _train(Workspace(Path(root)), config_name, run_id, trap)
    except RuntimeError as error:
        if not has_lost_peer(error):
            raise
        return PEER_LOST
    return 0


def _train(workspace: Workspace, config_name: str, run_id: str, trap: str) -> None:
    config = load_config(workspace.sweeps / f"{config_name}.yaml")
    if config.training.gpus > 1:
        _fork_team(config.training.gpus, workspace.root / run_id)
        join_team("cpu")
    prepared = prepare(workspace, config)
    assert config.competition is not None
    paths = workspace.run(config.competition, run_id)
    if trap:
        name, _, which = trap.partition(":")
        TRAPS[name](int(which))
    for number in prepared.chosen_folds:
        fold_module.run_fold(prepared, number, paths.fold(number), lambda *_: None, lambda _: False)
        _between_folds()
    leave_team()


def write_config(workspace: Workspace, name: str, kind: str, **training: object) -> None:
    """Write a resolved config for `attempt`."""
    save_config(workspace.sweeps / f"{name}.yaml", tiny_config(workspace, kind, **training))


def bits(workspace: Workspace, kind: str, run_id: str) -> dict[str, Any]:
    """All that a finished run's folds have left, but for the time it took."""
    found: dict[str, Any] = {}
    for number in (0, 1):
        fold = workspace.run(SLUGS[kind], run_id).fold(number)
        result = read_json(fold.result)
        del result["seconds"]
        found[f"{number} result"] = result
        for path in (fold.weights, fold.oof, fold.test, fold.digests):
            found[f"{number} {path.name}"] = sha256_of_file(path)
        assert not fold.checkpoints.exists()
    return found


def _fork_team(size: int, said: Path) -> None:
    """Become one of `size` processes of one session, as torchrun would start them; the last one's pid is written."""
    rank = 0
    for number in range(1, size):
        pid = os.fork()
        if pid == 0:
            rank = number
            break
        said.with_suffix(".pid").write_text(str(pid))
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(size))
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=said.with_suffix(".port").read_text())


def _die() -> None:
    os.killpg(0, signal.SIGKILL)


def _between_folds() -> None:
    """Where a fold has ended and the next has not begun; a trap may stand here."""


def _trap(owner: Any, name: str, before: bool = True) -> Callable[[int], None]:
    """A trap that dies when a function is called for the nth time, before or after what it does."""

    def set_trap(which: int) -> None:
        original, count = getattr(owner, name), 0

        def trapped(*arguments: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            if before and count == which:
                _die()
            result = original(*arguments, **named)
            if count == which:
                _die()
            return result

        setattr(owner, name, trapped)

    return set_trap


def _half_removed(which: int) -> None:
    """Die when one file of the nth folder that is removed is gone."""
    original, count = shutil.rmtree, 0

    def trapped(path: Any, *arguments: Any, **named: Any) -> None:
        nonlocal count
        if Path(path).is_dir():
            count += 1
            if count == which:
                next(file for file in sorted(Path(path).rglob("*")) if file.is_file()).unlink()
                _die()
        original(path, *arguments, **named)

    checkpoint.shutil.rmtree = trapped  # type: ignore[assignment]


def _half_written(which: int) -> None:
    """Die when the nth file of weights is written by half."""
    original, count = safetensors.torch.save_file, 0

    def trapped(tensors: Any, path: Any) -> None:
        nonlocal count
        count += 1
        original(tensors, path)
        if count == which:
            content = Path(path).read_bytes()
            Path(path).write_bytes(content[: len(content) // 2])
            _die()

    safetensors.torch.save_file = trapped


TRAPS: dict[str, Callable[[int], None]] = {
    "after the backward pass": _trap(Stepper, "_step"),
    "between step and average": _trap(WeightAverage, "update"),
    "in the validation": _trap(predict, "_predict", before=False),
    "before an epoch counts": _trap(loop, "_remember_best"),
    "weights of a checkpoint by half": _half_written,
    "before a checkpoint's manifest": _trap(checkpoint, "write_json"),
    "before a checkpoint's name": _trap(Path, "replace"),
    "after a checkpoint's name": _trap(checkpoint, "_numbered", before=False),
    "an old checkpoint removed by half": _half_removed,
    "the fold's weights written": _trap(neural, "save_weights", before=False),
    "one of its predictions written": _trap(fold_module, "write_predictions", before=False),
    "before its result": _trap(fold_module, "write_json"),
    "after its result": _trap(checkpoint.Checkpoints, "delete"),
    "between folds": _trap(__import__(__name__, fromlist=["x"]), "_between_folds"),
}
"""Name to what sets the trap for the nth time."""

PHASES_OF_TRAPS = {
    **dict.fromkeys(("after the backward pass", "between step and average"), "an update"),
    **dict.fromkeys(("in the validation", "before an epoch counts"), "a validation"),
    **dict.fromkeys([name for name in TRAPS if "checkpoint" in name], "a checkpoint's writing"),
    **dict.fromkeys([name for name in TRAPS if name.startswith(("the fold's", "one of its"))], "a fold's result"),
    **dict.fromkeys(("before its result", "after its result"), "a fold's result"),
    "between folds": "start and end of a fold",
}

_PHASES = (
    ("a checkpoint's writing", r"checkpoint\.py.* in (_write|_write_whole|_write_files|_what_the_system_said)"),
    ("an update", r"step\.py.* in |loop\.py.* in _train_epoch"),
    ("a validation", r"loop\.py.* in _evaluate"),
    ("predictions after training", r"neural\.py.* in predict_neural"),
    ("a fold's result", r"fold\.py.* in _write|neural\.py.* in fit_neural|checkpoint\.py.* in delete"),
    ("start and end of a fold", r"fold\.py|killing\.py.* in attempt"),
)


def phases_of(stack: str) -> list[str]:
    """What a child was doing, from the stacks of all its threads as faulthandler writes them."""
    found = [next((name for name, sign in _PHASES if re.search(sign, part)), None) for part in stack.split("\n\n")]
    return [name for name in dict.fromkeys(found) if name] or ["the process's birth"]
