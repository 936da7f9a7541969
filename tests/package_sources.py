"""The package's source files, parsed once, for the tests that hold its rules."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "kagglerun"


@dataclass(frozen=True)
class Import:
    """One import of a source file.

    Attributes:
        module: the dotted name imported, as far as it can be a module: `kagglerun.errors`, `numpy.random`.
        line: where.
        on_import: it runs when the file is imported, not only in a function or for type checkers.
    """

    module: str
    line: int
    on_import: bool


@dataclass(frozen=True)
class Source:
    """One source file of the package."""

    path: Path
    tree: ast.Module

    @property
    def name(self) -> str:
        """Path in the package: `cli/main.py`."""
        return self.path.relative_to(PACKAGE).as_posix()

    @property
    def component(self) -> str:
        """First folder, or the file's name: `cli`, `errors`."""
        return self.name.split("/")[0].removesuffix(".py")

    def imports(self) -> list[Import]:
        """Every import, also those in functions."""
        return list(_imports(self.tree, on_import=True))


@cache
def sources() -> tuple[Source, ...]:
    """All source files of the package."""
    return tuple(Source(path, ast.parse(path.read_text("utf-8"))) for path in sorted(PACKAGE.rglob("*.py")))


def _imports(node: ast.AST, on_import: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, child.lineno, on_import) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"relative import in line {child.lineno}"
            yield from (Import(f"{child.module}.{alias.name}", child.lineno, on_import) for alias in child.names)
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _imports(child, on_import=False)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            for statement in child.body:
                yield from _imports(ast.Module([statement], []), on_import=False)
            for statement in child.orelse:
                yield from _imports(ast.Module([statement], []), on_import=on_import)
        else:
            yield from _imports(child, on_import)
