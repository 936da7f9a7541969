"""What can be wrong with a machine: functions from a `Probe` to findings, in the order in which people mend things."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kagglerun.environment.doctor.checks.account import check_clock, check_credentials, check_kaggle
from kagglerun.environment.doctor.checks.computing import check_all_reduce, check_devices, check_torch
from kagglerun.environment.doctor.checks.databases import check_databases
from kagglerun.environment.doctor.checks.disks import check_disks
from kagglerun.environment.doctor.checks.driver import check_driver, check_driver_version, check_library_path
from kagglerun.environment.doctor.checks.gpus import check_gpus
from kagglerun.environment.doctor.checks.limits import (
    check_cpu,
    check_loaders,
    check_memory,
    check_shared_memory,
    check_ulimits,
)
from kagglerun.environment.doctor.checks.notebook import check_notebook
from kagglerun.environment.doctor.checks.packages import check_packages, check_python
from kagglerun.environment.doctor.finding import Finding
from kagglerun.environment.doctor.probe import Probe

CHECKS: tuple[Callable[[Probe], Iterable[Finding]], ...] = (
    check_python,
    check_packages,
    check_driver,
    check_driver_version,
    check_library_path,
    check_gpus,
    check_torch,
    check_devices,
    check_all_reduce,
    check_shared_memory,
    check_disks,
    check_memory,
    check_cpu,
    check_loaders,
    check_ulimits,
    check_credentials,
    check_kaggle,
    check_clock,
    check_databases,
    check_notebook,
)


def examine(probe: Probe) -> tuple[Finding, ...]:
    """What every check says of a machine."""
    return tuple(finding for check in CHECKS for finding in check(probe))
