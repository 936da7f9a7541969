"""`kagglerun init`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from kagglerun.cli.console import out

_IGNORED = """\
/runs/
/.kagglerun/
/competitions/*/data/
/competitions/*/.download/
/competitions/*/.tables/
/competitions/*/.damage.json
"""


def init(
    folder: Annotated[Path, typer.Argument(help="Where; the current folder by default.")] = Path(),
) -> None:
    """Make a workspace: competitions/ and sweeps/ with working examples. Nothing that exists is overwritten."""
    from kagglerun.workspace import Workspace

    workspace = Workspace(folder.expanduser().resolve())
    made, kept = _fill(workspace.root)
    out.print(f"workspace {escape(str(workspace.root))}")
    for path in made:
        out.print(f"  made {escape(str(path))}")
    if kept:
        out.print(f"  {len(kept)} files were there already and stay as they are")
    go = "" if workspace.root == Path.cwd() else f"cd {_quoted(folder)} && "
    out.print(f"next: {escape(go)}kagglerun fetch practice/digits    (or the slug of a competition on Kaggle)")


def _fill(root: Path) -> tuple[list[Path], list[Path]]:
    """Write what is missing; returns the relative paths that were made and those that were there."""
    from kagglerun.errors import WorkspaceError
    from kagglerun.files import write_bytes

    made, kept = [], []
    try:
        for name in ("competitions", "sweeps"):
            (root / name).mkdir(parents=True, exist_ok=True)
        for relative, content in _examples():
            if (root / relative).exists():
                kept.append(relative)
            else:
                write_bytes(root / relative, content, durable=False)
                made.append(relative)
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        raise WorkspaceError(
            f"{root} cannot be a workspace: {error.strerror}: {error.filename}", hint="kagglerun init SOME_OTHER_FOLDER"
        ) from error
    return made, kept


def _examples() -> Iterator[tuple[Path, bytes]]:
    """Relative path and content of every file a new workspace gets."""
    from kagglerun.own_wheel import example_files

    yield from example_files()
    yield Path(".gitignore"), _IGNORED.encode()


def _quoted(folder: Path) -> str:
    import shlex

    return shlex.quote(str(folder))
