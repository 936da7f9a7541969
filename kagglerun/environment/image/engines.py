"""docker, podman and buildah behind one protocol: whatever of them is there builds the image."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from kagglerun.environment.image.facts import ImageFacts, Layer
from kagglerun.environment.image.programs import output_of
from kagglerun.errors import ConfigError, ImageError

_NAMES = ("docker", "podman", "buildah")


@dataclass(frozen=True)
class BuildRequest:
    """One build.

    Attributes:
        name: what the image is called.
        context: folder with the Dockerfile and what it copies.
        target: the Dockerfile's stage.
        arguments: build arguments.
        secrets: files by the id under which the Dockerfile mounts them.
        secret_variables: variables of the build's environment whose values are secrets, by the same kind of id.
        use_cache: whether steps that are known may be taken from the engine's cache.
    """

    name: str
    context: Path
    target: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Path] = field(default_factory=dict)
    secret_variables: Mapping[str, str] = field(default_factory=dict)
    use_cache: bool = True


class Engine(Protocol):
    """A program that builds images and knows those that were built."""

    @property
    def name(self) -> str:
        """docker, podman or buildah."""

    @property
    def program(self) -> str:
        """Its path."""

    def ready(self) -> None:
        """Return when it works here.

        Raises:
            ImageError: it does not, and why.
        """

    def build(self, request: BuildRequest) -> list[str]:
        """The command that builds."""

    def pull(self, reference: str) -> list[str]:
        """The command that fetches an image, also where the store has an older one."""

    def inspect(self, image: str) -> ImageFacts:
        """What is known of an image in its store.

        Raises:
            ImageError: it is not there.
        """


@dataclass(frozen=True)
class Docker:
    """Docker with BuildKit."""

    program: str
    name: str = "docker"

    def ready(self) -> None:
        """See `Engine`: its daemon must answer."""
        output_of([self.program, "version", "--format", "{{.Server.Version}}"], seconds=20)

    def build(self, request: BuildRequest) -> list[str]:
        """See `Engine`."""
        return [self.program, "build", *_arguments(request), str(request.context)]

    def pull(self, reference: str) -> list[str]:
        """See `Engine`."""
        return [self.program, "pull", "--quiet", reference]

    def inspect(self, image: str) -> ImageFacts:
        """See `Engine`."""
        found = _first(output_of([self.program, "image", "inspect", image]))
        lines = output_of([self.program, "history", "--no-trunc", "--human=false", "--format", "{{json .}}", image])
        steps = [json.loads(line) for line in lines.splitlines() if line.strip()]
        layers = [Layer(int(step["Size"]), step["CreatedBy"]) for step in reversed(steps)]
        return ImageFacts(
            name=image,
            id=found["Id"],
            repository_digest=_repository_digest(found.get("RepoDigests")),
            created=found["Created"],
            labels=(found.get("Config") or {}).get("Labels") or {},
            layers=_with_content(layers),
        )


@dataclass(frozen=True)
class Podman:
    """Podman."""

    program: str
    name: str = "podman"

    def ready(self) -> None:
        """See `Engine`: its store must be readable."""
        output_of([self.program, "info", "--format", "{{.Version.Version}}"], seconds=60)

    def build(self, request: BuildRequest) -> list[str]:
        """See `Engine`. OCI's own format knows no HEALTHCHECK."""
        return [
            *(self.program, "build", "--format", "docker", "--layers", "--pull=missing"),
            *_arguments(request),
            str(request.context),
        ]

    def pull(self, reference: str) -> list[str]:
        """See `Engine`. Podman before 5 has no other way to pull than this one, which asks the registry."""
        return [self.program, "pull", "--quiet", reference]

    def inspect(self, image: str) -> ImageFacts:
        """See `Engine`."""
        found = _first(output_of([self.program, "image", "inspect", image]))
        steps = json.loads(output_of([self.program, "history", "--no-trunc", "--format", "json", image]))
        layers = [Layer(int(step["size"]), step.get("CreatedBy", "")) for step in reversed(steps)]
        return ImageFacts(
            name=image,
            id=_prefixed(found["Id"]),
            repository_digest=_repository_digest(found.get("RepoDigests")),
            created=found["Created"],
            labels=found.get("Labels") or {},
            layers=_with_content(layers),
        )


