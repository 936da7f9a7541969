"""The connection to a Ray cluster, and what a trial reserves there."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kagglerun
from kagglerun.config.schema import Config
from kagglerun.errors import ConfigError, JobError

AUTO = "auto"
_ANSWER_SECONDS = 10.0
_IN_RAY_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
_TRACKED_LATER = {"KAGGLERUN_MLFLOW_URI": "none"}
"""Nodes write journals alone: one process, the coordinator's, brings MLflow up to them. So no database is opened
from two machines, and no password travels."""


@dataclass(frozen=True)
class Reserved:
    """What a trial reserves on the cluster."""

    gpus: float
    cpus: float

    def fits(self, resources: dict[str, float]) -> bool:
        """Whether a node with these resources can have a trial."""
        return resources.get("GPU", 0.0) >= self.gpus and resources.get("CPU", 0.0) >= self.cpus

    def __str__(self) -> str:
        cpus = f"{self.cpus:g} CPU core{'s' if self.cpus != 1 else ''}"
        return f"{self.gpus:g} GPU and {cpus}" if self.gpus else cpus


def require_ray() -> Any:
    """The module ray.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise ConfigError(f"Ray cannot be imported: {error}", hint="pip install 'kagglerun[ray]'") from None
    logging.getLogger("ray").setLevel(logging.ERROR)  # it tells of each package that it sends
    return ray


def connect(address: str) -> None:
    """Join a cluster as a driver; the package's code goes to its nodes.

    Args:
        address: `auto` (a cluster that this machine is part of), `host:port`, or `ray://host:port`.

    Raises:
        JobError: there is no such cluster, or it has another version of Ray or Python.
    """
    ray = require_ray()
    if ray.is_initialized():
        return
    _require_answer(address)
    with _signals_kept():
        try:
            ray.init(
                address=address, runtime_env=_code(), log_to_driver=False, logging_level="ERROR", namespace="kagglerun"
            )
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise _no_answer(address, str(error)) from error


def check_address(address: str) -> tuple[str, int] | None:
    """Host and port of a cluster's address; None for `auto`.

    Raises:
        ConfigError: it is neither `auto`, nor `host:port`, nor `ray://host:port`.
    """
    if address == AUTO:
        return None
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not (host and colon and port.isdecimal() and 0 < int(port) < 65536) or "/" in host:
        raise ConfigError(f"--ray {address!r} is no address", hint="auto, HOST:6379 or ray://HOST:10001")
    return host, int(port)


def _require_answer(address: str) -> None:
    """Ray itself tries a wrong address for ten minutes."""
    parts = check_address(address)
    if parts is None:
        return
    host, port = parts
    try:
        socket.create_connection((host.strip("[]"), port), _ANSWER_SECONDS).close()
    except OSError as error:
        raise _no_answer(address, str(error)) from error


def _no_answer(address: str, why: str) -> JobError:
    return JobError(
        f"no Ray cluster answers at {address!r}: {why.strip().splitlines()[0]}",
        hint="start one with `ray start --head`, or give its address: --ray HOST:6379",
    )


def disconnect() -> None:
    """Leave the cluster; actors that this driver made end."""
    require_ray().shutdown()


def reserved_by(config: Config) -> Reserved:
    """What one trial reserves: as the config says, else a GPU a process where the cluster has any, and its threads."""
    sweep = config.sweep
    gpus, cpus = sweep.gpus_per_trial, sweep.cpus_per_trial
    if gpus is None:
        has_gpus = require_ray().cluster_resources().get("GPU", 0.0) > 0
        gpus = float(config.training.gpus) if has_gpus and config.training.device != "cpu" else 0.0
    return Reserved(gpus, cpus if cpus is not None else float(config.training.cpu_threads or 1))


def has_room_for(reserved: Reserved) -> bool:
    """Whether some node that is there now is large enough for a trial, busy or not."""
    return any(node["Alive"] and reserved.fits(node["Resources"]) for node in require_ray().nodes())


def node_is_alive(node: str) -> bool:
    """Whether the cluster counts a node as alive."""
    return any(each["NodeID"] == node and each["Alive"] for each in require_ray().nodes())


def package_folder() -> str:
    """The folder that holds this package's code."""
    return str(Path(kagglerun.__file__).parent)


def _code() -> dict[str, Any]:
    """The environment of workers: this package's code. A Ray job has brought it already."""
    if _IN_RAY_JOB in os.environ:
        return {"env_vars": _TRACKED_LATER}
    return {"py_modules": [package_folder()], "env_vars": _TRACKED_LATER, "excludes": ["**/__pycache__"]}


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray takes SIGTERM for itself; a job needs it to save and end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
