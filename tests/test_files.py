from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kagglerun.errors import ConfigError, DiskFull
from kagglerun.files import atomic_path, read_json, sha256_of_file, sha256_of_json, write_json, write_text
from kagglerun.randomness import derive, generator
from kagglerun.registry import Registry


def test_an_error_while_writing_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_a_clear_error_and_the_old_file_stays(small_disk: Path) -> None:
    path = small_disk / "file.txt"
    write_text(path, "old")
    with pytest.raises(DiskFull) as caught:
        write_text(path, "x" * 200_000)
    assert str(path) in caught.value.message and "free some space" in str(caught.value.hint)
    assert path.read_text() == "old"
    assert list(small_disk.iterdir()) == [path]


def test_json_digests_do_not_depend_on_the_order_of_keys(tmp_path: Path) -> None:
    assert sha256_of_json({"a": 1, "b": [2]}) == sha256_of_json({"b": [2], "a": 1})
    write_json(tmp_path / "a.json", {"x": 1.5})
    assert read_json(tmp_path / "a.json") == {"x": 1.5}
    assert len(sha256_of_file(tmp_path / "a.json")) == 64
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "b.json", {"x": float("nan")})
    assert not (tmp_path / "b.json").exists()


def test_derived_seeds_are_functions_of_all_that_names_them() -> None:
    seeds = {
        derive(1, "order", 0),
        derive(1, "order", 1),
        derive(2, "order", 0),
        derive(1, "init", 0),
        derive(1, "o", "r"),
    }
    assert len(seeds) == 5 and derive(1, "order", 0) in seeds
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive(1, "a", "b", "c") != derive(1, "a", "bc")
    assert generator(1, "x").random() == generator(1, "x").random()


def test_a_registry_refuses_doubles_and_names_the_nearest() -> None:
    registry: Registry[int] = Registry("metric")
    registry.add("accuracy", 1)
    registry.register("auc")(2)
    assert registry.get("auc") == 2 and list(registry) == ["accuracy", "auc"] and len(registry) == 2
    with pytest.raises(ConfigError, match="twice"):
        registry.add("auc", 3)
    with pytest.raises(ConfigError) as caught:
        registry.get("acuracy")
    assert "unknown metric 'acuracy'" in caught.value.message and "'accuracy'" in str(caught.value.hint)
