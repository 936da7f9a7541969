"""What a session keeps, and what the next one takes up."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from kagglerun.errors import NotebookError
from kagglerun.notebooks import keep
from kagglerun.notebooks.keep import Keeper, Store, files_below, find_stores


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace with one run in work."""
    run = tmp_path / "workspace/runs/made/a"
    _write(run / "folds/0/result.json", "{}")
    _write(run / "folds/0/weights.safetensors", "w" * 100)
    _write(run / "folds/1/checkpoints/00000006/rest.pt", "six")
    _write(run / "folds/1/checkpoints/00000007/rest.pt", "seven")
    _write(run / "folds/1/checkpoints/00000004.0/rest.pt", "a border")
    _write(run / "journal.jsonl", '{"a": 1}\n')
    return tmp_path / "workspace"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "drive/kagglerun/a")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _keeper(root: Path, store: Store, *earlier: Store) -> Keeper:
    return Keeper(root, [root / "runs/made"], store, earlier)


def _texts(root: Path) -> dict[str, str]:
    return {path.relative_to(root).as_posix(): path.read_text() for path in root.rglob("*") if path.is_file()}


def test_another_session_gets_the_same_files_and_of_checkpoints_the_newest_and_the_borders(
    root: Path, store: Store, tmp_path: Path
) -> None:
    _keeper(root, store).save()
    other = tmp_path / "other"
    other.mkdir()
    taken = _keeper(other, store).take_up()
    assert taken is not None
    assert taken.state.number == 1
    expected = _texts(root)
    del expected["runs/made/a/folds/1/checkpoints/00000006/rest.pt"]
    assert _texts(other) == expected


def test_unchanged_work_makes_no_new_state_and_a_content_is_kept_once(root: Path, store: Store) -> None:
    keeper = _keeper(root, store)
    _write(root / "runs/made/b/weights.safetensors", "w" * 100)
    assert keeper.save() == 1
    assert keeper.save() is None
    state = store.read_states()[0]
    assert len(state.files) == 6
    assert len(list(store.contents.iterdir())) == 5


def test_two_states_stay_and_nothing_that_none_of_them_has(root: Path, store: Store) -> None:
    keeper = _keeper(root, store)
    for number in range(1, 6):
        _write(root / "runs/made/a/journal.jsonl", f"{number}\n" * 1000)
        assert keeper.save() == number
    assert [state.number for state in store.read_states()] == [5, 4]
    needed = {file.sha256 for state in store.read_states() for file in state.files}
    assert {path.name for path in store.contents.iterdir()} == needed


@pytest.mark.parametrize("damage", ["missing", "cut", "changed", "list cut"])
def test_state_whose_upload_did_not_end_gives_way_to_the_one_before(
    root: Path, store: Store, tmp_path: Path, damage: str
) -> None:
    keeper = _keeper(root, store)
    keeper.save()
    _write(root / "runs/made/a/journal.jsonl", "second\n")
    keeper.save()
    newest = store.read_states()[0]
    path = store.content(next(file for file in newest.files if file.name.endswith("journal.jsonl")))
    if damage == "missing":
        path.unlink()
    elif damage == "list cut":
        store.list_file(newest.number).write_text('{"number": 2, "fi')
    else:
        path.write_text("sec" if damage == "cut" else "sEcond\n")
    other = tmp_path / "other"
    taken = _keeper(other, store).take_up()
    assert taken is not None
    assert taken.state.number == 1
    assert (other / "runs/made/a/journal.jsonl").read_text() == '{"a": 1}\n'
    assert not (other / ".taking-up").exists()


def test_without_a_whole_state_it_is_an_error_and_not_a_new_beginning(root: Path, store: Store, tmp_path: Path) -> None:
    _keeper(root, store).save()
    shutil.rmtree(store.contents)
    with pytest.raises(NotebookError, match="no state is whole"):
        _keeper(tmp_path / "other", store).take_up()
    assert not (tmp_path / "other/runs").exists()


def test_nothing_kept_is_nothing_taken_up(root: Path, store: Store) -> None:
    assert _keeper(root, store).take_up() is None