@dataclass(frozen=True)
class Buildah:
    """Buildah: needs no daemon. BUILDAH_ISOLATION and STORAGE_DRIVER say how it works, as always."""

    program: str
    name: str = "buildah"

    def ready(self) -> None:
        """See `Engine`: its store must be readable."""
        output_of([self.program, "images", "--quiet"], seconds=60)

    def build(self, request: BuildRequest) -> list[str]:
        """See `Engine`. OCI's own format knows no HEALTHCHECK."""
        return [
            *(self.program, "build", "--format", "docker", "--layers", "--pull=false"),
            *_arguments(request),
            str(request.context),
        ]

    def pull(self, reference: str) -> list[str]:
        """See `Engine`."""
        return [self.program, "pull", "--quiet", "--policy", "always", reference]

    def inspect(self, image: str) -> ImageFacts:
        """See `Engine`."""
        found = json.loads(output_of([self.program, "inspect", "--type", "image", image]))
        content = json.loads(found["Manifest"])["layers"]
        steps = [step for step in found["OCIv1"].get("history") or [] if not step.get("empty_layer")]
        steps = [{}] * (len(content) - len(steps)) + steps  # an imported base has no history
        layers = [Layer(layer["size"], step.get("created_by", "")) for layer, step in zip(content, steps, strict=True)]
        registry = _is_of_a_registry(found["FromImage"])
        return ImageFacts(
            name=image,
            id=_prefixed(found["FromImageID"]),
            repository_digest=found["FromImageDigest"] if registry else None,
            created=found["OCIv1"].get("created", ""),
            labels=(found["OCIv1"].get("config") or {}).get("Labels") or {},
            layers=_with_content(layers),
        )


def find_engine(wanted: str | None = None) -> Engine:
    """The engine to use: the one that is wanted, else the first of docker, podman and buildah that works here.

    Args:
        wanted: its name; by default what KAGGLERUN_ENGINE says.

    Raises:
        ConfigError: there is no engine of that name.
        ImageError: none works here, with the reason for each.
    """
    wanted = wanted or os.environ.get("KAGGLERUN_ENGINE") or None
    if wanted not in (None, *_NAMES):
        raise ConfigError(f"{wanted} is no engine kagglerun knows: {', '.join(_NAMES)}")
    reasons = []
    for name in [wanted] if wanted else _NAMES:
        program = shutil.which(name)
        if program is None:
            reasons.append(f"{name} is not installed")
            continue
        engine = _engine(name, program)
        try:
            engine.ready()
        except ImageError as error:
            reasons.append(error.message)
        else:
            return engine
    raise ImageError(f"no container engine works here: {'; '.join(reasons)}", hint="apt install buildah   (or docker)")


def _engine(name: str, program: str) -> Engine:
    if name == "docker":
        return Docker(program)
    return Podman(program) if name == "podman" else Buildah(program)


def _arguments(request: BuildRequest) -> list[str]:
    """What all three spell alike."""
    argv = ["--file", str(request.context / "Dockerfile"), "--target", request.target, "--tag", request.name]
    for name, value in request.arguments.items():
        argv += ["--build-arg", f"{name}={value}"]
    for name, path in request.secrets.items():
        argv += ["--secret", f"id={name},src={path}"]
    for name, variable in request.secret_variables.items():
        argv += ["--secret", f"id={name},type=env,src={variable}"]
    return argv if request.use_cache else [*argv, "--no-cache"]


def _first(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)[0]
    return found


def _with_content(layers: list[Layer]) -> tuple[Layer, ...]:
    return tuple(layer for layer in layers if layer.size_bytes)


def _prefixed(identity: str) -> str:
    return identity if identity.startswith("sha256:") else f"sha256:{identity}"


def _repository_digest(digests: list[str] | None) -> str | None:
    """The digest in the first of `name@digest` whose name is a registry's."""
    for entry in digests or []:
        name, _, digest = entry.partition("@")
        if not name.startswith("localhost/"):
            return digest
    return None


def _is_of_a_registry(name: str) -> bool:
    """Whether the first part of an image's name is a host. Buildah writes localhost/ before names without one."""
    host = name.partition("/")[0]
    return "/" in name and host != "localhost" and ("." in host or ":" in host)
