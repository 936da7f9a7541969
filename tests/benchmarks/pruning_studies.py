"""Simulated studies whose truth is known, drawn from pools of real fits.

The population of a pool is all its rows under all its repeats, and a config's true score is that over the whole
population. A study draws each of its folds from another repeat: so it has new rows (sampling noise) and new fits
(training noise). A fold holds a fifth of the population, so its mean strays by 1/5 less in variance than that of rows
from an endless one; a tenth of its rows, replaced by others of the fold, makes up for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from pruning_pools import N_SPLITS, Array, Pool

from kagglerun import metrics
from kagglerun.config.card import Card
from kagglerun.randomness import generator
from kagglerun.sweep.pruning.known_runs import KnownRuns
from kagglerun.sweep.pruning.paired import PairedFold, Scoring
from kagglerun.sweep.pruning.scoring import scoring_of

TRIALS = 40
_STARTUP = 10
_REPLACED = 1 - (1 - 1 / N_SPLITS) ** 0.5  # q with 2 q - q^2 = 1/5, the variance that replacing a share q adds


@dataclass(frozen=True)
class Population:
    """A pool with the true score of each config.

    Attributes:
        pool: the fits.
        truth: (configs,) score over all rows and repeats, greater is better.
        scoring: how predictions for the pool's rows are scored.
    """

    pool: Pool
    truth: Array
    scoring: Scoring


@dataclass(frozen=True)
class SimulatedStudy:
    """A sequence of trials that any pruner may stop.

    Attributes:
        population: what it is drawn from.
        configs: (n,) which config each trial tries.
        repeat: (k,) repeat of each of its folds.
        rows: k arrays (m,), the rows of each fold.
    """

    population: Population
    configs: Array
    repeat: Array
    rows: tuple[Array, ...]

    @property
    def truth(self) -> Array:
        """(n,) true score of each trial's config; greater is better."""
        return self.population.truth[self.configs]

    def predictions(self, trial: int, fold: int) -> Array:
        """What a trial predicts for the rows of a fold, (m, n_outputs)."""
        held = self.population.pool.predictions[self.configs[trial], self.repeat[fold]]
        return held[self.rows[fold]].astype(np.float64)

    def pairs(self, candidate: int, rival: int, folds: int) -> list[PairedFold]:
        """The first folds of two trials."""
        ends = np.cumsum([len(rows) for rows in self.rows])
        return [
            PairedFold(
                np.arange(ends[k] - len(self.rows[k]), ends[k]),
                self.predictions(candidate, k),
                self.predictions(rival, k),
            )
            for k in range(folds)
        ]

    def known(self, rival: int, others: Sequence[int]) -> KnownRuns:
        """Complete trials over all rows, as a worker reads them; a row that was drawn twice is two rows."""
        fold = np.repeat(np.arange(len(self.rows)), [len(rows) for rows in self.rows])
        sides = [np.concatenate([self.predictions(t, k) for k in range(len(self.rows))]) for t in (rival, *others)]
        return KnownRuns(np.arange(len(fold)), fold, sides[0], tuple(sides[1:]))

    @cached_property
    def scoring(self) -> Scoring:
        """The population's, for rows counted through the study."""
        held, rows = self.population.scoring, np.concatenate(self.rows)
        return replace(
            held,
            score=lambda at, predictions: held.score(rows[at], predictions),
            losses=lambda at, predictions: held.losses(rows[at], predictions),
            positives=None if held.positives is None else held.positives[rows],
        )

    @cached_property
    def fold_scores(self) -> Array:
        """(n, k) score of each trial on each fold; greater is better."""
        return np.asarray(
            [[self._score(trial, [fold]) for fold in range(len(self.rows))] for trial in range(len(self.configs))]
        )

    @cached_property
    def values(self) -> Array:
        """(n,) score of each trial over all its rows; greater is better."""
        return np.asarray([self._score(trial, range(len(self.rows))) for trial in range(len(self.configs))])

    def _score(self, trial: int, folds: Sequence[int]) -> float:
        rows = np.concatenate([self.rows[fold] for fold in folds])
        predicted = np.concatenate([self.predictions(trial, fold) for fold in folds])
        return _oriented(self.population.scoring, rows, predicted)


def population_of(pool: Pool) -> Population:
    """The truth of a pool."""
    card = Card(slug="pool", task=pool.task, targets=("y",), metric=pool.metric)
    scoring = scoring_of(metrics.get(pool.metric), card, pool.targets)
    rows = np.tile(np.arange(len(pool.targets)), pool.predictions.shape[1])
    truth = [_oriented(scoring, rows, held.reshape(len(rows), -1).astype(np.float64)) for held in pool.predictions]
    return Population(pool, np.asarray(truth), scoring)


def simulate(population: Population, number: int, learns: bool) -> SimulatedStudy:
    """Draw a study.

    Args:
        population: what it is drawn from.
        number: of the study; everything follows from it.
        learns: whether later trials are better on average, as under a sampler that learns; else in random order.
    """
    random = generator(number, "study", population.pool.name, population.pool.metric)
    repeat = random.permutation(population.pool.predictions.shape[1])[:N_SPLITS]
    inside = [np.flatnonzero(population.pool.folds[r] == random.integers(N_SPLITS)) for r in repeat]
    rows = tuple(
        np.where(random.random(len(each)) < _REPLACED, random.choice(each, len(each)), each) for each in inside
    )
    configs = random.permutation(len(population.truth))[:TRIALS]
    return SimulatedStudy(population, _ordered(configs, population.truth, random) if learns else configs, repeat, rows)


def _ordered(configs: Array, truth: Array, random: np.random.Generator) -> Array:
    """After the first ten, trials come in an order that rises with their rank, about half of it by chance."""
    later = configs[_STARTUP:]
    rank = np.argsort(np.argsort(truth[later])) / len(later)
    return np.concatenate([configs[:_STARTUP], later[np.argsort(rank + random.uniform(-1, 1, len(later)))]])


def _oriented(scoring: Scoring, rows: Array, predictions: Array) -> float:
    value = scoring.score(rows, predictions)
    return value if scoring.greater_is_better else -value
