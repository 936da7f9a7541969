"""From earlier trials to the rule of a new one."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

from kagglerun.config.load import parse_config
from kagglerun.sweep.pruning.curves import curve_cutoffs
from kagglerun.sweep.pruning.halving import Rung, halving_cutoffs, rungs
from kagglerun.sweep.pruning.make_rule import make_rule
from kagglerun.sweep.pruning.rule import Cutoff, StopRule
from kagglerun.sweep.study import StudySpec
from kagglerun.sweep.trials import Failure, Trial, TrialState, failed


def complete(number: int, *scores: float, curve: tuple[float, ...] = ()) -> Trial:
    value = sum(scores) / len(scores)
    return Trial(number, {}, TrialState.COMPLETE, value=value, fold_scores=scores, curve=curve)


def stopped(number: int, *scores: float, curve: tuple[float | None, ...] = ()) -> Trial:
    return Trial(number, {}, TrialState.PRUNED, fold_scores=scores, curve=curve, stopped="it was worse")


def spec(search: dict[str, Any] | None = None, epochs: int = 9, n_splits: int = 3, **sweep: Any) -> StudySpec:
    values = {
        "model": {"kind": "tabular_neural"},
        "training": {"epochs": epochs},
        "cv": {"n_splits": n_splits},
        "sweep": {"search": search or {"optimizer.lr": {"low": 1e-4, "high": 1e-2}}, "lag": 1, **sweep},
    }
    config = parse_config(values, "test")
    return StudySpec(name="s", slug="c", greater_is_better=True, objective="a:B", config=config)


def test_the_rival_is_the_best_complete_trial_among_those_known_without_a_gap() -> None:
    trials = [
        complete(0, 0.5, 0.5, 0.5),
        stopped(1, 0.9),
        complete(2, 0.7, 0.7, 0.7),
        Trial(3, {}),
        complete(4, 1, 1, 1),
    ]
    rule = make_rule(spec(), trials)
    assert rule is not None and rule.runs == ("s-0002", "s-0000") and len(rule.errors) == 2
    assert sum(rule.errors) == pytest.approx(0.04)


@pytest.mark.parametrize(
    ("study", "known"),
    [
        (spec(), []),
        (spec(), [failed(Trial(0, {}), Failure("NonFiniteLoss", "it was nan")), stopped(1, 0.5)]),
        (spec(prune="none"), [complete(0, 1, 1, 1)]),
        (spec(objectives=["score", "seconds_per_fold"]), [complete(0, 1, 1, 1)]),
        (spec(search={"cv.n_splits": [3, 5]}), [complete(0, 1, 1, 1)]),
        (spec(prune={"method": "halving", "eta": 3}), [complete(0, 1, 1, 1)]),
    ],
    ids=["nothing known", "nothing complete", "switched off", "two objectives", "other folds", "too few for halving"],
)
def test_there_is_no_rule_where_nothing_can_be_compared(study: StudySpec, known: list[Trial]) -> None:
    assert make_rule(study, known) is None


def test_the_next_best_are_references_but_not_more_than_eight() -> None:
    trials = [complete(number, *[0.5 + number % 5 / 10] * 3) for number in range(12)]
    rule = make_rule(spec(), trials)
    assert rule is not None and rule.rival == "s-0004"
    assert rule.references == tuple(f"s-{number:04}" for number in (9, 3, 8, 2, 7, 1, 6, 11))


def test_a_rule_survives_its_journey_to_a_worker() -> None:
    rule = StopRule("run", ("other",), (0.01, 0.02), (Cutoff(0, 3, 0.5, "why"), Cutoff(1, None, -0.1, "why")), False)
    assert StopRule.from_json(json.loads(json.dumps(asdict(rule)))) == rule


@pytest.mark.parametrize(("better", "score", "is_missed"), [(True, 0.4, True), (True, 0.5, False), (False, 0.6, True)])
def test_a_cutoff_is_missed_by_a_worse_score_only(better: bool, score: float, is_missed: bool) -> None:
    rule = StopRule(cutoffs=(Cutoff(0, 2, 0.5, "why"),), greater_is_better=better)
    assert (rule.cutoff(0, 2, score) is not None) == is_missed
    assert rule.cutoff(0, 1, score) is None and rule.cutoff(0, None, score) is None
    assert rule.cutoff(0, 2, float("nan")) is None


def test_rungs_have_a_factor_of_eta_between_them_down_to_an_epoch() -> None:
    assert rungs(9, 9, 3) == (Rung(0, 0), Rung(0, 2), Rung(0, None), Rung(2, None))
    assert rungs(5, 10, 3) == (Rung(0, 0), Rung(0, 4), Rung(0, None))
    assert rungs(5, 1, 2) == (Rung(0, None), Rung(1, None))
    assert rungs(1, 1, 3) == ()


def test_one_trial_in_eta_goes_on_from_a_rung() -> None:
    known = [
        stopped(0, 0.1),
        complete(1, 0.5, 0.6, 0.7, 0.8),
        stopped(2, 0.3),
        stopped(3, 0.4),
        complete(4, 0.2, 0.2, 0.2, 0.2),
    ]
    first, second = halving_cutoffs(known, 4, 1, 2, True)
    assert (first.fold, first.score) == (0, 0.3)  # the best 3 of 6
    assert (second.fold, second.score) == (1, pytest.approx(0.55))  # the best 1 of 3
    assert halving_cutoffs(known, 4, 1, 2, False)[0].score == 0.3
    assert halving_cutoffs(known[:1], 4, 1, 3, True) == ()


def test_halving_compares_curves_at_the_same_epoch() -> None:
    known = [
        stopped(0, curve=(0.1, 0.2)),
        stopped(1, curve=(0.3, None, 0.5)),
        complete(2, 0.9, 0.9, 0.9, curve=(0.5, 0.6, 0.7)),
    ]
    rule = make_rule(spec(epochs=3, prune={"method": "halving", "eta": 3}), known)
    assert rule is not None and rule.rival is None
    assert rule.cutoffs == (Cutoff(0, 0, 0.5, "the best 1 of 4 trials go on from there"),)


def curves(*ends: float) -> list[Trial]:
    """Each rises by 0.1 an epoch to its end at epoch 4, which is also what it is worth."""
    return [complete(n, end, end, curve=tuple(end - 0.1 * left for left in (3, 2, 1, 0))) for n, end in enumerate(ends)]


@pytest.mark.parametrize("better", [True, False])
def test_a_curve_may_lag_behind_by_the_greatest_rise_that_was_ever_seen_and_a_quarter(better: bool) -> None:
    known = curves(0.5, 0.6, 0.7, 0.8, 0.9)
    if not better:
        known = [
            complete(t.number, *(-s for s in t.fold_scores if s), curve=tuple(-s for s in t.curve if s)) for t in known
        ]
    cutoffs = curve_cutoffs(known, known[-1], better)
    least = [0.9 - 1.25 * 0.1 * left for left in (3, 2, 1)]
    assert [cutoff.score for cutoff in cutoffs] == pytest.approx(least if better else [-score for score in least])
    assert [(cutoff.fold, cutoff.epoch) for cutoff in cutoffs] == [(0, 0), (0, 1), (0, 2)]


def test_a_fold_that_says_little_of_the_whole_gives_more_room() -> None:
    known = curves(0.5, 0.6, 0.7, 0.8, 0.9)
    noisy = [*known[:3], complete(3, 0.8, 0.6, curve=known[3].curve), known[4]]
    assert curve_cutoffs(noisy, known[4], True)[0].score < curve_cutoffs(known, known[4], True)[0].score - 0.05


def test_few_curves_say_nothing_and_many_epochs_are_thinned_out() -> None:
    assert curve_cutoffs(curves(0.5, 0.6, 0.7, 0.8), curves(0.8)[0], True) == ()
    long = [complete(n, 0.9, 0.9, curve=tuple(e / 1000 for e in range(1000))) for n in range(5)]
    epochs = [cutoff.epoch for cutoff in curve_cutoffs(long, long[0], True)]
    assert len(epochs) == 32 and (epochs[0], epochs[-1]) == (0, 998)


def test_curves_are_left_alone_where_trials_differ_in_their_epochs_or_it_is_switched_off() -> None:
    known = curves(0.5, 0.6, 0.7, 0.8, 0.9)
    assert make_rule(spec(n_splits=2), known).cutoffs != ()  # type: ignore[union-attr]
    for study in (
        spec(n_splits=2, search={"training.epochs": [3, 9]}),
        spec(n_splits=2, prune={"method": "paired", "curves": False}),
    ):
        rule = make_rule(study, known)
        assert rule is not None and rule.cutoffs == () and rule.rival == "s-0004"
