"""What an image is built from: the locks, the Dockerfile, the pinned base, this machine's settings."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from package_sources import ROOT

import kagglerun
from kagglerun.cli.main import run
from kagglerun.environment.image.build import BuildOptions, Variant, build_request, context, pin_base
from kagglerun.environment.image.engines import find_engine
from kagglerun.environment.image.lock import dockerfile, image_lock, torch_variants
from kagglerun.environment.image.machine_settings import index_variables, machine_secrets
from kagglerun.environment.image.pins import pinned_reference, read_pins, write_pin
from kagglerun.errors import ConfigError, ImageError
from kagglerun.workspace import Workspace
from tests.environment.image.made_engines import DIGEST, IMAGE_ID, calls, make_engine

_PIN = re.compile(r"^([a-z0-9.-]+)==(\S+)", re.MULTILINE)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with docker alone, which is all of PATH."""
    make_engine(tmp_path / "programs", "docker")
    monkeypatch.setenv("PATH", str(tmp_path / "programs"))
    return tmp_path / "programs"


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    program = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([program, dockerfile()], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout


def test_the_image_has_the_versions_that_the_tests_ran_with() -> None:
    tested = set(_PIN.findall((ROOT / "kagglerun/environment/requirements.lock").read_text("utf-8")))
    names = {name for name, _ in tested}
    installed = set(_PIN.findall(image_lock().files[0].read_text("utf-8")))
    assert {pin for pin in installed if pin[0] in names} <= tested
    assert {"uv", "jupyterlab", "tensorboard", "nvitop", "mlflow", "ray", "s3fs"} <= {name for name, _ in installed}
    assert not {"pytest", "mypy", "moto"} & {name for name, _ in installed}


def test_each_torch_has_its_own_cuda_and_nothing_that_is_not_torchs() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    own = re.search(r"^TORCH_OWN := (.*)$", makefile, re.MULTILINE)
    assert own is not None
    assert f"/^({own[1]})==/" in dockerfile().read_text("utf-8")
    assert torch_variants() == ("2.6", "2.7", "2.9")
    for torch in torch_variants():
        lock = image_lock(torch)
        assert lock.version("torch").startswith(f"{torch}.")
        assert lock.version("nvidia-cudnn-cu12")
        assert all(re.fullmatch(own[1], name) for name, _ in _PIN.findall(lock.files[1].read_text("utf-8")))
    assert len({image_lock(torch).sha256 for torch in (None, *torch_variants())}) == 4


def test_an_unknown_torch_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no lock for torch 1\.9, only for 2\.6, 2\.7, 2\.9"):
        image_lock("1.9")


def test_context_has_dockerfile_locks_and_wheel_and_is_gone_afterwards() -> None:
    with context(image_lock("2.6")) as folder:
        names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        request = build_request(Variant(torch="2.6"), pinned(), folder, BuildOptions())
    wheel = f"kagglerun-{kagglerun.__version__}-py3-none-any.whl"
    assert names == {"Dockerfile", "image.lock", "torch/2.6.lock", wheel}
    assert not folder.exists()
    assert request.arguments["TORCH"] == "2.6"
    assert request.arguments["TORCH_VERSION"].startswith("2.6.")
    assert request.name == f"kagglerun:{kagglerun.__version__}-torch2.6"


def test_every_argument_that_a_build_passes_is_known_to_the_stages_of_its_target() -> None:
    head, system, packages, parity, standard = dockerfile().read_text("utf-8").split("\nFROM ")
    for variant, text in ((Variant(), head + system + packages + standard), (Variant(parity=True), head + parity)):
        with context(image_lock()) as folder:
            request = build_request(variant, pinned(), folder, BuildOptions())
        for name in request.arguments:
            assert re.search(rf"^ARG {name}=", text, re.MULTILINE), f"{name} in {request.target}"


def pinned():
    from kagglerun.environment.image.build import Pinned

    return Pinned("base@" + DIGEST, DIGEST, is_new=False)


def test_first_build_writes_the_bases_digest_down_and_later_ones_start_from_it(programs: Path, tmp_path: Path) -> None:
    pins, engine = tmp_path / "image.yaml", find_engine()
    first = pin_base(engine, "docker.io/library/python:3.12", pins)
    assert first.is_new
    assert first.reference == f"docker.io/library/python@{DIGEST}"
    assert read_pins(pins).bases == {"docker.io/library/python:3.12": DIGEST}
    older = "sha256:" + "0" * 64
    write_pin(pins, "docker.io/library/python:3.12", older)
    again = pin_base(engine, "docker.io/library/python:3.12", pins)
    assert not again.is_new
    assert ["pull", "--quiet", f"docker.io/library/python@{older}"] in calls(programs, "docker")
    assert pin_base(engine, "docker.io/library/python:3.12", pins, update=True).digest == DIGEST
    assert read_pins(pins).bases["docker.io/library/python:3.12"] == DIGEST


def test_a_base_of_this_machine_alone_is_not_fetched_and_may_not_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_engine(tmp_path / "programs", "docker", local=True, fails="pull")
    monkeypatch.setenv("PATH", str(tmp_path / "programs"))
    pins, engine = tmp_path / "image.yaml", find_engine()
    assert pin_base(engine, "mine:1", pins).reference == "mine:1"
    assert pin_base(engine, "mine:1", pins).digest == IMAGE_ID
    write_pin(pins, "mine:1", DIGEST)
    with pytest.raises(ImageError, match=r"mine:1 is not the image that image\.yaml names"):
        pin_base(engine, "mine:1", pins)


@pytest.mark.parametrize(
    ("base", "reference"),
    [
        ("python:3.12", f"python@{DIGEST}"),
        ("host:5000/team/base", f"host:5000/team/base@{DIGEST}"),
        ("host:5000/team/base:2", f"host:5000/team/base@{DIGEST}"),
        (f"python@{IMAGE_ID}", f"python@{IMAGE_ID}"),
    ],
)
def test_a_pinned_base_is_named_by_its_digest_alone(base: str, reference: str) -> None:
    assert pinned_reference(base, DIGEST) == reference


@pytest.mark.parametrize("text", ["bases: [1]", "bases: {python: latest}", "other: 1", "bases: {a: ", "\xff"])
def test_a_damaged_image_yaml_is_an_error_with_its_path(text: str, tmp_path: Path) -> None:
    path = tmp_path / "image.yaml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"image\.yaml"):
        read_pins(path)


def test_secrets_are_the_machines_own_files_and_its_indexes(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/pip.conf").write_text("[global]")
    (tmp_path / "ca.pem").write_text("certificate")
    environment = {
        "HOME": str(tmp_path),
        "SSL_CERT_FILE": str(tmp_path / "ca.pem"),
        "UV_INDEX_URL": "https://name:pass word@index.example/simple",
        "KAGGLE_KEY": "not an index",
    }
    found = machine_secrets(environment, tmp_path)
    assert found == {"pip": tmp_path / "etc/pip.conf", "ca": tmp_path / "ca.pem"}
    assert index_variables(environment) == "UV_INDEX_URL='https://name:pass word@index.example/simple'\n"


def test_without_settings_of_its_own_a_machine_passes_nothing(tmp_path: Path) -> None:
    assert machine_secrets({"HOME": str(tmp_path)}, tmp_path) == {}
    assert index_variables({"HOME": str(tmp_path)}) == ""


def test_an_index_with_a_password_is_no_argument_and_no_file(
    programs: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_INDEX_URL", "https://name:sesame@index.example/simple")
    assert run(["image", "build", "--machine-settings", "--base", "python:3.12"]) == 0
    assert "id=index,type=env,src=KAGGLERUN_BUILD_INDEX" in calls(programs, "docker")[-3]
    assert not [path for path in programs.parent.rglob("*") if path.is_file() and b"sesame" in path.read_bytes()]


def test_the_commands_build_and_say_what_was_built(
    programs: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(workspace.root)
    assert run(["image", "build", "--torch", "2.7", "--base", "python:3.12"]) == 0
    shown = capfd.readouterr()
    assert f"{kagglerun.__version__}-torch2.7" in shown.out
    assert DIGEST in shown.out
    assert f"python:3.12 is {DIGEST[:19]} from now on" in shown.err
    [build] = [call for call in calls(programs, "docker") if call[0] == "build"]
    assert f"BASE=python@{DIGEST}" in build
    assert not [word for word in build if word.startswith("id=")]
    assert run(["image", "lock", "--base", "python:3.12"]) == 0
    assert "each with its hashes" in capfd.readouterr().out
    assert run(["image", "digest", "--layers"]) == 0
    assert "RUN uv" in capfd.readouterr().out


def test_build_outside_a_workspace_says_how_to_make_one(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["image", "build"]) == 2
    assert "kagglerun init" in capfd.readouterr().err


def test_an_image_that_is_not_there_names_the_command_that_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    make_engine(tmp_path / "programs", "docker", fails="inspect")
    monkeypatch.setenv("PATH", str(tmp_path / "programs"))
    assert run(["image", "digest"]) == 1
    assert "kagglerun image build" in capfd.readouterr().err
