"""The code that a run is made by: the package file by file, git commits, and changes that no commit holds."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import kagglerun
from kagglerun.files import sha256_of_file
from kagglerun.workspace import Workspace

_GIT_SECONDS = 20.0
_MOST_DIFF_CHARACTERS = 256_000
_MOST_NAMES = 100
_WORKSPACE_PATTERNS = tuple(
    f":(glob){folder}/**/*.{kind}" for folder in ("competitions", "sweeps") for kind in ("py", "yaml")
)
_PACKAGE_PATTERNS = (":(glob)**/*.py",)
_SECRET = re.compile(r"(?i)\b\w*(api_?key|access_?key|token|secret|passwo?r?d)\w*[\"']?\s*[=:]\s*[\"']?[^\s\"']{8,}")


@dataclass(frozen=True)
class Commit:
    """Where a folder stands in its git repository.

    Attributes:
        commit: the commit that is checked out.
        changed: tracked files, from the folder on, that differ from it.
        untracked: files that git does not know; their content is in no diff.
    """

    commit: str
    changed: tuple[str, ...]
    untracked: tuple[str, ...]

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any] | None) -> Commit | None:
        """Read back what `asdict` gave."""
        return cls(saved["commit"], tuple(saved["changed"]), tuple(saved["untracked"])) if saved else None


@dataclass(frozen=True)
class CodeState:
    """The code in use.

    Attributes:
        version: the package's version.
        files: each of its source files to the first half of its SHA-256.
        package: where it stands in git; None when it does not.
        workspace: configs and hooks in git; None when they do not stand there.
    """

    version: str
    files: dict[str, str]
    package: Commit | None
    workspace: Commit | None

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> CodeState:
        """Read back what `to_dict` gave."""
        commits = Commit.from_dict(saved["package"]), Commit.from_dict(saved["workspace"])
        return cls(saved["version"], dict(saved["files"]), *commits)


def code_state(workspace: Workspace) -> CodeState:
    """The code as it is now. Without git, or outside of a repository, the commits are None."""
    package = _package()
    return CodeState(
        version=kagglerun.__version__,
        files={
            path.relative_to(package).as_posix(): sha256_of_file(path)[:32] for path in sorted(package.rglob("*.py"))
        },
        package=_commit(package, _PACKAGE_PATTERNS) if _git(package, "ls-files", "__init__.py") else None,
        workspace=_commit(workspace.root, _WORKSPACE_PATTERNS),
    )


def uncommitted_changes(workspace: Workspace, state: CodeState) -> str:
    """The changes of configs, hooks and the package against their commits, as git's diff; empty when there are none.

    Only tracked .py and .yaml files; lines that look like a secret are left out, and what is beyond 256,000
    characters. Each is said in the text.
    """
    parts = [
        _diff("configs and hooks", workspace.root, state.workspace, _WORKSPACE_PATTERNS),
        _diff("the package", _package(), state.package, _PACKAGE_PATTERNS),
    ]
    return "".join(parts)


def _package() -> Path:
    return Path(kagglerun.__file__).parent


def _commit(folder: Path, patterns: Sequence[str]) -> Commit | None:
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    if not commit:
        return None
    told = (
        _git(folder, "status", "--porcelain=v1", "--no-renames", "--untracked-files=all", "-z", "--", *patterns) or ""
    )
    prefix = (_git(folder, "rev-parse", "--show-prefix") or "").strip()
    entries = [(line[:2], line[3:].removeprefix(prefix)) for line in told.split("\0") if line]
    changed = tuple(name for kind, name in entries if kind != "??")
    untracked = tuple(name for kind, name in entries if kind == "??")
    return Commit(commit.strip(), changed[:_MOST_NAMES], untracked[:_MOST_NAMES])


def _diff(what: str, folder: Path, commit: Commit | None, patterns: Sequence[str]) -> str:
    if commit is None or not (commit.changed or commit.untracked):
        return ""
    untracked = "".join(f"# not tracked, left out: {name}\n" for name in commit.untracked)
    options = ("--no-ext-diff", "--no-textconv", "--no-color", "--relative")
    text = _git(folder, "diff", *options, "HEAD", "--", *patterns) or ""
    lines = [
        "# a line that looks like a secret was left out" if _SECRET.search(line) else line for line in text.splitlines()
    ]
    kept = "\n".join(lines)
    if len(kept) > _MOST_DIFF_CHARACTERS:
        left_out = len(kept) - _MOST_DIFF_CHARACTERS
        kept = f"{kept[:_MOST_DIFF_CHARACTERS]}\n# {left_out} more characters were left out"
    return f"# {what}, against {commit.commit}\n{untracked}{kept}\n"


def _git(folder: Path, *arguments: str) -> str | None:
    """What git answers; None when it fails or is not there. It neither writes nor runs anything of the repository's."""
    quiet = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    command = ["git", "-c", "core.fsmonitor=false", "-c", "core.quotePath=false", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=_GIT_SECONDS, env=quiet, stdin=subprocess.DEVNULL, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", errors="replace") if done.returncode == 0 else None
