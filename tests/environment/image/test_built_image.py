"""The real image, built and entered: what is in it, what trains in it, who gets in and who does not."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import kagglerun
from kagglerun.environment.image.lock import image_lock
from tests.chromium import chromium, is_installed
from tests.environment.image.built_image import BASE, KAGGLE_LIKE, MARKER, UID, Built, build_image
from tests.environment.image.made_services import free_port, wait_until_listening

pytestmark = [pytest.mark.image, pytest.mark.timeout(1500)]

_DEMO = (
    "export OMP_NUM_THREADS=1; kagglerun practice start && kagglerun fetch practice/digits"
    " && kagglerun sweep baseline.yaml --follow cv.n_splits=2 training.epochs=1 sweep.trials=1"
    " && kagglerun submit best --yes; code=$?; kagglerun practice stop; exit $code"
)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """The image: some minutes."""
    # Whoever is in the container must be able to reach the workspace: not below pytest's own folder, which is root's.
    scratch = Path(str(tmp_path_factory.mktemp("image")))
    for folder in (scratch, *list(scratch.parents)[:2]):
        folder.chmod(0o755)
    with build_image(scratch) as image:
        yield image


def test_the_base_is_pinned_and_the_labels_say_what_is_in_it(built: Built) -> None:
    found = built.inspect()
    base = json.loads(built.buildah("inspect", "--type", "image", BASE))
    pinned = yaml.safe_load((built.workspace / "image.yaml").read_text())
    assert pinned["bases"][BASE] == f"sha256:{base['FromImageID']}"
    labels = found["Docker"]["config"]["Labels"]
    assert labels["kagglerun.lock.sha256"] == image_lock().sha256
    assert labels["kagglerun.torch"] == image_lock().version("torch")
    assert labels["org.opencontainers.image.version"] == kagglerun.__version__
    assert labels["org.opencontainers.image.base.digest"] == f"sha256:{base['FromImageID']}"


def test_nobody_in_it_is_root_and_data_has_one_place(built: Built) -> None:
    config = built.inspect()["Docker"]["config"]
    assert config["User"] == "1000:1000"
    assert config["WorkingDir"] == "/workspace"
    assert not config.get("Volumes")
    assert config["Healthcheck"]["Test"] == ["CMD", "kagglerun", "image", "health"]
    assert built.kagglerun("image", "run", "kagglerun", "image", "health").returncode == 0


def test_no_secret_of_the_build_and_no_host_key_is_in_any_layer(built: Built) -> None:
    assert MARKER not in json.dumps(built.inspect())
    found = subprocess.run(
        ["grep", "--recursive", "--files-with-matches", "--fixed-strings", MARKER, built.folder / "store"],
        capture_output=True,
        text=True,
        check=False,
        env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
    )
    assert (found.returncode, found.stdout) == (1, "")
    keys = built.kagglerun("image", "run", "bash", "-c", "ls /etc/ssh/ssh_host_* /etc/pip.conf /run/secrets/ca")
    assert keys.returncode != 0
    assert keys.stdout == ""


def test_digest_names_the_image_and_layers_have_sizes(built: Built) -> None:
    shown = built.kagglerun("image", "digest", "--layers")
    digest, *layers = shown.stdout.splitlines()
    assert digest == f"sha256:{built.inspect()['FromImageID']}"
    assert digest in built.said
    assert len(layers) == 4, shown.stdout
    print(shown.stdout)


def test_the_doctor_finds_no_error_in_it(built: Built) -> None:
    done = built.kagglerun("image", "run", "kagglerun", "doctor", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    levels = {finding["level"] for finding in _findings(json.loads(done.stdout))}
    assert levels <= {"ok", "warning"}, done.stdout


def test_the_demos_job_runs_in_it_and_its_run_names_the_image(built: Built) -> None:
    done = built.kagglerun("image", "run", "bash", "-c", _DEMO)
    assert done.returncode in (0, 3), done.stdout + done.stderr
    notes = sorted(built.workspace.glob("runs/digits/*/environment.json"))
    assert notes, done.stdout + done.stderr
    digest = built.kagglerun("image", "digest").stdout.strip()
    for note in notes:
        assert json.loads(note.read_text())["image"] == digest
        assert note.stat().st_uid == UID


def test_ssh_takes_the_key_and_neither_a_password_nor_root(built: Built, tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    port = free_port()
    with built.running("--port", f"ssh={port}", "--key", f"{key}.pub", "ssh") as server:
        wait_until_listening(port, server)
        assert _ssh(port, "kagglerun", key, "kagglerun --version").stdout == f"kagglerun {kagglerun.__version__}\n"
        assert "Permission denied (publickey)" in _ssh(port, "root", key, "id").stderr
        without = _ssh(port, "kagglerun", None, "id", "PreferredAuthentications=password,keyboard-interactive")
        assert "Permission denied (publickey)" in without.stderr


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    if not is_installed():
        pytest.skip("chromium or chromedriver is not installed: make system")
    with chromium(tmp_path / "profile") as opened:
        yield opened


def test_jupyter_refuses_without_the_token_and_opens_with_it(built: Built, browser: Any, tmp_path: Path) -> None:
    port, token = free_port(), "4711" * 8
    with built.running("--port", f"jupyter={port}", "jupyter", JUPYTER_TOKEN=token) as server:
        wait_until_listening(port, server)
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/api/contents", timeout=30)
        browser.get(f"http://127.0.0.1:{port}/lab")
        _wait_for(browser, "Token authentication is enabled")
        browser.get(f"http://127.0.0.1:{port}/lab?token={token}")
        _wait_for(browser, "Launcher", "competitions")
        assert browser.save_screenshot(str(tmp_path / "jupyter.png"))


def test_kaggles_own_environment_keeps_its_torch(built: Built) -> None:
    built.make_kaggle_base("2.7.99")
    done = built.kagglerun("image", "build", "--machine-settings", "--kaggle-parity", "--base", KAGGLE_LIKE)
    assert done.returncode == 0, done.stderr[-4000:]
    code = "import importlib.metadata as m; print(m.version('torch'), m.version('optuna'))"
    there = built.kagglerun("image", "run", "--image", f"{built.name}-kaggle", "python3", "-c", code)
    assert there.stdout.split() == ["2.7.99", image_lock().version("optuna")], there.stderr


@pytest.mark.parametrize("torch", (None, "2.6", "2.7", "2.9"))
def test_every_package_of_a_variant_has_a_wheel_for_the_usual_base(torch: str | None, tmp_path: Path) -> None:
    lock = tmp_path / "whole.lock"
    main, *own = image_lock(torch).files
    names = {line.partition("==")[0] for path in own for line in path.read_text().splitlines() if line[0].isalpha()}
    names |= {"torch", "torchvision", "triton", "cuda-toolkit"} if own else set()
    kept, lines = True, []
    for line in main.read_text().splitlines():
        if line[0].isalpha():
            name = line.partition("==")[0]
            kept = not own or not (name in names or (name.startswith(("cuda-", "nvidia-")) and name != "nvidia-ml-py"))
        lines += [line] if kept else []
    lock.write_text("\n".join([*lines, *(path.read_text() for path in own)]))
    uv = shutil.which("uv") or str(Path(sys.executable).parent / "uv")
    done = subprocess.run(
        [
            *(uv, "pip", "sync", "--dry-run", "--require-hashes", "--only-binary", ":all:"),
            *("--target", tmp_path / "site"),
            *("--python-version", "3.12", "--python-platform", "x86_64-manylinux_2_36", lock),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _findings(told: Any) -> list[dict[str, Any]]:
    return told if isinstance(told, list) else told["findings"]


def _ssh(port: int, user: str, key: Path | None, command: str, *options: str) -> subprocess.CompletedProcess[str]:
    usual = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "BatchMode=yes")
    identity = ("-i", str(key), "-o", "IdentitiesOnly=yes") if key else ("-o", "IdentityFile=none")
    return subprocess.run(
        [*("ssh", "-F", "none", "-p", str(port)), *identity]
        + [word for option in (*usual, *options) for word in ("-o", option)]
        + [f"{user}@127.0.0.1", command],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )


def _wait_for(browser: Any, *texts: str) -> None:
    """Wait until the page shows all of `texts`."""
    deadline = time.monotonic() + 90
    while not all(text in str(browser.execute_script("return document.body.innerText")) for text in texts):
        assert time.monotonic() < deadline, browser.execute_script("return document.body.innerText")
        time.sleep(0.5)
