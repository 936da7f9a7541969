"""Files between the coordinator's workspace and a node's own one; the calls go without Ray."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kagglerun.config.load import parse_config
from kagglerun.errors import DataError
from kagglerun.files import write_json
from kagglerun.sweep.objective import TrialTask
from kagglerun.sweep.pruning.rule import StopRule
from kagglerun.sweep.ray import exchange as exchange_module
from kagglerun.sweep.ray.exchange import Exchange
from kagglerun.sweep.ray.files_on_node import FilesOnNode
from kagglerun.sweep.ray.home import NODE_FOLDER, make_home, workspace_on_node
from kagglerun.sweep.ray.slot import newest_epoch_only
from kagglerun.sweep.workers import EpochDone, FoldDone
from kagglerun.workspace import CompetitionPaths, Workspace
from tests.experiment.made import seal, write_card


class Node:
    """A node's end, and what was called."""

    def __init__(self, folder: Path) -> None:
        self.workspace = Workspace(folder)
        self._files = FilesOnNode(self.workspace)
        self.called: list[str] = []

    def __call__(self, method: str, *arguments: Any) -> Any:
        self.called.append(method)
        return getattr(self._files, method)(*arguments)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "node")


@pytest.fixture
def competition(workspace: Workspace) -> CompetitionPaths:
    paths = workspace.competition("made")
    paths.data.mkdir(parents=True)
    for name, text in {"train.csv": "a" * 1000, "test.csv": "b" * 10, "sample_submission.csv": ""}.items():
        (paths.data / name).write_text(text)
    write_card(paths)
    seal(paths)
    return paths


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_node_gets_the_competition_once(workspace: Workspace, competition: CompetitionPaths, node: Node) -> None:
    exchange = Exchange(workspace, "made")
    exchange.send_competition(node, "n")
    there = node.workspace.competition("made")
    assert content(there.folder) == content(competition.folder)
    node.called.clear()
    exchange.send_competition(node, "n")
    assert node.called == ["missing"]


def test_large_files_go_in_pieces(
    workspace: Workspace, competition: CompetitionPaths, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange_module, "_PIECE_BYTES", 64)
    Exchange(workspace, "made").send_competition(node, "n")
    assert content(node.workspace.competition("made").folder) == content(competition.folder)


def test_what_was_damaged_on_the_way_or_here_is_refused(
    workspace: Workspace, competition: CompetitionPaths, node: Node
) -> None:
    (competition.data / "train.csv").write_text("c" * 1000)
    with pytest.raises(DataError, match=r"train\.csv is not what its manifest says"):
        Exchange(workspace, "made").send_competition(node, "n")
    assert not node.workspace.competition("made").manifest.exists()


def test_a_file_of_a_node_that_was_lost_half_way_is_sent_again(
    workspace: Workspace, competition: CompetitionPaths, node: Node
) -> None:
    Exchange(workspace, "made").send_competition(node, "n")
    there = node.workspace.competition("made")
    (there.data / "train.csv").write_text("short")
    there.manifest.unlink()
    Exchange(workspace, "made").send_competition(node, "n")
    assert content(there.folder) == content(competition.folder)


def test_a_trial_takes_its_folds_along_and_leaves_nothing_behind(workspace: Workspace, node: Node) -> None:
    exchange = Exchange(workspace, "made")
    task = TrialTask(3, "s-0003", parse_config({"competition": "made"}, "test"), None, {}, StopRule(rival="s-0001"))
    rival, run = workspace.run("made", "s-0001"), workspace.run("made", "s-0003")
    for path in (rival.fold(0).oof, rival.fold(0).weights, rival.oof, run.fold(0).result):
        write_json(path, [str(path)])
    exchange.send_task(node, task)
    there = node.workspace.run("made", "s-0003")
    assert content(there.folder) == content(run.folder)
    assert set(content(node.workspace.run("made", "s-0001").folder)) == {"folds/0/oof.parquet", "oof.parquet"}

    write_json(there.fold(1).checkpoints / "1.json", 1)
    write_json(there.fold(1).result, 1)
    write_json(there.fold(2).checkpoints / "1.json", 1)
    write_json(there.journal, 1)
    exchange.fetch_fold(node, "s-0003", 1)
    assert set(content(run.folder)) == {"folds/0/result.json", "folds/1/result.json", "journal.jsonl"}

    exchange.fetch_run(node, "s-0003")
    assert run.fold(2).checkpoints.joinpath("1.json").is_file()
    assert not there.folder.exists()

    exchange.send_task(node, task)
    (there.fold(2).checkpoints / "1.json").unlink()
    write_json(there.metrics, 1)
    exchange.fetch_run(node, "s-0003")
    assert run.metrics.is_file() and not run.fold(2).checkpoints.joinpath("1.json").exists()


def test_a_file_that_vanishes_while_a_run_is_fetched_is_left_out(workspace: Workspace, node: Node) -> None:
    there = node.workspace.run("made", "s-0000")
    write_json(there.metrics, 1)
    write_json(there.journal, 1)

    def call(method: str, *arguments: Any) -> Any:
        if method == "read":
            there.journal.unlink(missing_ok=True)
        return node(method, *arguments)

    Exchange(workspace, "made").fetch_run(call, "s-0000")
    assert set(content(workspace.run("made", "s-0000").folder)) == {"metrics.json"}


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "runs/../../outside"])
def test_no_file_outside_a_workspace_is_read_or_written(node: Node, name: str) -> None:
    for method, arguments in (("read", (name, 0, 1)), ("store", ({name: (0, b"x")},))):
        with pytest.raises(DataError, match="does not lie in the workspace"):
            node(method, *arguments)


def test_a_node_sees_by_the_token_that_it_shares_the_workspace(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = workspace.study("made", "made-s")
    home = make_home(workspace, paths)
    assert workspace_on_node(home) == (workspace, True)
    monkeypatch.setenv(NODE_FOLDER, str(tmp_path / "fast disk"))
    own, shares = workspace_on_node(home)
    assert not shares and own.root.parent == tmp_path / "fast disk" and own.looks_like_one()
    monkeypatch.delenv(NODE_FOLDER)
    make_home(workspace, paths)  # another attempt of the coordinator, or another workspace at this path
    own, shares = workspace_on_node(home)
    assert not shares and own.root.is_relative_to(Path.home())


def test_of_epochs_in_a_row_the_last_is_told_and_nothing_else_is_left_out() -> None:
    epochs = [EpochDone(1, 0, epoch, 9) for epoch in range(3)]
    fold = FoldDone(1, 0, 3, 0.5)
    assert newest_epoch_only([]) == ()
    assert newest_epoch_only([*epochs, fold, epochs[0]]) == (epochs[2], fold, epochs[0])
