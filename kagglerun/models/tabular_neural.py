"""A residual network on tables, on our own training engine.

Source: the ResNet of Gorishniy et al. 2021 (Revisiting Deep Learning Models for Tabular Data), with learnt
embeddings for categories.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kagglerun.config.schema import TabularNeuralConfig
from kagglerun.errors import DataError
from kagglerun.files import write_json
from kagglerun.models.base import FoldContext, FoldOutcome, FrozenFold, InferenceInput, families
from kagglerun.models.frozen import copy_weights, read_preprocessing
from kagglerun.models.neural import FrozenNetwork, fit_neural, make_head, predict_neural, read_transform
from kagglerun.models.table_features import TableEncoding, TableFeatures, encode_tables, learn_encoding
from kagglerun.training.batches import Batch, Samples
from kagglerun.training.precision import resolve_device
from kagglerun.training.seed import deterministic_algorithms
from kagglerun.workspace import FoldPaths


@dataclass(frozen=True)
class NumberScaling:
    """Numbers as a network wants them: missing ones at the median, standardised, clipped at 5 deviations.

    Attributes:
        median: of the fold's training rows, shape (n_numbers,).
        mean: likewise.
        scale: likewise.
        missing: columns that get a 0/1 column beside them for "is missing", shape (n_flags,).
    """

    median: NDArray[np.float64]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    missing: NDArray[np.int64]

    @classmethod
    def fit(cls, numbers: NDArray[np.float64]) -> NumberScaling:
        """Learn from the fold's training rows, float64 (n, n_numbers)."""
        absent = np.isnan(numbers)
        empty = absent.all(axis=0)
        median = np.zeros(numbers.shape[1])
        median[~empty] = np.nanmedian(numbers[:, ~empty], axis=0)
        filled = np.where(absent, median, numbers)
        deviation = filled.std(axis=0)
        scale = np.where(deviation > 0, deviation, 1.0)
        return cls(median, filled.mean(axis=0), scale, np.flatnonzero(absent.any(axis=0)))

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it; numbers keep all their bits."""
        return {name: getattr(self, name).tolist() for name in ("median", "mean", "scale", "missing")}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> NumberScaling:
        """What `to_dict` gave."""
        median, mean, scale = (np.asarray(saved[name], dtype=np.float64) for name in ("median", "mean", "scale"))
        return cls(median, mean, scale, np.asarray(saved["missing"], dtype=np.int64))

    @property
    def width(self) -> int:
        """Columns of what `apply` gives."""
        return len(self.median) + len(self.missing)

    def apply(self, numbers: NDArray[np.float64]) -> NDArray[np.float32]:
        """Float32 (n, n_numbers + n_flags)."""
        absent = np.isnan(numbers)
        scaled = (np.where(absent, self.median, numbers) - self.mean) / self.scale
        flags = absent[:, self.missing].astype(np.float64)
        return np.hstack([np.clip(scaled, -5, 5), flags]).astype(np.float32)


class TableBatches:
    """Rows of a table on the device.

    Args:
        numbers: float32 (n, n_numbers).
        codes: int64 (n, n_categories), -1 where missing.
        targets: tensor with one entry a row, or None.
        device: where tensors live.
    """

    def __init__(
        self, numbers: NDArray[np.float32], codes: NDArray[np.int64], targets: Tensor | None, device: torch.device
    ) -> None:
        self._numbers = torch.from_numpy(numbers).to(device)
        self._codes = torch.from_numpy(codes + 1).to(device)
        self._targets = targets.to(device) if targets is not None else None

    def __len__(self) -> int:
        return len(self._numbers)

    def stream(self, parts: Sequence[Samples], epoch: int | None) -> Generator[Batch]:
        """Numbers float32 (n, n_numbers) and codes int64 (n, n_categories), 0 where missing."""
        del epoch  # tables are not augmented
        if not parts:
            return
        # The rows of the whole epoch go to the device at once: no copy is waited for between updates.
        rows = torch.from_numpy(np.concatenate(parts)).to(self._numbers.device)
        for own in torch.split(rows, [len(part) for part in parts]):
            yield Batch(
                (self._numbers[own], self._codes[own]), self._targets[own] if self._targets is not None else None
            )

    def targets(self) -> Tensor:
        """Targets as the loss wants them, on the CPU."""
        assert self._targets is not None, "these rows have no targets"
        return self._targets.cpu()


class TableResNet(nn.Module):
    """Embeddings and numbers through residual blocks to logits.

    Args:
        n_numbers: width of the number input.
        sizes: number of values of each category.
        n_outputs: number of logits.
        config: the model section.
    """

    def __init__(self, n_numbers: int, sizes: tuple[int, ...], n_outputs: int, config: TabularNeuralConfig) -> None:
        super().__init__()
        # One more row for "missing"; the square root keeps small categories small.
        widths = [min(config.embedding_width, 1 + round(size**0.5)) for size in sizes]
        self.embeddings = nn.ModuleList(
            nn.Embedding(size + 1, width) for size, width in zip(sizes, widths, strict=True)
        )
        self.entry = nn.Linear(n_numbers + sum(widths), config.width)
        self.blocks = nn.ModuleList(_ResidualBlock(config.width, config.dropout) for _ in range(config.depth))
        self.exit = nn.Sequential(nn.LayerNorm(config.width), nn.ReLU(), nn.Linear(config.width, n_outputs))

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """Logits (n, n_outputs) from numbers (n, n_numbers) and codes (n, n_categories)."""
        embedded = [embedding(codes[:, column]) for column, embedding in enumerate(self.embeddings)]
        hidden = self.entry(torch.cat([numbers, *embedded], dim=1))
        for block in self.blocks:
            hidden = hidden + block(hidden)
        logits: Tensor = self.exit(hidden)
        return logits


class _ResidualBlock(nn.Sequential):
    def __init__(self, width: int, dropout: float) -> None:
        super().__init__(
            nn.LayerNorm(width),
            nn.Linear(width, 2 * width),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(2 * width, width),
        )


class TabularNeuralFamily:
    """A residual network on tables."""

    def fit_fold(self, context: FoldContext) -> FoldOutcome:
        """Train one fold; see `ModelFamily`."""
        with deterministic_algorithms(context.config.training.deterministic):
            return _fit_table(context)

    def freeze_fold(self, context: FoldContext, destination: FoldPaths) -> None:
        """Copy the weights and write how tables and targets are read; see `PackagedFamily`."""
        copy_weights(context.paths.weights, destination.weights)
        train, _, _ = encode_tables(context.data.train, context.data.test)
        transform = make_head(context).transform
        saved = {
            "table": learn_encoding(context.data.train, context.data.test).to_dict(),
            "scaling": NumberScaling.fit(train.numbers[context.train_rows]).to_dict(),
            "transform": transform and transform.to_dict(),
        }
        write_json(destination.preprocessing, saved)

    def load_fold(self, fold: FrozenFold) -> TablePredictor:
        """See `PackagedFamily`."""
        return TablePredictor(fold)


class TablePredictor:
    """Predicts with the network of one fold; see `Predictor`."""

    views = 1

    def __init__(self, fold: FrozenFold) -> None:
        config, saved = fold.config.model, read_preprocessing(fold.paths)
        assert isinstance(config, TabularNeuralConfig)
        self._encoding = TableEncoding.from_dict(saved["table"])
        self._scaling = NumberScaling.from_dict(saved["scaling"])
        network = TableResNet(self._scaling.width, self._encoding.sizes, fold.n_outputs, config)
        self._network = FrozenNetwork(fold, network, read_transform(saved))
        self.rows_at_once = fold.config.training.eval_size

    def predict(self, data: InferenceInput, rows: NDArray[np.int64], view: int = 0) -> NDArray[np.float64]:
        """Predictions for some rows; see `Predictor`."""
        del view
        features = self._encoding.encode(data.table.iloc[rows])
        numbers = self._scaling.apply(features.numbers)
        return self._network.predict(TableBatches(numbers, features.codes, None, self._network.device))


def _fit_table(context: FoldContext) -> FoldOutcome:
    config, data = context.config, context.data
    model_config = config.model
    assert isinstance(model_config, TabularNeuralConfig)
    train, test, notes = encode_tables(data.train, data.test)
    if not train.names:
        raise DataError("no column of the tables can be learnt from", hint="make features in hooks.py")
    device = resolve_device(config.training.device)
    scaling = NumberScaling.fit(train.numbers[context.train_rows])
    head = make_head(context)

    def batches(features: TableFeatures, rows: NDArray[np.int64], with_targets: bool = True) -> TableBatches:
        targets = head.tensor(data.targets[rows]) if with_targets else None
        return TableBatches(scaling.apply(features.numbers[rows]), features.codes[rows], targets, device)

    valid = batches(train, context.valid_rows)
    result = fit_neural(
        context,
        head,
        build=lambda: TableResNet(scaling.width, train.sizes, data.n_outputs, model_config),
        train=batches(train, context.train_rows),
        valid=valid,
    )
    everything = np.arange(len(test.numbers), dtype=np.int64)
    unlabelled = batches(test, everything, with_targets=False)
    return FoldOutcome(
        valid=predict_neural(context, head, result.model, valid),
        test=predict_neural(context, head, result.model, unlabelled),
        history=result.history,
        best_step=result.best_epoch,
        notes=(*notes, *result.notes),
    )


families.add("tabular_neural", TabularNeuralFamily())
