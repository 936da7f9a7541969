"""What is known of an image that was built or pulled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes:
        size_bytes: unpacked.
        made_by: the step of the Dockerfile.
    """

    size_bytes: int
    made_by: str


@dataclass(frozen=True)
class ImageFacts:
    """An image in the engine's store.

    Attributes:
        name: as it was asked for.
        id: digest of the image's configuration, "sha256:...".
        repository_digest: digest under which a registry has it; None where no registry is known to.
        created: ISO 8601.
        labels: by name.
        layers: the lowest first; those without content are left out.
    """

    name: str
    id: str
    repository_digest: str | None
    created: str
    labels: Mapping[str, str]
    layers: tuple[Layer, ...]

    @property
    def digest(self) -> str:
        """What names this image and no other: the registry's digest, else the id."""
        return self.repository_digest or self.id

    @property
    def size_bytes(self) -> int:
        """All layers together, unpacked."""
        return sum(layer.size_bytes for layer in self.layers)
