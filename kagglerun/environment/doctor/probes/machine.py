"""All of a machine, as a `Probe`."""

from __future__ import annotations

from pathlib import Path

from kagglerun.environment.doctor.gpu_states import AllReduceState, TorchState
from kagglerun.environment.doctor.probe import Probe
from kagglerun.environment.doctor.probes.account import kaggle_state
from kagglerun.environment.doctor.probes.computing import all_reduce_state, torch_state
from kagglerun.environment.doctor.probes.databases import database_states
from kagglerun.environment.doctor.probes.driver import driver_and_gpus
from kagglerun.environment.doctor.probes.limits import limit_state
from kagglerun.environment.doctor.probes.notebook import notebook_state
from kagglerun.environment.doctor.probes.packages import package_states, python_state
from kagglerun.workspace import Workspace

LOCK = Path(__file__).parents[2] / "requirements.lock"


def probe_machine(workspace: Workspace | None, ask_network: bool = True, seconds: float = 120.0) -> Probe:
    """Look at this machine.

    Args:
        workspace: whose databases, configs and disk are looked at; None where there is none.
        ask_network: ask Kaggle, and databases and servers that are elsewhere.
        seconds: how long torch may take on all devices.
    """
    driver, gpus = driver_and_gpus()
    torch = torch_state(seconds)
    kaggle = kaggle_state(ask_network)
    return Probe(
        python=python_state(),
        packages=package_states(LOCK),
        driver=driver,
        gpus=gpus,
        torch=torch,
        all_reduce=_all_reduce(torch, seconds),
        limits=limit_state(workspace),
        kaggle=kaggle,
        databases=database_states(workspace, ask_network) if workspace is not None else (),
        notebook=notebook_state(gpus, kaggle, workspace),
    )


def _all_reduce(torch: TorchState, seconds: float) -> AllReduceState | None:
    gpus = [device for device in torch.devices if device.name != "cpu"]
    if len(gpus) < 2 or any(device.failure for device in gpus):
        return None
    return all_reduce_state(len(gpus), "nccl", seconds)
