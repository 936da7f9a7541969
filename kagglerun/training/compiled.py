"""torch.compile of a network, with the same weights, the same bits after a resume, and one compilation.

The network itself stays as it is: its `state_dict`, its parameters and its mode are those of the module that was
given; only calls go through the compiled form.
"""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from kagglerun.errors import TrainingError

_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"

Forward = Callable[..., Tensor]
"""The model's inputs, each (n, ...), to logits (n, n_logits)."""


def compiled(
    model: nn.Module, mode: str, device: torch.device, batch_size: int | None = None, accumulates: bool = False
) -> Forward:
    """A callable that runs `model` in its compiled form in training.

    The first call compiles. Batches of another size than `batch_size` run as they are written, so that the rest of an
    epoch is never a second compilation, and what is compiled does not depend on where a run was resumed.

    Args:
        model: the network, on its device; DDP around it is fine.
        mode: "off" gives the model itself, as does an "auto" that nobody settled; "inductor" fuses kernels;
            "cudagraphs" replays a recorded step, which pays for small networks. On a CPU cudagraphs means off.
        device: where the model is.
        batch_size: samples of a full forward pass; None compiles for the first size that comes.
        accumulates: gradients of several forward passes are added before an update.

    Raises:
        TrainingError: (from the call) there is no compiler, or it cannot compile this network.
    """
    if mode in ("off", "auto") or (mode == "cudagraphs" and device.type != "cuda"):
        return model
    _quiet_compiler()
    # A process that compiles many folds would reach the compiler's limit of variants and then run uncompiled.
    torch.compiler.reset()
    if mode == "cudagraphs" and accumulates:
        _own_gradients(model.parameters())
    return _Compiled(model, mode, batch_size)


def use_compile_cache(folder: Path) -> None:
    """Keep what inductor compiles in this folder, so that the next run and the next fold find it.

    A folder that the user named in TORCHINDUCTOR_CACHE_DIR stays.
    """
    global _ours
    named = os.environ.get(_VARIABLE)
    if named is None or named == _ours or _is_default(Path(named)):
        os.environ[_VARIABLE] = _ours = str(folder)


_ours: str | None = None
"""What this process set the variable to."""


def _is_default(named: Path) -> bool:
    """Whether inductor filled the variable in itself, as it does when it is imported."""
    return named.parent == Path(tempfile.gettempdir()) and named.name.startswith("torchinductor_")


class _Compiled:
    """Calls of one size go to the compiled form, all others to the network."""

    def __init__(self, model: nn.Module, mode: str, batch_size: int | None) -> None:
        self._model, self._mode, self._batch_size = model, mode, batch_size
        # dynamic=False: one shape, one compilation; the batch's size is a constant to the compiler.
        self._call: Forward = torch.compile(model, backend=mode, dynamic=False)
        self._proven = False

    def __call__(self, *inputs: Tensor) -> Tensor:
        size = len(inputs[0])
        if self._batch_size is None:
            self._batch_size = size
        if size != self._batch_size or not self._model.training:
            logits: Tensor = self._model(*inputs)
            return logits
        if not self._proven:
            return self._first(inputs)
        if self._mode == "cudagraphs":
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        return self._call(*inputs)

    def _first(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """The call that compiles; what the compiler says against the network is told in one line."""
        from torch._dynamo.exc import TorchDynamoException

        _fix_choices(torch.are_deterministic_algorithms_enabled())
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # advice on speed
                logits = self._call(*inputs)
        except TorchDynamoException as error:
            reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise TrainingError(
                f"training.compile is {self._mode!r}, and this network cannot be compiled here: {reason[:200]}",
                hint="training.compile=off",
            ) from error
        self._proven = True
        return logits


def _fix_choices(deterministic: bool) -> None:
    """Where results must repeat, inductor may not choose between kernels by their speed, since sums differ."""
    from torch._inductor import config

    if hasattr(config, "deterministic"):  # from torch 2.10 on
        config.deterministic = deterministic


def _own_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Copy each gradient out of the recorded graph, whose next replay would overwrite the sum."""
    for parameter in parameters:
        if parameter.requires_grad:
            parameter.register_hook(torch.clone)  # type: ignore[no-untyped-call]


def _quiet_compiler() -> None:
    """The compiler's remarks on speed are not for the user; its errors come as exceptions."""
    for name in ("torch._inductor", "torch._dynamo", "torch.utils.cpp_extension"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # Said by torch 2.6 of a setting of its own, in the first backward pass.
    warnings.filterwarnings("ignore", message="Skipping serialization of skipfiles_inline_module_allowlist")
