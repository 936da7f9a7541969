"""A real Ray cluster of several nodes on this machine, for tests."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

_SETTINGS = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 2000,
    "health_check_failure_threshold": 3,
    "worker_niceness": 0,
}
"""A node that is gone counts as dead after two seconds, not after half a minute; workers are not made to wait."""
_OBJECT_STORE_BYTES = 80_000_000


class SmallCluster:
    """A head that executes nothing, and nodes of one core each."""

    def __init__(self, folder: str, **head: Any) -> None:
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 0,
                "object_store_memory": _OBJECT_STORE_BYTES,
                "include_dashboard": False,
                "temp_dir": folder,
                "_system_config": _SETTINGS,
                **head,
            },
        )
        self.address: str = self.cluster.address

    def add_node(self, own_folder: Path | None = None) -> Any:
        """Add a node; with a folder of its own it does not use the workspace."""
        variables = {"KAGGLERUN_NODE_FOLDER": str(own_folder)} if own_folder else {}
        return self.cluster.add_node(num_cpus=1, object_store_memory=_OBJECT_STORE_BYTES, env_vars=variables)

    def lose_node(self, node: Any) -> None:
        """End all processes of a node at once."""
        self.cluster.remove_node(node, allow_graceful=False)


def _wait_for_ended_children() -> None:
    """Ray ends its processes without waiting for them: they would stay as zombies until this process ends."""
    for child in psutil.Process().children():
        if child.status() == psutil.STATUS_ZOMBIE:
            with suppress(ChildProcessError):
                os.waitpid(child.pid, 0)


@contextmanager
def small_cluster(nodes: int = 2, **head: Any) -> Iterator[SmallCluster]:
    """A cluster of one-core nodes, ended afterwards."""
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # sockets' paths are limited to 107 bytes
    before = dict(os.environ)
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_DEDUP_LOGS="0")
    made = SmallCluster(folder, **head)
    try:
        for _ in range(nodes):
            made.add_node()
        yield made
    finally:
        made.cluster.shutdown()
        _wait_for_ended_children()
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(folder, ignore_errors=True)
