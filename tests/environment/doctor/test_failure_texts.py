"""The texts that people meet, as the programs print them, are recognised; others are not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kagglerun.environment.doctor.failure_texts import KNOWN, explain, words_of

TEXTS = {
    "ImportError: libcudart.so.12: cannot open shared object file: No such file or directory": "cuda-library",
    "ImportError: libcublas.so.12: cannot open shared object file: No such file or directory": "cuda-library",
    "ImportError: .../libcusparse.so.12: undefined symbol: __nvJitLinkComplete_12_4, version libnvJitLink.so.12": (
        "cuda-library"
    ),
    "OSError: libcurand.so.10: cannot open shared object file: No such file or directory": "cuda-library",
    "ImportError: libcudnn.so.9: cannot open shared object file: No such file or directory": "cudnn",
    "Could not load library libcudnn_cnn_infer.so.8. Error: libcuda.so: cannot open shared object file": "libcuda",
    "Unable to load any of {libcudnn_ops.so.9.1.0, libcudnn_ops.so.9.1, libcudnn_ops.so.9, libcudnn_ops.so}": "cudnn",
    "RuntimeError: cuDNN error: CUDNN_STATUS_NOT_INITIALIZED": "cudnn",
    "RuntimeError: GET was unable to find an engine to execute this computation": "cudnn",
    "RuntimeError: cuDNN version incompatibility: PyTorch was compiled  against (9, 1, 0)": "cudnn",
    "CUDA error: no kernel image is available for execution on the device": "no-kernel-image",
    "NVIDIA GeForce RTX 5090 with CUDA capability sm_120 is not compatible with the current PyTorch installation.": (
        "no-kernel-image"
    ),
    "RuntimeError: Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU": "no-driver",
    "RuntimeError: No CUDA GPUs are available": "no-driver",
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.": "no-driver",
    "The NVIDIA driver on your system is too old (found version 11040).": "driver-too-old",
    "CUDA driver version is insufficient for CUDA runtime version": "driver-too-old",
    "Failed to initialize NVML: Driver/library version mismatch": "driver-mismatch",
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.": "out-of-memory",
    "RuntimeError: CUDA error: device-side assert triggered": "illegal-address",
    "RuntimeError: CUDA error: an illegal memory access was encountered": "illegal-address",
    "NVRM: Xid (PCI:0000:65:00): 79, pid=1, GPU has fallen off the bus.": "gpu-lost",
    "RuntimeError: CUDA error: all CUDA-capable devices are busy or unavailable": "exclusive",
    "RuntimeError: DataLoader worker (pid 12) is killed by signal: Bus error. It is possible that dataloader's "
    "workers are out of shared memory. Please try to raise your shared memory limit.": "shared-memory",
    "RuntimeError: unable to write to file </torch_12_3_4>: No space left on device (28)": "shared-memory",
    "OSError: [Errno 24] Too many open files": "open-files",
    "RuntimeError: received 0 items of ancdata": "open-files",
    "torch.distributed.DistBackendError: NCCL error in: ../torch/csrc/distributed/c10d/NCCLUtils.hpp:268": "nccl",
    "/lib/x86_64-linux-gnu/libstdc++.so.6: version `GLIBCXX_3.4.30' not found": "glibc",
    "OSError: libgomp.so.1: cannot open shared object file: No such file or directory": "libgomp",
    "ImportError: libgomp-d22c30c5.so.1.0.0: cannot allocate memory in static TLS block": "libgomp",
    "Fatal Python error: Illegal instruction": "cpu-instructions",
}
NOT_OURS = (
    "KeyError: 'label'",
    "ValueError: could not convert string to float: 'abc'",
    "FileNotFoundError: [Errno 2] No such file or directory: 'cuda.csv'",
    "RuntimeError: mat1 and mat2 shapes cannot be multiplied (8x3 and 4x2)",
)


@pytest.mark.parametrize("text", TEXTS)
def test_a_failure_text_is_recognised(text: str) -> None:
    known = explain(text)
    assert known is not None, text
    assert known.name == TEXTS[text]


@pytest.mark.parametrize("text", NOT_OURS)
def test_other_errors_are_left_alone(text: str) -> None:
    assert explain(text) is None


def test_every_known_failure_has_an_example_and_a_name_of_its_own() -> None:
    assert {known.name for known in KNOWN} == set(TEXTS.values())
    assert len({known.name for known in KNOWN}) == len(KNOWN)


def test_the_words_of_an_error_hold_those_of_its_causes() -> None:
    try:
        try:
            raise OSError("libcudart.so.12: cannot open shared object file")
        except OSError as first:
            raise RuntimeError("torch is broken") from first
    except RuntimeError as error:
        known = explain(words_of(error))
    assert known is not None
    assert known.name == "cuda-library"


def _with_broken_torch(folder: Path, *arguments: str, error: str) -> subprocess.CompletedProcess[str]:
    """The command line, with a torch that fails to be imported."""
    (folder / "torch").mkdir(exist_ok=True)
    (folder / "torch" / "__init__.py").write_text(f"raise {error}\n")
    program = "import sys; from kagglerun.cli.main import run; sys.exit(run(sys.argv[1:]))"
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(folder)},
        cwd=folder,
        timeout=60,
    )


def test_a_command_that_meets_one_explains_it_and_others_keep_their_traceback(tmp_path: Path) -> None:
    missing = "libcudart.so.13: cannot open shared object file: No such file or directory"
    told = _with_broken_torch(tmp_path, "doctor", "--resume", error=f"ImportError({missing!r})")
    assert told.returncode == 1
    assert missing in told.stderr
    assert "→ unset LD_LIBRARY_PATH" in told.stderr
    assert "Traceback" not in told.stderr
    assert "Traceback" in _with_broken_torch(tmp_path, "doctor", "--resume", error="KeyError('label')").stderr
