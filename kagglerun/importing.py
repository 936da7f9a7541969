"""A user's own code: where it is imported, and how its errors name file and line."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import linecache
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from kagglerun.errors import ConfigError

OWN_MODULES = "kagglerun_hooks_"
"""How the names of modules begin that were made of a user's file."""


_digest_of_module: dict[str, str] = {}
"""Modules that a dotted path led to, and the digest of the file that they were imported from."""


def import_file(path: Path) -> ModuleType:
    """Import a file of the user's.

    Raises:
        ConfigError: it fails; the message names file and line.
    """
    name = f"{OWN_MODULES}{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path, loader=_FromSource(name, str(path)))
    if spec is None or spec.loader is None or not path.is_file():
        raise ConfigError(f"there is no Python file {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses in the file look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ConfigError(f"{place_of(error, path)} failed: {describe(error)}") from error
    return module


class _FromSource(SourceFileLoader):
    """Compiles anew each time: bytecode is told from its source by second and size, and an edit may change neither."""

    def get_code(self, fullname: str) -> CodeType:
        """The code of the file as it stands."""
        path = self.get_filename(fullname)
        linecache.checkcache(path)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


def import_dotted(dotted: str) -> Any:
    """The object that a dotted path names, `package.module.name`; modules of the current folder are found too.

    A module whose file changed since it was imported is imported again, so that a server need not be started again;
    modules that it imports stay as they are.

    Raises:
        ConfigError: there is no such module or name, or importing it fails.
    """
    module_name, _, name = dotted.rpartition(".")
    try:
        with _current_folder_searched():
            module = _import_current(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise ConfigError(f"importing {module_name} failed: {describe(error)}") from error
        raise ConfigError(
            f"{dotted!r}: there is no module {error.name!r}", hint="install it, or write the code into hooks.py"
        ) from error
    except Exception as error:
        raise ConfigError(f"importing {module_name} failed: {describe(error)}") from error
    if not hasattr(module, name):
        raise ConfigError(f"{dotted!r}: the module {module_name} has no {name!r}")
    return getattr(module, name)


def names_defined(path: Path) -> frozenset[str]:
    """Functions, classes and names that a file defines at its top, without running it; none for a file that is broken.

    Raises:
        ConfigError: it is no Python; the message names file and line.
    """
    try:
        tree = ast.parse(path.read_text("utf-8"))
    except (SyntaxError, ValueError) as error:
        raise ConfigError(f"{place_of(error, path)} failed: {describe(error)}") from error
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found.update(target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return frozenset(found)


def place_of(error: BaseException, path: Path) -> str:
    """`FILE, line N`: the last line of a file that an error went through; the file alone where it went through none."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    if isinstance(error, SyntaxError) and error.filename in (None, "<unknown>", str(path)):
        lines.append(error.lineno)
    return f"{path}, line {lines[-1]}" if lines and lines[-1] else str(path)


def describe(error: BaseException) -> str:
    """An error's type and words."""
    return f"{type(error).__name__}: {error}"


def _import_current(name: str) -> ModuleType:
    """The module as its file stands now."""
    known = _digest_of_module.get(name)
    if known is not None and name in sys.modules and _digest_of_file(sys.modules[name]) != known:
        # Bytecode is told from its source by second and size alone, and an edit may change neither.
        Path(importlib.util.cache_from_source(str(sys.modules[name].__file__))).unlink(missing_ok=True)
        del sys.modules[name]
        importlib.invalidate_caches()
    module = importlib.import_module(name)
    digest = _digest_of_file(module)
    if digest is not None and name.partition(".")[0] != __name__.partition(".")[0]:
        _digest_of_module[name] = digest
    return module


def _digest_of_file(module: ModuleType) -> str | None:
    """Hex SHA-256 of a module's source; None where it has none."""
    path = Path(getattr(module, "__file__", None) or "")
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.suffix == ".py" and path.is_file() else None


@contextmanager
def _current_folder_searched() -> Iterator[None]:
    """The command `kagglerun` does not look for modules in the current folder; a user's `python` does."""
    folder = str(Path.cwd())
    sys.path.append(folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
