"""torch and every device it sees: `TorchState` and `DeviceState` piece by piece."""

from __future__ import annotations

import os
import platform
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from itertools import permutations
from typing import TYPE_CHECKING

from kagglerun.environment.doctor.children.tell import begin, tell
from kagglerun.environment.doctor.gpu_states import DeviceState

if TYPE_CHECKING:
    import torch

_SIDE = {"cpu": 512, "cuda": 1024}
"""Of the matrices; a GPU's units are all used from 1,024 on."""


def main() -> None:
    """Tell `torch`, `available`, then `testing` and `device` for each."""
    begin()
    # cuBLAS reads it when its handle is made.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    import torch

    tell(torch=_build())
    available, why_not = _availability()
    tell(available=available, why_not=why_not)
    torch.use_deterministic_algorithms(True)
    for name in ("cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count() if available else 0))):
        tell(testing=name)
        tell(device=asdict(look(torch.device(name))))
    if available:
        tell(peers=list(_without_peer_access()))


def look(device: torch.device) -> DeviceState:
    """Compute a product and a convolution twice on a device."""
    import torch

    model, capability = platform.processor() or platform.machine(), None
    try:
        if device.type == "cuda":
            model = torch.cuda.get_device_name(device)
            capability = torch.cuda.get_device_capability(device)
        repeats, error_share = _product(device)
    except Exception as error:  # whatever a broken driver raises is the finding
        return DeviceState(str(device), model, capability, failure=f"{type(error).__name__}: {error}")
    convolves, failure = _convolution(device)
    return DeviceState(str(device), model, capability, repeats and convolves, error_share, cudnn_failure=failure)


def _product(device: torch.device) -> tuple[bool, float]:
    """Whether the bits repeat, and how far they are from the product in float64."""
    import torch

    side = _SIDE[device.type]
    source = torch.Generator().manual_seed(0)
    left, right = torch.randn((2, side, side), generator=source)
    ours = left.to(device), right.to(device)
    first, second = (ours[0] @ ours[1] for _ in range(2))
    exact = left.double() @ right.double()
    error = (first.cpu().double() - exact).abs().max() / exact.abs().max()
    return bool(torch.equal(first, second)), float(error)


def _convolution(device: torch.device) -> tuple[bool, str | None]:
    """Whether the bits of a convolution and its gradient repeat; or why it failed."""
    import torch

    source = torch.Generator().manual_seed(1)
    images = torch.randn((4, 8, 32, 32), generator=source).to(device)
    kernel = torch.randn((8, 8, 3, 3), generator=source).to(device).requires_grad_()
    try:
        results = []
        for _ in range(2):
            value = torch.nn.functional.conv2d(images, kernel, padding=1)
            (gradient,) = torch.autograd.grad(value.square().sum(), kernel)
            results.append((value, gradient))
        return all(torch.equal(one, other) for one, other in zip(*results, strict=True)), None
    except RuntimeError as error:
        return True, f"{type(error).__name__}: {error}"


def _build() -> dict[str, object]:
    import torch

    nccl = torch.cuda.nccl.version() if torch.version.cuda and torch.distributed.is_nccl_available() else None  # type: ignore[no-untyped-call]
    flags = torch._C._cuda_getArchFlags() if torch.version.cuda else None  # get_arch_list() wants a GPU in older ones
    return {
        "version": torch.__version__,
        "cuda": torch.version.cuda,
        "archs": (flags or "").split(),
        "cudnn": torch.backends.cudnn.version() if torch.version.cuda else None,  # type: ignore[no-untyped-call]
        "nccl": None if nccl is None else ".".join(map(str, nccl)),
        "threads": torch.get_num_threads(),
    }


def _availability() -> tuple[bool, str | None]:
    """Whether torch sees a GPU, and its own words for why it does not."""
    import torch

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if torch.cuda.is_available():
            return True, None
    said = [str(warning.message) for warning in caught]
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except Exception as error:  # its words are what is wanted
        said.append(str(error))
    return False, "\n".join(said) or None


def _without_peer_access() -> Iterator[tuple[int, int]]:
    import torch

    for one, other in permutations(range(torch.cuda.device_count()), 2):
        if one < other and not torch.cuda.can_device_access_peer(one, other):
            yield one, other


if __name__ == "__main__":
    main()
