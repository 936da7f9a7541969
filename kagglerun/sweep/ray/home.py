"""Where a node of the cluster works: in the workspace itself where it sees it, else in one of its own.

    KAGGLERUN_NODE_FOLDER   in a node's environment: the folder for the node's own workspaces, e.g. on a fast disk

A node sees the workspace when the study's token lies at the same path. Otherwise, or where KAGGLERUN_NODE_FOLDER is
set, it keeps a workspace of its own, to which data is sent and from which runs are fetched.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

from kagglerun.files import sha256_of_json, write_text
from kagglerun.workspace import StudyPaths, Workspace

NODE_FOLDER = "KAGGLERUN_NODE_FOLDER"
_DEFAULT_FOLDER = "~/.cache/kagglerun/nodes"


@dataclass(frozen=True)
class Home:
    """The coordinator's workspace, as a node has to know it.

    Attributes:
        root: the workspace on the coordinator's machine.
        key: tells it from other workspaces; the name of a node's own one.
        slug: the study's competition.
        study: the study's name.
        token: what the study's token says.
    """

    root: str
    key: str
    slug: str
    study: str
    token: str


def make_home(workspace: Workspace, paths: StudyPaths) -> Home:
    """Describe the workspace, with a fresh token in the study's folder."""
    token = secrets.token_hex(16)
    write_text(paths.token, token, durable=False)
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", workspace.root.name).strip("-.") or "workspace"
    digest = sha256_of_json([socket.gethostname(), str(workspace.root)])[:12]
    return Home(str(workspace.root), f"{readable}-{digest}", paths.slug, paths.name, token)


def workspace_on_node(home: Home) -> tuple[Workspace, bool]:
    """The workspace that this machine works in, and whether it is the coordinator's."""
    named = os.environ.get(NODE_FOLDER)
    theirs = Workspace(Path(home.root))
    if not named and _sees(theirs, home):
        return theirs, True
    own = Workspace(Path(named or _DEFAULT_FOLDER).expanduser() / home.key)
    own.competitions.mkdir(parents=True, exist_ok=True)
    own.sweeps.mkdir(exist_ok=True)
    return own, False


def _sees(workspace: Workspace, home: Home) -> bool:
    try:
        return workspace.study(home.slug, home.study).token.read_text("utf-8") == home.token
    except (OSError, ValueError):
        return False
