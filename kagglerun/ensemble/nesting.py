"""Nested cross-validation of an ensemble, so that its figure is honest.

Weights that were fitted on the rows they are judged on look better than they are, and so does the method (or the
members) chosen for the best figure. Here the rows of each block of folds get the predictions of an ensemble for which
nothing of them was used: its members were chosen, its method was chosen and its weights were fitted on the other
blocks; to choose the method there, it is cross-validated once more within those, and so are the predictions that
post-processing is fitted on. What the runs themselves chose on
their validation rows (an early stop, a config among many) stays in their predictions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from kagglerun.ensemble.blend import Blend, Values
from kagglerun.ensemble.methods import Method, fit
from kagglerun.ensemble.pool import LEAST_BLOCKS_FOR_CHOICE, Pool
from kagglerun.experiment.postprocess import Postprocess

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Nested:
    """What nested cross-validation gave.

    Attributes:
        method: the one that the whole ensemble is fitted with.
        blend: fitted on all rows.
        postprocess: what its predictions go through, fitted on all rows; None for nothing.
        values: the honest out-of-fold predictions, (n, k).
        finished: the same after post-processing that was fitted on other blocks.
        scores: method to its own honest score, without the choice among methods.
        chosen: the method that each block's predictions were made with.
    """

    method: Method
    blend: Blend
    postprocess: Postprocess | None
    values: Values
    finished: Values
    scores: Mapping[Method, float]
    chosen: tuple[Method, ...]


@dataclass
class Fits:
    """Blends by what they were not fitted on; each is fitted once.

    Attributes:
        pool: what they are fitted on.
    """

    pool: Pool
    _known: dict[tuple[Method, frozenset[int], str | None], Blend] = field(default_factory=dict)

    def blend(self, method: Method, excluded: Iterable[int] = (), without: str | None = None) -> Blend:
        """The blend by a method, fitted on all blocks but some, and without one of the runs."""
        key = (method, frozenset(excluded), without)
        if key not in self._known:
            self._known[key] = fit(self.pool, method, self.pool.rows_without(key[1]), without)
        return self._known[key]

    def predicted(self, blend: Blend, block: int) -> Values:
        """A blend's predictions for the rows of a block."""
        rows = self.pool.blocks[block]
        return blend.combine({run: self.pool.oof[run][rows] for run in blend.members})

    def finished(self, method: Method, without: str | None = None) -> Values:
        """Predictions for every row as `out_of_block`, after post-processing fitted on predictions of other blocks."""
        values = self.out_of_block(method, without=without)
        for block, rows in enumerate(self.pool.blocks):
            others = self.pool.rows_without(frozenset({block}))
            step = self.pool.judge.fit_postprocess(others, self._to_fit_on(method, block, without)[others])
            if step is None:
                break
            values[rows] = step.apply(values[rows])
        return values

    def _to_fit_on(self, method: Method, block: int, without: str | None) -> Values:
        """Predictions for the other blocks that saw nothing of this one; of two blocks nothing else is left."""
        nested_twice = len(self.pool.blocks) >= LEAST_BLOCKS_FOR_CHOICE and without is None
        return self.out_of_block(method, outer=block if nested_twice else None, without=without)

    def out_of_block(self, method: Method, outer: int | None = None, without: str | None = None) -> Values:
        """Predictions for every row by a method that was fitted on the other blocks, (n, k).

        Args:
            method: the method.
            outer: a block that no fit sees; its own rows are NaN.
            without: a run that may not take part.
        """
        values = np.full((len(self.pool.folds), self.pool.n_outputs), np.nan)
        for block, rows in enumerate(self.pool.blocks):
            if block != outer:
                excluded = {block} if outer is None else {block, outer}
                values[rows] = self.predicted(self.blend(method, excluded, without), block)
        return values


def nest(pool: Pool, methods: Sequence[Method], tell: Tell = lambda _: None) -> tuple[Nested, Fits]:
    """Cross-validate an ensemble by one method, or by the best of several.

    Args:
        pool: the runs.
        methods: which may be chosen, the simplest first; with fewer than three blocks nothing is left to choose on,
            and the first is taken.
        tell: is told what is being fitted.

    Returns:
        What came, and the fits that it was made of.
    """
    fits = Fits(pool)
    may_choose = len(pool.blocks) >= LEAST_BLOCKS_FOR_CHOICE
    methods = list(methods) if may_choose else list(methods)[:1]
    raw: dict[Method, Values] = {}
    finished: dict[Method, Values] = {}
    for method in methods:
        tell(f"{method}: fitted on all blocks but one, for each of {len(pool.blocks)}")
        raw[method], finished[method] = fits.out_of_block(method), fits.finished(method)
    scores = {method: pool.judge.score(pool.everything, values) for method, values in finished.items()}
    chosen = _chosen_within(fits, methods, tell) if len(methods) > 1 else methods * len(pool.blocks)
    method = _best(pool, scores)
    return (
        Nested(
            method=method,
            blend=fits.blend(method),
            postprocess=pool.judge.fit_postprocess(pool.everything, raw[method]),
            values=_by_block(pool, raw, chosen),
            finished=_by_block(pool, finished, chosen),
            scores=scores,
            chosen=tuple(chosen),
        ),
        fits,
    )


def best_single(pool: Pool) -> tuple[str, Values]:
    """The best run, and what choosing it honestly gives: for each block the run that is best on the others.

    Returns:
        Its id, and predictions after post-processing, (n, k).
    """
    values = np.empty((len(pool.folds), pool.n_outputs))
    for block, rows in enumerate(pool.blocks):
        others = pool.rows_without(frozenset({block}))
        oof = pool.oof[pool.candidates(others)[0]]
        step = pool.judge.fit_postprocess(others, oof[others])
        values[rows] = oof[rows] if step is None else step.apply(oof[rows])
    return pool.candidates(pool.everything)[0], values


def _by_block(pool: Pool, values: Mapping[Method, Values], chosen: Sequence[Method]) -> Values:
    """Each block's predictions by the method that was chosen for it."""
    joined = np.empty_like(values[chosen[0]])
    for rows, method in zip(pool.blocks, chosen, strict=True):
        joined[rows] = values[method][rows]
    return joined


def _chosen_within(fits: Fits, methods: Sequence[Method], tell: Tell) -> list[Method]:
    """For each block the method that is best within the others."""
    pool, chosen = fits.pool, []
    for block in range(len(pool.blocks)):
        tell(f"the method for block {block + 1} of {len(pool.blocks)} is chosen within the others")
        others = pool.rows_without(frozenset({block}))
        score, folds = pool.judge.on(others), pool.folds[others]
        inner = {method: fits.out_of_block(method, outer=block)[others] for method in methods}
        chosen.append(
            _best(
                pool,
                {method: score(pool.judge.postprocessed(others, folds, values)) for method, values in inner.items()},
            )
        )
    return chosen


def _best(pool: Pool, scores: Mapping[Method, float]) -> Method:
    """The method with the best score, the simpler one of equals."""
    sign = 1.0 if pool.judge.greater_is_better else -1.0
    return max(scores, key=lambda method: sign * float(np.nan_to_num(scores[method], nan=-sign * np.inf)))
