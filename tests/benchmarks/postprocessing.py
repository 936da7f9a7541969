"""Whether the score of post-processed predictions is honest: told by nested folds, by the rows of the fit, and true.

Simulated predictions with their truths, many small sets; the true score is that of the fitted map on rows that nothing
was fitted on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kagglerun import metrics
from kagglerun.config.card import Card
from kagglerun.config.postprocess import PostprocessConfig
from kagglerun.experiment.postprocess.fit import Problem
from kagglerun.experiment.postprocess.method import method_for
from kagglerun.experiment.postprocess.nested import nested
from kagglerun.metrics import score_rows

ROWS, SETS, FRESH = 300, 200, 20_000
Drawn = tuple[NDArray[Any], NDArray[np.float64]]
Draw = Callable[[np.random.Generator, int], Drawn]


@dataclass(frozen=True)
class Case:
    """A kind of predictions and what is fitted on them."""

    name: str
    draw: Draw
    task: str
    metric: str
    method: str
    classes: tuple[str, ...] | None = None


def report() -> str:
    """The section for RESULTS.md."""
    lines = [
        "### Post-processing: what it promises and what new rows give",
        "",
        f"{SETS} simulated sets of {ROWS} rows with 5 folds; the score told minus the true one of the map that is "
        f"submitted, on {FRESH} rows that were never fitted on, mean ± standard error (for log loss with its sign "
        "turned: above 0 is optimistic).",
        "",
        "| metric, method | true score | true gain over raw | judged on the rows of the fit | nested |",
        "|---|---|---|---|---|",
        *map(row, cases()),
        "",
        *speed(),
    ]
    return "\n".join(lines)


def cases() -> list[Case]:
    """What is simulated."""
    return [
        Case("F1, threshold", rare, "binary", "f1", "auto", ("no", "yes")),
        Case("MCC, threshold", rare, "binary", "mcc", "auto", ("no", "yes")),
        Case("macro F1 of 4 classes, weights", uneven, "multiclass", "f1_macro", "auto", tuple("abcd")),
        Case("QWK of numbers, cut-offs", ratings, "regression", "qwk", "auto"),
        Case("log loss, temperature", sure, "binary", "log_loss", "temperature", ("no", "yes")),
        Case("log loss, Platt", sure, "binary", "log_loss", "platt", ("no", "yes")),
        Case("log loss, isotonic", sure, "binary", "log_loss", "isotonic", ("no", "yes")),
    ]


def row(case: Case) -> str:
    """One line of the table."""
    numbers = np.random.default_rng(1)
    fresh_truths, fresh = case.draw(numbers, FRESH)
    true, gain, naive, honest = (np.empty(SETS) for _ in range(4))
    for at in range(SETS):
        truths, values = case.draw(numbers, ROWS)
        rows = np.arange(ROWS)
        problem, outside = problem_of(case, truths), problem_of(case, fresh_truths)
        found = nested(problem, rows, rows % 5, values)
        assert found is not None
        sign = 1.0 if problem.metric.greater_is_better else -1.0
        true[at] = outside.score(np.arange(FRESH), found.postprocess.apply(fresh))
        gain[at] = sign * (true[at] - outside.score(np.arange(FRESH), fresh))
        naive[at] = sign * (problem.score(rows, found.postprocess.apply(values)) - true[at])
        honest[at] = sign * (found.score - true[at])
    told = [f"{part.mean():+.4f} ± {part.std() / np.sqrt(SETS):.4f}" for part in (gain, naive, honest)]
    return f"| {case.name} | {true.mean():.4f} | {' | '.join(told)} |"


def problem_of(case: Case, truths: NDArray[Any]) -> Problem:
    """What is fitted."""
    card = Card.model_validate(
        {"slug": "made", "ids": ["id"], "targets": ["y"], "submission_columns": ["y"], "task": case.task}
        | {"metric": case.metric, "classes": case.classes}
    )
    metric = metrics.get(case.metric)
    config = PostprocessConfig.model_validate({"method": case.method})

    def score(rows: NDArray[np.int64], values: NDArray[np.float64]) -> float:
        return score_rows(metric, card, truths[rows], values)

    return Problem(config, method_for(config, card, metric, truths), card, metric, truths, score)


def speed() -> list[str]:
    """Seconds for all fits of a run of 5 folds with 200,000 rows."""
    parts = []
    for case in cases()[:4]:
        truths, values = case.draw(np.random.default_rng(2), 200_000)
        rows, started = np.arange(len(values)), time.monotonic()
        nested(problem_of(case, truths), rows, rows % 5, values)
        parts.append(f"{case.name} {time.monotonic() - started:.1f} s")
    return ["All six fits and the scores of a run with 200,000 rows and 5 folds: " + "; ".join(parts) + "."]


def rare(numbers: np.random.Generator, n_rows: int) -> Drawn:
    """Few positive rows, and their true probabilities."""
    p = sigmoid(numbers.normal(-2.0, 1.0, n_rows))
    return (numbers.random(n_rows) < p).astype(np.int64), p[:, None]


def sure(numbers: np.random.Generator, n_rows: int) -> Drawn:
    """Probabilities whose log odds are twice too large."""
    odds = numbers.normal(0.0, 1.0, n_rows)
    return (numbers.random(n_rows) < sigmoid(odds)).astype(np.int64), sigmoid(2 * odds)[:, None]


def uneven(numbers: np.random.Generator, n_rows: int) -> Drawn:
    """Four classes, two of them rare, and their true probabilities."""
    odds = numbers.normal([0.0, -0.5, -2.0, -2.5], 1.0, (n_rows, 4))
    p = np.exp(odds) / np.exp(odds).sum(axis=1, keepdims=True)
    return (numbers.random((n_rows, 1)) > p.cumsum(axis=1)).sum(axis=1).clip(max=3), p


def ratings(numbers: np.random.Generator, n_rows: int) -> Drawn:
    """Ratings from 0 to 4, most of them low, and numbers that shrink to their mean as a regressor's do."""
    skill = numbers.normal(size=n_rows)
    truths = np.digitize(skill + numbers.normal(scale=0.6, size=n_rows), [0.2, 0.8, 1.3, 1.9])
    return truths[:, None].astype(np.float64), (0.6 * skill + 1.1)[:, None]


def sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + exp(-v))."""
    return np.asarray(1 / (1 + np.exp(-values)))


if __name__ == "__main__":
    print(report())
