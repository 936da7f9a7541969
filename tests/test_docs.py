"""Every command has help and stands in the README; every public name says what it is; sizes stay readable."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import typer
from package_sources import ROOT, Source, sources

from kagglerun.cli.main import app

_LONGEST_MODULE = 350
_LONGEST_FUNCTION = 60
_AVOIDED_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}


def _commands(group: typer.Typer, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for command in group.registered_commands:
        assert command.callback is not None
        name = command.name or command.callback.__name__.replace("_", "-")
        yield f"{prefix}{name}", command.callback
    for inner in group.registered_groups:
        assert inner.typer_instance is not None
        name = inner.name or inner.typer_instance.info.name
        yield from _commands(inner.typer_instance, f"{prefix}{name} ")


_COMMANDS = dict(_commands(app))


@pytest.mark.parametrize("name", _COMMANDS)
def test_command_and_each_of_its_options_have_help(name: str) -> None:
    command = _COMMANDS[name]
    assert inspect.getdoc(command), name
    for parameter, hint in get_type_hints(command, include_extras=True).items():
        if parameter != "return" and hint is not typer.Context:
            told = [getattr(extra, "help", None) for extra in getattr(hint, "__metadata__", ())]
            assert any(told), f"kagglerun {name}: {parameter} has no help"


@pytest.mark.parametrize("name", _COMMANDS)
def test_command_stands_in_the_readme(name: str) -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert re.search(rf"kagglerun {re.escape(name)}\b", readme), f"README.md does not name `kagglerun {name}`"


def test_there_are_commands() -> None:
    assert len(_COMMANDS) > 10


def test_commands_that_the_code_names_exist() -> None:
    groups = {name.split()[0] for name in _COMMANDS if " " in name}
    for source in sources():
        for named in re.findall(r"`kagglerun ([a-z]+(?: [a-z]+)?)", source.path.read_text("utf-8")):
            first = named.split()[0]
            known = named in _COMMANDS if first in groups and " " in named else first in {*_COMMANDS, *groups}
            assert known, f"{source.name} names `kagglerun {named}`"


@pytest.mark.parametrize("source", sources(), ids=lambda source: source.name)
def test_public_names_are_documented(source: Source) -> None:
    assert ast.get_docstring(source.tree), f"{source.name} has no docstring"
    for owner, node in _public(source.tree):
        assert ast.get_docstring(node), f"{source.name}:{node.lineno} {owner}{node.name} has no docstring"


def _public(tree: ast.AST, owner: str = "") -> Iterator[tuple[str, Any]]:
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("_"):
            continue
        yield owner, node
        if isinstance(node, ast.ClassDef):
            yield from _public(node, f"{node.name}.")


@pytest.mark.parametrize("source", sources(), ids=lambda source: source.name)
def test_modules_and_functions_stay_short(source: Source) -> None:
    lines = len(source.path.read_text("utf-8").splitlines())
    assert lines <= _LONGEST_MODULE, f"{source.name} has {lines} lines"
    assert source.path.stem not in _AVOIDED_NAMES
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= _LONGEST_FUNCTION, f"{source.name}:{node.lineno} {node.name} has {length} lines"


_LOCKS = sorted((ROOT / "kagglerun/environment").rglob("*.lock"))


@pytest.mark.parametrize("path", _LOCKS, ids=lambda path: path.name)
def test_lock_holds_no_address_and_every_package_has_hashes(path: Path) -> None:
    lock = path.read_text("utf-8")
    assert "://" not in lock
    assert "file:" not in lock
    packages = re.findall(r"^([a-z0-9][a-z0-9._-]*)==", lock, re.MULTILINE)
    assert len(packages) > (10 if path.parent.name == "torch" else 50)
    assert len(packages) == len(re.findall(r"^\S.*\\\n    --hash=sha256:", lock, re.MULTILINE))


def test_lock_holds_what_the_package_asks_for() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    for path, left_out in (("requirements.lock", "image"), ("image.lock", "dev")):
        wanted = [*project["dependencies"], *(one for extra in extras if extra != left_out for one in extras[extra])]
        lock = (ROOT / "kagglerun/environment" / path).read_text("utf-8")
        for requirement in wanted:
            name = re.split(r"[<>=\[; ]", requirement)[0]
            assert name == project["name"] or f"\n{name}==" in f"\n{lock}", f"{name} is not in {path}: make lock"


def test_every_make_target_lists_itself() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert targets is not None
    for target in targets.group(1).split():
        assert re.search(rf"^{target}:.*## \S", makefile, re.MULTILINE), f"make {target} has no description"
