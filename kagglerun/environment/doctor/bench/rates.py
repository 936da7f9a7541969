"""What was measured."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True)
class Rate:
    """How much of something a second.

    Attributes:
        name: what, e.g. "cuda:0 matmul bf16".
        value: how much.
        unit: of what: "FLOP/s", "B/s", "images/s", "files/s".
        published: what the model is published to reach, or its link carries; None where nothing is known.
    """

    name: str
    value: float
    unit: str
    published: float | None = None

    @property
    def share(self) -> float | None:
        """Of what is published."""
        return self.value / self.published if self.published else None

    def to_dict(self) -> dict[str, Any]:
        """All of it, and the same in words."""
        share = self.share
        return {
            **asdict(self),
            "reached": in_words(self.value, self.unit),
            "published": None if self.published is None else in_words(self.published, self.unit),
            "share": None if share is None else f"{share:.0%}",
        }


@dataclass(frozen=True)
class GpuMeasures:
    """One GPU.

    Attributes:
        name: torch's name of the device.
        model: what it is called.
        rates: what it reached.
        busy_before: share of the time in which others' kernels ran before the measuring; None where it is not told.
        others: processes of others that computed on it.
        slowdowns: why its clock was lowered meanwhile, in words.
        at_power_limit: share of the looks at which it was at its power limit.
        is_slice: whether it is a slice of a GPU.
        failure: why it could not be measured.
    """

    name: str
    model: str
    rates: tuple[Rate, ...] = ()
    busy_before: float | None = None
    others: int = 0
    slowdowns: tuple[str, ...] = ()
    at_power_limit: float | None = None
    is_slice: bool = False
    failure: str | None = None


@dataclass(frozen=True)
class Measures:
    """The machine.

    Attributes:
        gpus: each GPU.
        host: processor, decoding and disk.
        cores: cores that decoded.
        failures: what could not be measured, and why.
    """

    gpus: tuple[GpuMeasures, ...] = ()
    host: tuple[Rate, ...] = ()
    cores: int = 1
    failures: tuple[str, ...] = field(default=())

    @property
    def rates(self) -> tuple[Rate, ...]:
        """All of them."""
        return (*(rate for gpu in self.gpus for rate in gpu.rates), *self.host)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "rates": [rate.to_dict() for rate in self.rates],
            "gpus": [{**asdict(gpu), "rates": [rate.to_dict() for rate in gpu.rates]} for gpu in self.gpus],
            "failures": list(self.failures),
        }


def in_words(value: float, unit: str) -> str:
    """`312 TFLOP/s`, `1.6 GB/s`, `820 images/s`."""
    for size, prefix in _PREFIXES:
        if value >= size and unit in ("FLOP/s", "B/s"):
            return f"{value / size:.3g} {prefix}{unit}"
    return f"{value:.0f} {unit}" if value >= 10 else f"{value:.2g} {unit}"
