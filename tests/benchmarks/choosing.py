"""Choosing the two final submissions, on competitions whose private scores are known: simulated ones.

    python tests/benchmarks/choosing.py [COMPETITIONS]

Each has candidates of several families. A row's loss is a part that all share, one that a family shares and one of the
candidate's own, so that candidates of a family fail on the same rows. From it come CV on the training rows, a public
and a private score. Then each way of choosing two is judged by the better private score of its two.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kagglerun.randomness import generator
from kagglerun.submission.finals.belief import believe
from kagglerun.submission.finals.pairs import rank_pairs, two_best
from kagglerun.submission.finals.splits import draw_splits

Numbers = NDArray[np.float64]

_TRAIN, _PUBLIC, _PRIVATE = 2000, 250, 600
_FAMILIES, _OF_EACH = 4, 5
_COMPETITIONS = 1000


@dataclass(frozen=True)
class Losses:
    """Rows with the loss of each candidate, scored by their mean; stands for out-of-fold predictions."""

    values: Numbers
    clusters: None = None
    repeats: bool = True

    @property
    def rows(self) -> NDArray[np.int64]:
        """One entry a row."""
        return np.arange(len(self.values))

    def scores(self, positions: NDArray[np.int64]) -> Numbers:
        """Minus the mean loss of each candidate."""
        return -self.values[positions].mean(axis=0)

    def losses(self) -> Numbers:
        """The losses themselves."""
        return self.values


@dataclass(frozen=True)
class Made:
    """A simulated competition: what is known of each candidate, and what is not."""

    losses: Losses
    cv: Numbers
    public: Numbers
    private: Numbers


def make(seed: int, spread: float, drift: float = 0.0) -> Made:
    """A competition with candidates whose true scores differ by `spread`, on the test set by `drift` besides."""
    random = generator(seed, "choosing")
    k = _FAMILIES * _OF_EACH
    truth = spread * np.repeat(random.standard_normal(_FAMILIES), _OF_EACH) + spread * random.standard_normal(k)
    shifts = drift * random.standard_normal(k)

    def losses(rows: int, mean: Numbers) -> Numbers:
        family = np.repeat(random.standard_normal((rows, _FAMILIES)), _OF_EACH, axis=1)
        shared = random.standard_normal((rows, 1))
        return 1 - mean + 0.8 * shared + 0.5 * family + 0.2 * random.standard_normal((rows, k))

    train, test = losses(_TRAIN, truth), losses(_PUBLIC + _PRIVATE, truth + shifts - 0.05)
    return Made(Losses(train), -train.mean(0), -test[:_PUBLIC].mean(0), -test[_PUBLIC:].mean(0))


def chosen(made: Made, seed: int) -> dict[str, tuple[int, int]]:
    """Each way of choosing to its two candidates."""
    splits = draw_splits(made.losses, _PUBLIC, _PRIVATE, draws=200, seed=seed)
    belief = believe(made.cv, made.public, splits, seed=seed)
    best = rank_pairs(belief.private)[0]
    cv, public = two_best(made.cv), two_best(made.public)
    return {
        "`kagglerun final`": (best.first, best.second),
        "two best by public score": public,
        "two best by CV": cv,
        "the best by CV, the best by public score": (cv[0], public[0] if public[0] != cv[0] else public[1]),
        "two best by expected private score": two_best(belief.expected),
    }


def compare(competitions: int, spread: float, drift: float) -> dict[str, tuple[float, float, float]]:
    """Way of choosing to: how far behind the best of all candidates its better one ended (mean), the standard error of
    what that is more than for `kagglerun final`, and how often it was better minus how often worse than that."""
    behind: dict[str, list[float]] = {}
    for seed in range(competitions):
        made = make(seed, spread, drift)
        for name, pair in chosen(made, seed).items():
            behind.setdefault(name, []).append(float(made.private.max() - made.private[list(pair)].max()))
    ours = np.asarray(behind["`kagglerun final`"])
    found = {}
    for name, values in behind.items():
        more = np.asarray(values) - ours
        found[name] = (
            float(np.mean(values)),
            float(more.std() / np.sqrt(competitions)),
            float((more < 0).mean() - (more > 0).mean()),
        )
    return found


def report(competitions: int = _COMPETITIONS) -> str:
    """The table as Markdown."""
    lines = [
        f"Choosing two of {_FAMILIES * _OF_EACH} submissions ({_FAMILIES} families), {competitions} simulated "
        f"competitions with {_TRAIN} training, {_PUBLIC} public and {_PRIVATE} private rows: how far the better of the "
        "two ended behind the best of all in private (mean, in thousandths; in brackets what that is more than for "
        "`kagglerun final`, with its standard error).",
        "",
        "| candidates differ truly by | " + " | ".join(_NAMES) + " |",
        "|---|" + "---|" * len(_NAMES),
    ]
    for spread, drift, told in _CASES:
        found = compare(competitions, spread, drift)
        ours = found["`kagglerun final`"][0]
        cells = [_cell(*found[name][:2], ours) for name in _NAMES]
        lines.append(f"| {told} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


_NAMES = (
    "`kagglerun final`",
    "two best by public score",
    "two best by CV",
    "the best by CV, the best by public score",
    "two best by expected private score",
)
_CASES = (
    (0.005, 0.0, "less than the noise (0.005)"),
    (0.02, 0.0, "as much as the noise (0.02)"),
    (0.06, 0.0, "more than the noise (0.06)"),
    (0.02, 0.03, "as much as the noise, and on the test set by 0.03 besides"),
)


def _cell(behind: float, error: float, ours: float) -> str:
    more = f" (+{1000 * (behind - ours):.2f} ± {1000 * error:.2f})" if behind != ours else ""
    return f"{1000 * behind:.2f}{more}"


if __name__ == "__main__":
    print(report(int(sys.argv[1]) if len(sys.argv) > 1 else _COMPETITIONS))
