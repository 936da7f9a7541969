"""Mixed precision: which number format, and whether the loss must be scaled."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch

from kagglerun.errors import ConfigError

_AMPERE = (8, 0)


def resolve_device(name: str) -> torch.device:
    """The device that `auto`, `cpu` or `cuda` means on this machine; each process of torchrun has a GPU of its own.

    Raises:
        ConfigError: cuda was asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "training.device is 'cuda', but torch sees no GPU on this machine",
            hint="training.device=auto    (or check the driver with nvidia-smi)",
        )
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        return torch.device(name, int(os.environ["LOCAL_RANK"]))
    return torch.device(name)


@dataclass(frozen=True)
class Precision:
    """A number format for the forward pass.

    Attributes:
        name: "fp32", "tf32", "fp16" or "bf16".
        device: where it runs.
    """

    name: str
    device: torch.device

    @classmethod
    def resolve(cls, name: str, device: torch.device) -> Precision:
        """What `auto` means on this device: bf16 from Ampere on, fp16 on Volta and Turing, fp32 elsewhere.

        Older GPUs emulate bf16 slowly, so torch's own `is_bf16_supported` is not asked.

        Raises:
            ConfigError: fp16 was asked for on a CPU.
        """
        if name == "fp16" and device.type == "cpu":
            raise ConfigError("training.precision is 'fp16', which needs a GPU", hint="training.precision=auto")
        if name != "auto":
            return cls(name, device)
        if device.type != "cuda":
            return cls("fp32", device)
        capability = torch.cuda.get_device_capability(device)
        if capability >= _AMPERE:
            return cls("bf16", device)
        return cls("fp16" if capability >= (7, 0) else "fp32", device)

    @property
    def scales_loss(self) -> bool:
        """fp16 gradients underflow unless the loss is scaled."""
        return self.name == "fp16"

    def autocast(self) -> AbstractContextManager[None]:
        """The context of a forward pass."""
        if self.name in ("fp32", "tf32"):
            return nullcontext()
        dtype = torch.float16 if self.name == "fp16" else torch.bfloat16
        return torch.autocast(self.device.type, dtype=dtype)

    @contextmanager
    def float32_math(self) -> Iterator[None]:
        """How matrices and convolutions of float32 are multiplied within the block: strictly, or as TF32 for "tf32".

        torch itself would let convolutions use TF32. What stood before is restored.
        """
        with warnings.catch_warnings():
            # Some versions advise fp32_precision, which 2.6 does not know; the two ways must not be mixed.
            warnings.simplefilter("ignore")
            before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
            _allow_tf32(self.name == "tf32", self.name == "tf32")
        try:
            yield
        finally:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                _allow_tf32(*before)


def _allow_tf32(in_matmul: bool, in_convolutions: bool) -> None:
    torch.backends.cuda.matmul.allow_tf32 = in_matmul
    torch.backends.cudnn.allow_tf32 = in_convolutions
