"""What a sweep on a cluster tells of its nodes, and what they must have."""

from __future__ import annotations

import time
from collections.abc import Callable

from kagglerun.config.schema import Config, ImageModelConfig
from kagglerun.errors import JobError
from kagglerun.sweep.ray.connection import Reserved, has_room_for
from kagglerun.sweep.ray.slot import Begun, package_versions

_FIRST_WORD_SECONDS = 20.0
_WORD_SECONDS = 600.0


class Words:
    """Says once a node what is odd about it, and now and then that trials wait for room on the cluster.

    Args:
        reserved: what a trial reserves.
        say: writes a line to the log.
    """

    def __init__(self, reserved: Reserved, say: Callable[[str], None]) -> None:
        self._reserved = reserved
        self._say = say
        self._odd_nodes: set[str] = set()
        self._waits_since = time.monotonic()
        self._next_word = _FIRST_WORD_SECONDS

    def begun(self, begun: Begun) -> None:
        """Compare a node's packages with those of this machine: where they differ, so may results."""
        here = package_versions()
        there = sorted(begun.versions.items())
        odd = [f"{name} {version} (here {here.get(name)})" for name, version in there if here.get(name) != version]
        if odd and begun.node not in self._odd_nodes:
            self._odd_nodes.add(begun.node)
            self._say(f"{begun.host} has other packages, so its results may differ slightly: {', '.join(odd)}")

    def waiting(self, all_wait: bool) -> None:
        """Note whether there are trials and all of them wait; say so from time to time."""
        if not all_wait:
            self._waits_since, self._next_word = time.monotonic(), _FIRST_WORD_SECONDS
        elif time.monotonic() - self._waits_since > self._next_word:
            self._next_word += _WORD_SECONDS
            why = "all that have it are busy" if has_room_for(self._reserved) else "no node of it has so much"
            self._say(f"waiting for the cluster: a trial reserves {self._reserved}, and {why}")


def require_weights_everywhere(config: Config) -> None:
    """A file of weights is named by its path, which a node that does not see the workspace has not.

    Raises:
        JobError: the config starts from such a file.
    """
    model = config.model
    if isinstance(model, ImageModelConfig) and model.weights is not None:
        raise JobError(
            f"nodes of the cluster do not see this workspace, so they do not see {model.weights} either",
            hint="put the workspace and the weights on storage that all nodes share, or use model.pretrained",
        )
