"""What the driver, the GPUs and torch are like, as the checks see them.

Sizes are bytes, times seconds. None means that it could not be found out, unless something else is said.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DriverState:
    """NVIDIA's driver, as far as it shows without torch.

    Attributes:
        cards: NVIDIA GPUs on the PCI bus.
        module: version of the loaded kernel module; None where none is loaded.
        version: the driver's version by NVML.
        cuda: the newest CUDA that the driver speaks, e.g. (12, 4).
        nvml_error: what NVML said when it could not start; None where it did.
        nodes: the devices' files under /dev.
        has_libcuda: whether libcuda.so.1 can be loaded.
        container: "docker", "podman" ...; None outside of one.
        visible: CUDA_VISIBLE_DEVICES, None where it is not set.
        library_path: folders of LD_LIBRARY_PATH that hold another CUDA's or cuDNN's libraries.
    """

    cards: int = 0
    module: str | None = None
    version: str | None = None
    cuda: tuple[int, int] | None = None
    nvml_error: str | None = None
    nodes: tuple[str, ...] = ()
    has_libcuda: bool = False
    container: str | None = None
    visible: str | None = None
    library_path: tuple[str, ...] = ()

    @property
    def hides_gpus(self) -> bool:
        """Whether CUDA_VISIBLE_DEVICES hides every GPU."""
        return self.visible is not None and self.visible.strip() in ("", "-1")


@dataclass(frozen=True)
class GpuState:
    """One GPU by NVML.

    Attributes:
        index: NVML's number.
        name: the model.
        capability: compute capability.
        memory_total: its memory.
        memory_used: what is taken, by anybody.
        mig: whether it is in MIG mode; None where it has none.
        slices: number of its slices.
        compute_mode: "default", "exclusive" (one process at a time) or "prohibited".
        other_processes: processes that compute on it.
        uncorrected_errors: memory errors that ECC could not correct since the driver was loaded.
        remap_pending: whether memory waits for a reset to be taken out of use.
        slowdowns: reasons for which its clock is lowered now, in words.
        celsius: temperature.
        link_width: PCIe lanes in use.
        link_width_max: PCIe lanes of the GPU.
        power_limit_watts: the power limit that is set.
        power_default_watts: the one it has from the factory.
        lost: the driver's words where it does not answer any more.
    """

    index: int
    name: str
    capability: tuple[int, int] | None = None
    memory_total: int | None = None
    memory_used: int | None = None
    mig: bool | None = None
    slices: int = 0
    compute_mode: str = "default"
    other_processes: int = 0
    uncorrected_errors: int | None = None
    remap_pending: bool = False
    slowdowns: tuple[str, ...] = ()
    celsius: float | None = None
    link_width: int | None = None
    link_width_max: int | None = None
    power_limit_watts: float | None = None
    power_default_watts: float | None = None
    lost: str | None = None


@dataclass(frozen=True)
class DeviceState:
    """A device that torch computed on, in a process of its own.

    Attributes:
        name: "cpu", or "cuda:0" and so on.
        model: what it is called.
        capability: compute capability; None for a CPU.
        repeats: whether a deterministic product gave the same bits twice.
        error_share: largest difference from the product in float64, relative to its largest entry.
        failure: what went wrong, in torch's words.
        cudnn_failure: what went wrong in a convolution.
    """

    name: str
    model: str
    capability: tuple[int, int] | None = None
    repeats: bool | None = None
    error_share: float | None = None
    failure: str | None = None
    cudnn_failure: str | None = None


@dataclass(frozen=True)
class TorchState:
    """torch, looked at from a child process.

    Attributes:
        version: its version; None where it could not be imported.
        cuda: the CUDA it was built for; None for a build without.
        archs: the architectures it carries kernels for, e.g. "sm_80", "compute_90".
        cudnn: version of cuDNN, e.g. 90200.
        nccl: version of NCCL.
        is_available: whether it sees a GPU.
        why_not: its warning where it sees none.
        failure: the end of what the child said when it failed; None where it ended well.
        devices: each device and what computing on it gave.
        threads: how many it would compute with.
        peers: pairs of GPUs that cannot reach one another's memory.
    """

    version: str | None
    cuda: str | None = None
    archs: tuple[str, ...] = ()
    cudnn: int | None = None
    nccl: str | None = None
    is_available: bool = False
    why_not: str | None = None
    failure: str | None = None
    devices: tuple[DeviceState, ...] = ()
    threads: int | None = None
    peers: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class AllReduceState:
    """A sum over all GPUs, one process each.

    Attributes:
        devices: how many took part.
        backend: "nccl" or "gloo".
        seconds: how long it took, from joining on.
        bytes_per_second: what crosses each device's link in a larger sum.
        failure: what went wrong; None where the sum was right.
    """

    devices: int
    backend: str
    seconds: float | None = None
    bytes_per_second: float | None = None
    failure: str | None = None
