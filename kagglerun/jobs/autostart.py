"""What to give systemd or cron so that jobs go on by themselves after a reboot."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

_SECONDS_TO_SAVE = 45


def resume_command(python: str, workspace: Path) -> list[str]:
    """What goes on with the jobs of a workspace that the machine's end interrupted."""
    return [python, "-P", "-m", "kagglerun", "--workspace", str(workspace), "resume", "--interrupted"]


def systemd_unit(command: Sequence[str], workspace: Path) -> str:
    """A unit for the user's systemd; its first lines say how to install it.

    Jobs stay in the unit's control group: at a shutdown systemd asks them to end and gives them time to save.
    """
    return f"""\
# kagglerun resume --print-systemd > ~/.config/systemd/user/kagglerun.service
# systemctl --user daemon-reload && systemctl --user enable kagglerun.service
# loginctl enable-linger        (so that it starts without a login, and jobs outlive the last logout)
[Unit]
Description=kagglerun: jobs of {_unit_text(str(workspace))} go on

[Service]
Type=oneshot
RemainAfterExit=yes
# Variables that jobs need, e.g. KAGGLERUN_MLFLOW_URI=...
EnvironmentFile=-%h/.config/kagglerun.env
ExecStart={" ".join(map(_unit_word, command))}
TimeoutStopSec={_SECONDS_TO_SAVE}

[Install]
WantedBy=default.target
"""


def cron_line(command: Sequence[str]) -> str:
    """A line for `crontab -e`."""
    return f"@reboot {' '.join(map(_cron_word, command))}\n"


def _unit_word(word: str) -> str:
    """A word of a command as systemd reads it: in quotes, with what means something to it escaped."""
    escaped = _unit_text(word.replace("\\", "\\\\").replace('"', '\\"')).replace("$", "$$")
    return f'"{escaped}"'


def _unit_text(text: str) -> str:
    """On one line, and without specifiers of systemd's."""
    text = re.sub(r"[\x00-\x1f\x7f]", lambda found: f"\\x{ord(found[0]):02x}", text)
    return text.replace("%", "%%")


def _cron_word(word: str) -> str:
    """A word as cron hands it to sh: on one line, where % would end the command."""
    if re.search(r"[\x00-\x1f\x7f]", word):
        octal = "".join(char if char.isalnum() or char in "/._-" else _octal(char) for char in word)
        return f'"$(printf {shlex.quote(octal)})"'
    return shlex.quote(word).replace("%", r"\%")


def _octal(char: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in char.encode())
