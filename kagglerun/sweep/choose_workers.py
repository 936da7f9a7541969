"""Who executes a study's trials: processes of this machine, or a Ray cluster.

What was chosen lies in the study's folder, so `kagglerun resume` goes on in the same way; a study may go on in the
other one, since its results do not depend on it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import IO

from kagglerun.errors import JobError
from kagglerun.experiment.reserved_gpus import uses_gpus
from kagglerun.files import read_json, write_json
from kagglerun.sweep.devices import free_gpus, visible_gpus
from kagglerun.sweep.local_workers import LocalWorkers
from kagglerun.sweep.study import StudySpec
from kagglerun.sweep.workers import Workers
from kagglerun.workspace import StudyPaths, Workspace


def choose_ray(paths: StudyPaths, address: str | None) -> None:
    """Have the study's trials executed on the Ray cluster of this address; None: on this machine."""
    if address is None:
        paths.workers.unlink(missing_ok=True)
    else:
        write_json(paths.workers, {"ray": address})


def ray_address(paths: StudyPaths) -> str | None:
    """The cluster that was chosen for a study; None: this machine.

    Raises:
        JobError: what was chosen cannot be read.
    """
    try:
        return str(read_json(paths.workers)["ray"])
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise JobError(
            f"{paths.workers} is damaged: {error}", hint="the same `kagglerun sweep` as before writes it anew"
        ) from error


def make_workers(
    workspace: Workspace,
    paths: StudyPaths,
    spec: StudySpec,
    lock: int,
    log: IO[bytes] | None,
    say: Callable[[str], None],
) -> Workers:
    """The workers that were chosen for a study.

    Args:
        workspace: where runs are written.
        paths: the study.
        spec: what it is.
        lock: descriptor of the study's lock, which processes of this machine inherit.
        log: file for what trials print; None is standard error.
        say: writes a line to the log.

    Raises:
        JobError: the Ray cluster does not answer.
        ConfigError: Ray is not installed.
    """
    count = min(spec.config.sweep.n_workers, spec.lag)
    address = ray_address(paths)
    if address is None:
        slots, gpus = spec.config.sweep.slots, spec.config.training.gpus
        assert isinstance(slots, int), "slots: auto is settled when the study begins"
        # Trials on the CPU are not kept from it by others who have reserved the GPUs.
        devices = free_gpus if uses_gpus(spec.config) else visible_gpus
        return LocalWorkers(workspace, spec.objective, count, lock, log, slots=slots, gpus=gpus, devices=devices)
    from kagglerun.sweep.ray.ray_workers import RayWorkers

    return RayWorkers(workspace, paths, spec.objective, spec.config, count, address, say, log)
