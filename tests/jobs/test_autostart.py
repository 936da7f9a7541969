"""What systemd and cron are given, read back as they read it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from kagglerun.jobs.autostart import cron_line, resume_command, systemd_unit

FOLDERS = [
    "/data/kaggle",
    "/data/with space",
    "/data/quo'te\"s",
    "/data/new\nline",
    "/data/50% $HOME\\x `id`",
    "/data/ü",
]


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_line_for_cron_names_the_folder_whatever_it_is_called(folder: str) -> None:
    line = cron_line(["printf", "%s|", folder, "resume"])
    assert line.startswith("@reboot ") and line.count("\n") == 1
    command = line.removeprefix("@reboot ").rstrip("\n")
    assert "%" not in command.replace(r"\%", "")  # cron ends the command there
    read = subprocess.run(["/bin/sh", "-c", command.replace(r"\%", "%")], capture_output=True, check=True)
    assert read.stdout.decode() == f"{folder}|resume|"


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_unit_is_one_that_systemd_reads(folder: str, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not on this machine")
    unit = tmp_path / "kagglerun.service"
    unit.write_text(systemd_unit(["/bin/echo", folder, "resume", "--interrupted"], Path(folder)))
    command = ["systemd-analyze", "--user", "verify", str(unit)]
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    read = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if "initialize manager" in read.stderr:
        pytest.skip("systemd-analyze cannot work here")
    # It may complain of units that the system itself came with.
    complaints = [line for line in read.stderr.splitlines() if unit.name in line]
    assert (complaints, read.returncode) == ([], 0)


def test_the_unit_quotes_what_systemd_would_change() -> None:
    unit = systemd_unit(resume_command("/usr/bin/python3", Path("/a b/50%\n$x\"'\\")), Path("/a b/50%\n"))
    command = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
    assert r'"/a b/50%%\x0a$$x\"' in command
    assert r"Description=kagglerun: jobs of /a b/50%%\x0a go on" in unit
    assert command.endswith('"resume" "--interrupted"')
