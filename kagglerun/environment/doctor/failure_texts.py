"""Failure texts that people meet, each with what it means and what mends it.

They come from the dynamic linker, NVIDIA's driver, torch, NCCL and the kernel; the patterns are pieces that have
stayed the same over their releases.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from re import Pattern


@dataclass(frozen=True)
class FailureText:
    """A known failure.

    Attributes:
        name: what we call it.
        pattern: what its text holds, whatever the case of letters.
        why: what it means.
        mend: the command or the line that mends it.
    """

    name: str
    pattern: Pattern[str]
    why: str
    mend: str


def _known(name: str, pattern: str, why: str, mend: str) -> FailureText:
    return FailureText(name, re.compile(pattern, re.IGNORECASE), why, mend)


KNOWN: tuple[FailureText, ...] = (
    _known(
        "no-kernel-image",
        r"no kernel image is available|is not compatible with the current PyTorch installation",
        "this torch was built without kernels for this model of GPU",
        "kagglerun doctor    (says which torch has them: an older GPU an older torch, a new GPU a newer one)",
    ),
    _known(
        "driver-too-old",
        r"driver (?:on your system )?(?:version )?is (?:too old|insufficient)|"
        r"cuda driver version is insufficient for cuda runtime|system has unsupported display driver",
        "NVIDIA's driver is older than the CUDA that torch was built for",
        "a newer driver on the host, or an older torch: kagglerun doctor names both",
    ),
    _known(
        "driver-mismatch",
        r"driver/library version mismatch|LIB_RM_VERSION_MISMATCH",
        "the driver was updated, and the old one is still loaded",
        "sudo reboot    (or, with nothing on the GPU: sudo rmmod nvidia_uvm nvidia && sudo modprobe nvidia)",
    ),
    _known(
        "no-driver",
        r"found no nvidia driver|couldn't communicate with the nvidia driver|no cuda gpus are available|"
        r"no cuda-capable device is detected|nvml.*driver not loaded|could not load dynamic library 'libcuda\.so",
        "no NVIDIA driver or no GPU can be reached from here",
        "nvidia-smi on the host; in a container: docker run --gpus all ...; else training.device=cpu",
    ),
    _known(
        "libcuda",
        r"libcuda\.so(?:\.1)?: cannot open shared object file|libcuda\.so(?:\.1)? (?:cannot be|not) found",
        "the driver's own library is not here: no driver, or a container without it",
        "docker run --gpus all -e NVIDIA_DRIVER_CAPABILITIES=compute,utility ...; outside: install the driver",
    ),
    _known(
        "cuda-library",
        r"lib(?:cudart|cublas\w*|cufft|curand|cusolver|cusparse\w*|nvrtc|nvjitlink|cupti|nvshmem_host|cufile)[\w.-]*"
        r"\.so[\d.]*: (?:cannot open shared object file|undefined symbol|version)|undefined symbol: \w*nvjitlink",
        "a library of CUDA that torch brings as a package is missing, or another CUDA's is loaded in its place",
        "unset LD_LIBRARY_PATH, then reinstall torch with its nvidia-* packages: make setup",
    ),
    _known(
        "cudnn",
        r"could not load library libcudnn|libcudnn[\w.-]*\.so[\d.]*: cannot open|unable to load any of \{?libcudnn|"
        r"CUDNN_STATUS_(?:NOT_INITIALIZED|SUBLIBRARY|VERSION_MISMATCH)|cudnn library not loaded|"
        r"get was unable to find an engine|cuDNN version incompatibility|CUDNN_STATUS_NOT_SUPPORTED",
        "cuDNN could not be loaded, or another version of it is found first",
        "unset LD_LIBRARY_PATH, then reinstall torch with nvidia-cudnn: make setup; short of memory: a smaller batch",
    ),
    _known(
        "out-of-memory",
        r"cuda out of memory|CUDA_ERROR_OUT_OF_MEMORY|CUBLAS_STATUS_ALLOC_FAILED|hip out of memory",
        "the GPU's memory is used up, by this training or by others",
        "training.batch_size=auto; training.gradient_checkpointing=true; nvidia-smi says who else is on it",
    ),
    _known(
        "illegal-address",
        r"illegal memory access|device-side assert triggered|CUDA_ERROR_ILLEGAL_ADDRESS",
        "a kernel read outside its memory: mostly a label or index outside its range, told later than it happened",
        "CUDA_LAUNCH_BLOCKING=1 kagglerun train ... shows where; training.device=cpu says it in words",
    ),
    _known(
        "gpu-lost",
        r"gpu is lost|fallen off the bus|uncorrectable ECC error|CUDA_ERROR_ECC_UNCORRECTABLE|Xid \(",
        "the GPU itself failed: it does not answer, or its memory is broken",
        "sudo nvidia-smi --gpu-reset, else reboot; when it comes back: another machine",
    ),
    _known(
        "exclusive",
        r"all cuda-capable devices are busy or unavailable|CUDA_ERROR_DEVICE_UNAVAILABLE",
        "another process has the GPU to itself, or it is in MIG mode without a slice",
        "nvidia-smi    (who it is); sudo nvidia-smi -c DEFAULT",
    ),
    _known(
        "shared-memory",
        r"bus error|out of shared memory|unable to (?:mmap|write|resize).{0,80}/?(?:dev/shm|torch_)|"
        r"insufficient shared memory|no space left on device.{0,60}shm|error while creating shared memory segment",
        "shared memory (/dev/shm) is full: loader workers and NCCL use it",
        "docker run --shm-size=8g ...; outside of containers: sudo mount -o remount,size=8G /dev/shm",
    ),
    _known(
        "open-files",
        r"too many open files|received 0 items of ancdata",
        "the shell's limit of open files is too low for the loader workers",
        "ulimit -n 65536",
    ),
    _known(
        "nccl",
        r"nccl (?:error|warn)|ncclSystemError|ncclInternalError|ncclUnhandledCudaError|NCCL communicator",
        "GPUs could not reach one another",
        "kagglerun doctor; then NCCL_DEBUG=INFO; try NCCL_P2P_DISABLE=1, NCCL_SHM_DISABLE=1, NCCL_SOCKET_IFNAME=lo",
    ),
    _known(
        "glibc",
        r"GLIBC(?:XX)?_[\d.]+' not found",
        "the system's C or C++ library is older than what a package was built for",
        "a newer base system: kagglerun image build    (or conda-forge's libstdcxx-ng)",
    ),
    _known(
        "libgomp",
        r"libgomp\.so\.1: cannot open|cannot allocate memory in static TLS block",
        "OpenMP's library is missing, or was loaded too late",
        "apt install libgomp1; static TLS: import torch before sklearn and lightgbm, or LD_PRELOAD=libgomp.so.1",
    ),
    _known(
        "cpu-instructions",
        r"illegal instruction",
        "a package uses instructions that this CPU does not have",
        "lscpu | grep avx2    (absent: another machine, or ATEN_CPU_CAPABILITY=default)",
    ),
)
"""In the order in which they are tried: the first that fits explains."""


def explain(text: str) -> FailureText | None:
    """The known failure that a text is about; None where it is none of them.

    Args:
        text: an error's words, a traceback or the end of a log.
    """
    return next((known for known in KNOWN if known.pattern.search(text)), None)


def words_of(error: BaseException) -> str:
    """The words of an error and of those that led to it, the last one first."""
    told, seen = [], set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        told.append(f"{type(current).__name__}: {current}")
        current = current.__cause__ or current.__context__
    return "\n".join(told)
