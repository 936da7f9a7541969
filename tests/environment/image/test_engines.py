"""docker, podman and buildah: which is taken, what is asked of it, what is read from its answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from kagglerun.environment.image.engines import BuildRequest, find_engine
from kagglerun.environment.image.facts import Layer
from kagglerun.errors import ConfigError, ImageError
from tests.environment.image.made_engines import DIGEST, IMAGE_ID, calls, make_engine

_ALL = ("docker", "podman", "buildah")


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of PATH, empty."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("KAGGLERUN_ENGINE", raising=False)
    return folder


def test_the_first_that_works_is_taken(programs: Path) -> None:
    make_engine(programs, "docker", fails="version")
    make_engine(programs, "buildah")
    assert find_engine().name == "buildah"
    make_engine(programs, "podman")
    assert find_engine().name == "podman"
    make_engine(programs, "docker")
    assert find_engine().name == "docker"


def test_a_named_engine_is_taken_or_refused(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _ALL:
        make_engine(programs, name)
    assert find_engine("buildah").name == "buildah"
    monkeypatch.setenv("KAGGLERUN_ENGINE", "podman")
    assert find_engine().name == "podman"
    with pytest.raises(ConfigError, match="docker, podman, buildah"):
        find_engine("containerd")


def test_without_an_engine_the_reason_of_each_is_said(programs: Path) -> None:
    make_engine(programs, "docker", fails="version")
    with pytest.raises(ImageError, match=r"docker version failed: Cannot connect.*podman is not installed") as raised:
        find_engine()
    assert raised.value.hint


@pytest.mark.parametrize("name", _ALL)
def test_id_digest_labels_and_layers_are_read(programs: Path, name: str) -> None:
    make_engine(programs, name)
    facts = find_engine(name).inspect("kagglerun:1")
    assert facts.id == IMAGE_ID
    assert facts.digest == (IMAGE_ID if name == "podman" else DIGEST)
    assert facts.labels["kagglerun.lock.sha256"] == "c3"
    assert facts.layers == (Layer(30, ""), Layer(700, "RUN uv"))
    assert facts.size_bytes == 730


@pytest.mark.parametrize("name", ("docker", "buildah"))
def test_an_image_of_no_registry_is_known_by_its_id(programs: Path, name: str) -> None:
    make_engine(programs, name, local=True)
    facts = find_engine(name).inspect("base:1")
    assert facts.repository_digest is None
    assert facts.digest == IMAGE_ID


@pytest.mark.parametrize("name", _ALL)
def test_build_names_stage_arguments_and_secrets(programs: Path, name: str) -> None:
    make_engine(programs, name)
    request = BuildRequest(
        "a:1", Path("/context"), "kagglerun", {"BASE": "b"}, {"ca": Path("/ca.pem")}, use_cache=False
    )
    argv = find_engine(name).build(request)
    assert argv[1] == "build"
    assert argv[-1] == "/context"
    text = " ".join(argv)
    assert "--target kagglerun --tag a:1 --build-arg BASE=b --secret id=ca,src=/ca.pem --no-cache" in text
    # OCI's own format would lose the health check.
    assert ("--format docker" in text) == (name != "docker")


def test_a_missing_image_is_an_error(programs: Path) -> None:
    make_engine(programs, "docker", fails="inspect")
    with pytest.raises(ImageError, match="docker image failed"):
        find_engine().inspect("kagglerun:1")
    assert calls(programs, "docker")[-1] == ["image", "inspect", "kagglerun:1"]