def test_states_go_on_counting_from_what_another_session_left(root: Path, store: Store, tmp_path: Path) -> None:
    keeper = _keeper(root, store)
    keeper.save()
    _write(root / "runs/made/a/journal.jsonl", "second\n")
    keeper.save()
    mounted = tmp_path / "input/notebooks/me/mine/kagglerun/a"
    shutil.copytree(store.folder, mounted)
    shutil.rmtree(store.folder)
    earlier = list(find_stores([tmp_path / "input"], "a"))
    assert [found.folder for found in earlier] == [mounted]
    other = tmp_path / "other"
    next_keeper = _keeper(other, store, *earlier)
    assert next_keeper.take_up() is not None
    _write(other / "runs/made/a/journal.jsonl", "third\n")
    assert next_keeper.save() == 3


def test_proofs_are_read_before_what_they_prove(root: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fold ends while the state is being taken: its result is not in it, unless all that it vouches for is."""
    run = root / "runs/made/a"
    read: list[str] = []
    original = Keeper._copy

    def copy(self: Keeper, path: Path) -> keep.KeptFile:
        read.append(path.name)
        return original(self, path)

    for name in ("status.json", "metrics.json", "oof.parquet", "fingerprint.json"):
        _write(run / name, "{}")
    monkeypatch.setattr(Keeper, "_copy", copy)
    _keeper(root, store).save()
    order = [read.index(name) for name in ("status.json", "metrics.json", "result.json", "fingerprint.json")]
    assert order == sorted(order)
    assert max(order) < min(read.index(name) for name in ("oof.parquet", "weights.safetensors", "journal.jsonl"))


def test_file_that_goes_away_meanwhile_lets_it_look_again(
    root: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fold ended: its checkpoints went after they were listed."""
    original, gone = Keeper._in_order, root / "runs/made/a/folds/1/checkpoints"

    def in_order(self: Keeper) -> list[Path]:
        found = original(self)
        if gone.exists():
            shutil.rmtree(gone)
            _write(root / "runs/made/a/folds/1/result.json", "{}")
        return found

    monkeypatch.setattr(Keeper, "_in_order", in_order)
    _keeper(root, store).save()
    names = {file.name for file in store.read_states()[0].files}
    assert "runs/made/a/folds/1/result.json" in names
    assert not any("checkpoints" in name for name in names)


def test_large_file_is_kept_whole(root: Path, store: Store, tmp_path: Path) -> None:
    content = bytes(range(256)) * 9000
    (root / "runs/made/a/large.bin").write_bytes(content)
    _keeper(root, store).save()
    other = tmp_path / "other"
    _keeper(other, store).take_up()
    assert (other / "runs/made/a/large.bin").read_bytes() == content
    assert not [path for path in store.contents.iterdir() if not path.name.isalnum()]


def test_kill_while_keeping_leaves_the_state_before(root: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = _keeper(root, store)
    keeper.save()
    _write(root / "runs/made/a/journal.jsonl", "second\n")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Keeper, "_write", killed)
    with pytest.raises(KeyboardInterrupt):
        keeper.save()
    assert [state.number for state in store.read_states()] == [1]


def test_state_that_names_files_outside_the_workspace_is_not_taken_up(root: Path, store: Store, tmp_path: Path) -> None:
    _keeper(root, store).save()
    listed = store.list_file(1)
    said = json.loads(listed.read_text())
    said["files"][0]["name"] = "../../outside"
    listed.write_text(json.dumps(said))
    with pytest.raises(NotebookError):
        _keeper(tmp_path / "other", store).take_up()
    assert not (tmp_path / "outside").exists()


def test_locks_and_half_written_files_are_not_kept(root: Path) -> None:
    run = root / "runs/made/a"
    for name in ("lock", ".oof.parquet.123.tmp", "token"):
        _write(run / name, "x")
    names = {path.name for path in files_below(root / "runs")}
    assert names.isdisjoint({"lock", ".oof.parquet.123.tmp", "token"})
