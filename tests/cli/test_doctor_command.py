"""`kagglerun doctor` as people call it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from local_kaggle import KEY

from kagglerun.cli.main import run as kagglerun
from kagglerun.environment.doctor.finding import Finding, Level
from kagglerun.environment.doctor.probes import machine
from kagglerun.workspace import Workspace


def test_this_machine_is_examined_without_a_workspace_and_as_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KAGGLE_API_TOKEN", KEY)
    code = kagglerun(["doctor", "--offline", "--json"])
    told = json.loads(capfd.readouterr().out)
    by_check = {finding["check"]: finding for finding in told["findings"]}
    assert {"python", "packages", "driver", "torch", "product on cpu", "memory", "ulimits"} <= set(by_check)
    assert by_check["product on cpu"]["level"] == "ok", by_check["product on cpu"]
    assert all(finding.keys() == {"check", "looked_for", "found", "level", "mend"} for finding in told["findings"])
    assert code == (1 if any(finding["level"] == "error" for finding in told["findings"]) else 0)
    assert told["bench"] is None
    assert KEY not in json.dumps(told)
    assert list(tmp_path.iterdir()) == []


_OLD_DRIVER = """
from types import SimpleNamespace
class NVMLError(Exception): pass
class NVMLError_NotSupported(NVMLError): pass
NVML_DEVICE_MIG_ENABLE = 1
def nvmlInit(): pass
def nvmlSystemGetDriverVersion(): return "470.82.01"
def nvmlSystemGetCudaDriverVersion_v2(): return 11040
def nvmlDeviceGetCount(): return 1
def nvmlDeviceGetHandleByIndex(index): return index
def nvmlDeviceGetName(handle): return "NVIDIA A100-SXM4-40GB"
def nvmlDeviceGetMemoryInfo(handle): return SimpleNamespace(total=40 << 30, used=1 << 30)
def nvmlDeviceGetMigMode(handle): raise NVMLError_NotSupported
"""


@pytest.mark.long
def test_a_driver_that_is_too_old_is_found_from_the_library_to_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pynvml.py").write_text(_OLD_DRIVER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert kagglerun(["doctor", "--offline", "--json"]) == 1
    told = {finding["check"]: finding for finding in json.loads(capfd.readouterr().out)["findings"]}
    assert "driver 470.82.01 speaks CUDA 11.4" in told["driver and torch"]["found"]
    assert told["driver and torch"]["level"] == "error"
    assert "NVIDIA A100-SXM4-40GB, 40 GiB" in told["GPU 0"]["found"]


def _found(monkeypatch: pytest.MonkeyPatch, *findings: Finding) -> list[Any]:
    """What the checks say, without looking at the machine."""
    calls: list[Any] = []
    monkeypatch.setattr(machine, "probe_machine", lambda *arguments: calls.append(arguments))
    monkeypatch.setattr("kagglerun.environment.doctor.checks.examine", lambda _: findings)
    return calls


BAD = Finding("driver", "a driver", "2 GPUs on the bus [sic], but no driver", Level.ERROR, "sudo modprobe nvidia")
WARM = Finding("GPU 0", "a cool GPU", "91 °C", Level.WARNING, "fans")
FINE = Finding("python", "Python 3.11", "Python 3.12.4")


@pytest.mark.parametrize(("findings", "code"), [((FINE, WARM, BAD), 1), ((FINE, WARM), 0), ((FINE,), 0)])
def test_an_error_alone_is_an_exit_code(
    findings: tuple[Finding, ...], code: int, monkeypatch: pytest.MonkeyPatch, workspace: Workspace
) -> None:
    calls = _found(monkeypatch, *findings)
    assert kagglerun(["doctor", "--offline"]) == code
    assert calls == [(workspace, False)]


def test_each_fault_stands_there_with_what_was_looked_for_and_what_mends_it(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], workspace: Workspace
) -> None:
    _found(monkeypatch, FINE, WARM, BAD)
    kagglerun(["doctor"])
    lines = [line.strip() for line in capfd.readouterr().out.splitlines()]
    assert lines[0] == "ok       python  Python 3.12.4"
    assert "error    driver  2 GPUs on the bus [sic], but no driver" in lines
    assert lines[lines.index("error    driver  2 GPUs on the bus [sic], but no driver") + 1] == "looked for: a driver"
    assert "→ sudo modprobe nvidia" in lines
    assert lines[-1] == "1 error, 1 warning in 3 findings"


def test_a_workspace_that_was_named_must_be_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _found(monkeypatch, FINE)
    monkeypatch.delenv("KAGGLERUN_WORKSPACE", raising=False)
    monkeypatch.setenv("KAGGLERUN_WORKSPACE", str(tmp_path / "absent"))
    assert kagglerun(["doctor"]) == 2


def test_an_errors_text_is_explained_from_words_a_file_or_not_at_all(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log"
    log.write_text("Traceback ...\nRuntimeError: CUDA error: no kernel image is available for execution\n")
    assert kagglerun(["doctor", "--explain", str(log)]) == 0
    assert "without kernels for this model" in capfd.readouterr().out
    assert kagglerun(["doctor", "--explain", "OSError: [Errno 24] Too many open files"]) == 0
    assert "→ ulimit -n 65536" in capfd.readouterr().out
    assert kagglerun(["doctor", "--explain", "KeyError: 'label'"]) == 1
