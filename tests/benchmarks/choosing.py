"""Choosing the two final submissions, on competitions whose private scores are known: simulated ones.

    python tests/benchmarks/choosing.py [COMPETITIONS] [--runs WORKSPACE SLUG]

Each has candidates of several families. A row's loss is a part that all share, one that a family shares and one of the
candidate's own, so that candidates of a family fail on the same rows. From it come CV on the training rows, a public
and a private score. Then each way of choosing two is judged by the better private score of its two. With `--runs` the
same on the out-of-fold predictions of real runs, whose rows are split into known, public and private ones each time.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kagglerun.experiment.runs import list_runs
from kagglerun.randomness import generator
from kagglerun.submission.candidates import main_group, may_be_chosen
from kagglerun.submission.finals.belief import Belief, believe
from kagglerun.submission.finals.out_of_fold import OutOfFold, load_out_of_fold
from kagglerun.submission.finals.pairs import rank_pairs, two_best
from kagglerun.submission.finals.splits import Rows, draw_splits
from kagglerun.workspace import Workspace

Numbers = NDArray[np.float64]

_TRAIN, _PUBLIC, _PRIVATE = 2000, 250, 600
_FAMILIES, _OF_EACH = 4, 5
_COMPETITIONS = 400
_DRAWS = 100


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

    rows: Rows
    cv: Numbers
    public: Numbers
    private: Numbers
    sizes: tuple[int, int] = (_PUBLIC, _PRIVATE)


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


def chosen(made: Made, seed: int) -> tuple[dict[str, tuple[int, int]], Belief]:
    """Each way of choosing to its two candidates, and what was believed of all."""
    splits = draw_splits(made.rows, *made.sizes, draws=_DRAWS, seed=seed)
    belief = believe(made.cv, made.public, splits, seed=seed)
    best = rank_pairs(belief.private)[0]
    cv, public = two_best(made.cv), two_best(made.public)
    ways = (
        (best.first, best.second),
        public,
        cv,
        (cv[0], public[0] if public[0] != cv[0] else public[1]),
        two_best(belief.expected),
    )
    return dict(zip(_NAMES, ways, strict=True)), belief


def compare(competitions: Iterable[Made]) -> tuple[dict[str, tuple[float, float]], float]:
    """Way of choosing to: how far behind the best of all candidates its better one ended (mean), and the standard error
    of what that is more than for `kagglerun final`. And how often private scores were in their 95 % intervals."""
    behind: dict[str, list[float]] = {}
    inside: list[bool] = []
    for seed, made in enumerate(competitions):
        pairs, belief = chosen(made, seed)
        for name, pair in pairs.items():
            behind.setdefault(name, []).append(float(made.private.max() - made.private[list(pair)].max()))
        off = made.private - made.private.mean() - (belief.expected - belief.expected.mean())
        inside.extend(np.abs(off) <= 1.96 * belief.deviation)
    ours = np.asarray(behind[_NAMES[0]])
    found = {}
    for name, values in behind.items():
        more = np.asarray(values) - ours
        found[name] = (float(np.mean(values)), float(more.std() / np.sqrt(len(more))))
    return found, float(np.mean(inside))


@dataclass(frozen=True)
class Part:
    """Some of the rows of real runs; scores are turned so that greater is better."""

    oof: OutOfFold
    rows: NDArray[np.int64]
    clusters: None = None
    repeats: bool = True

    def scores(self, positions: NDArray[np.int64]) -> Numbers:
        """The metric of each run."""
        sign = 1.0 if self.oof.prepared.metric.greater_is_better else -1.0
        return sign * self.oof.scores(self.rows[positions])

    def losses(self) -> None:
        """The metric itself is quick enough."""


def split_again(oof: OutOfFold, times: int) -> Iterable[Made]:
    """Half of the rows as the test set, 30 % of these public: another half each time."""
    n = len(oof.rows)
    public = round(0.3 * (n - n // 2))
    for seed in range(times):
        order = generator(seed, "choosing rows").permutation(n)
        known, first, second = np.split(order, [n // 2, n // 2 + public])
        parts = [Part(oof, rows) for rows in (known, first, second)]
        scores = [part.scores(np.arange(len(part.rows))) for part in parts]
        yield Made(parts[0], *scores, (len(first), len(second)))


def report_runs(workspace: Path, slug: str, times: int = 100) -> str:
    """The table for the finished runs of a workspace, as Markdown."""
    place = Workspace(workspace)
    finished = [run for run in list_runs(place, slug) if run.rerun is None and may_be_chosen(run)]
    group = main_group([run for run in finished if not place.run(slug, run.run_id).ensemble.is_file()])
    oof = replace(load_out_of_fold(place, [place.run(slug, run.run_id) for run in group]), clusters=None)
    found, covered = compare(split_again(oof, times))
    ours = found[_NAMES[0]][0]
    cells = " | ".join(_cell(*found[name], ours) for name in _NAMES)
    return f"| {slug}, {len(group)} runs, {times} splits of {len(oof.rows)} rows | {cells} | {covered:.0%} |"


def report(competitions: int = _COMPETITIONS) -> str:
    """The table as Markdown."""
    lines = [
        f"Choosing two of {_FAMILIES * _OF_EACH} submissions ({_FAMILIES} families), {competitions} simulated "
        f"competitions with {_TRAIN} training, {_PUBLIC} public and {_PRIVATE} private rows: how far the better of the "
        "two ended behind the best of all in private (mean, in thousandths; in brackets what that is more than for "
        "`kagglerun final`, with its standard error).",
        "",
        "| candidates differ truly by | " + " | ".join(_NAMES) + " | private scores in their 95 % interval |",
        "|---|" + "---|" * (len(_NAMES) + 1),
    ]
    for spread, drift, told in _CASES:
        found, covered = compare(make(seed, spread, drift) for seed in range(competitions))
        cells = [_cell(*found[name], found[_NAMES[0]][0]) for name in _NAMES]
        lines.append(f"| {told} | " + " | ".join(cells) + f" | {covered:.1%} |")
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
    more = f" ({1000 * (behind - ours):+.2f} ± {1000 * error:.2f})" if behind != ours else ""
    return f"{1000 * behind:.2f}{more}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("competitions", type=int, nargs="?", default=_COMPETITIONS)
    parser.add_argument("--runs", nargs=2, metavar=("WORKSPACE", "SLUG"))
    given = parser.parse_args()
    print(report(given.competitions))
    if given.runs:
        print(report_runs(Path(given.runs[0]), given.runs[1]))


if __name__ == "__main__":
    main()
