"""A compiled network keeps its weights, its bits after a resume, and one compilation."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from kagglerun.errors import TrainingError
from kagglerun.training import compiled as compiling
from kagglerun.training.compiled import compiled, use_compile_cache
from kagglerun.training.seed import deterministic_algorithms, seed_torch

pytestmark = pytest.mark.long

CPU = torch.device("cpu")
needs_compiler = pytest.mark.skipif(
    not any(shutil.which(name) for name in ("g++", "c++", "clang++")), reason="inductor needs a C++ compiler on a CPU"
)
SIZES = [8, 8, 3, 8, 5, 8]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    from torch._inductor import config

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", f"{tempfile.gettempdir()}/torchinductor_somebody")
    monkeypatch.setattr(compiling, "_ours", None)
    use_compile_cache(tmp_path / "compiled")
    # Processes that compile side by side take longer to start than this little code to compile.
    with config.patch(compile_threads=1):
        yield tmp_path / "compiled"
    torch.compiler.reset()


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 2))


def train(model: nn.Module, mode: str, updates: range) -> dict[str, Tensor]:
    """Updates with batches of these sizes; what a batch holds follows from its number."""
    forward = compiled(model, mode, CPU, batch_size=8)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model.train()
    for number in updates:
        inputs = torch.rand(SIZES[number], 6, generator=torch.Generator().manual_seed(number))
        seed_torch(1, "dropout", number)
        optimizer.zero_grad()
        forward(inputs).square().mean().backward()
        optimizer.step()
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("mode", ["off", "auto", "cudagraphs"])
def test_on_a_cpu_only_inductor_compiles(mode: str) -> None:
    model = network()
    assert compiled(model, mode, CPU, 8) is model


@needs_compiler
@pytest.mark.slow
def test_inductor_gives_the_same_bits_twice_and_after_a_resume_at_an_odd_batch(cache: Path) -> None:
    with deterministic_algorithms(True):
        whole = train(network(), "inductor", range(6))
        again = train(network(), "inductor", range(6))
        stopped = network()
        train(stopped, "inductor", range(2))
        resumed = network()
        resumed.load_state_dict(stopped.state_dict())
        after = train(resumed, "inductor", range(2, 6))
        plain = train(network(), "off", range(6))
    assert list(whole) == list(plain), "weights keep their names"
    for name, tensor in whole.items():
        assert torch.equal(tensor, again[name]) and torch.equal(tensor, after[name]), name
        assert tensor.shape == plain[name].shape
    assert any(cache.rglob("*")), "what was compiled is kept for the next run"


def test_rests_and_evaluation_run_as_written_and_one_size_is_compiled_once(cache: Path) -> None:
    compilations = 0

    def count(module: torch.fx.GraphModule, inputs: list[Tensor]) -> object:
        nonlocal compilations
        compilations += 1
        return module.forward

    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2))
    forward = compiled(model, "inductor", CPU, batch_size=8)
    forward._call = torch.compile(model, backend=count, dynamic=False)  # type: ignore[union-attr]
    model.train()
    for size in SIZES:
        inputs = torch.rand(size, 6)
        assert torch.equal(forward(inputs), model(inputs))
    model.eval()
    forward(torch.rand(8, 6))
    assert compilations == 1


def test_a_network_that_cannot_be_compiled_is_an_error_with_a_way_out() -> None:
    from torch._dynamo.exc import TorchDynamoException

    def fail(*_: Tensor) -> Tensor:
        raise TorchDynamoException("no C++ compiler")

    model = network().train()
    forward = compiled(model, "inductor", CPU, batch_size=8)
    forward._call = fail  # type: ignore[union-attr]
    with pytest.raises(TrainingError, match=r"training\.compile is 'inductor'") as caught:
        forward(torch.rand(8, 6))
    assert caught.value.hint == "training.compile=off"


def test_gradients_of_recorded_graphs_are_copied_where_they_are_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    # CUDA graphs give gradients in memory that the next replay writes to; played on a CPU by one buffer.
    monkeypatch.setattr(torch, "compile", lambda model, **_: model)
    for accumulates, own in ((True, True), (False, False)):
        model = nn.Linear(3, 1, bias=False)
        compiled(model, "cudagraphs", torch.device("cuda", 0), 8, accumulates)
        buffer = torch.ones(1, 3)
        (model.weight * 1).backward(buffer)
        assert (model.weight.grad is not None) and (len(model.weight._backward_hooks or ()) > 0) == own


def test_a_folder_that_the_user_named_for_compiled_code_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/mine")
    use_compile_cache(tmp_path)
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "/mine"
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    monkeypatch.setattr(compiling, "_ours", None)
    for workspace in (tmp_path / "one", tmp_path / "other"):
        use_compile_cache(workspace)
        assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(workspace)
