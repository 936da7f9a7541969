"""How sure it is that a run is the best."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kagglerun.experiment.certainty import Evidence, fold_noise, weigh

DIFFICULTY = np.array([0.03, -0.02, 0.0, 0.01, -0.02])


def made(
    qualities: list[float], noise: float, seed: int, rounds: int = 0, racing: int = 0
) -> tuple[list[Evidence], np.random.Generator]:
    rng = np.random.default_rng(seed)
    evidence = []
    levels = rng.normal(0, 0.02, (rounds, 5))
    for number, quality in enumerate(qualities):
        folds = quality + DIFFICULTY + rng.normal(0, noise, 5)
        again = {}
        if number < racing:
            for turn in range(rounds):
                scores = quality + levels[turn] - levels[turn].mean() + rng.normal(0, noise, 5)
                again[turn + 1] = (float(scores.mean()), tuple(scores))
        evidence.append(Evidence(f"run-{number}", float(folds.mean()), tuple(folds), again))
    return evidence, rng


def test_the_noise_is_that_of_runs_and_not_of_the_folds_difficulty() -> None:
    evidence, _ = made([0.8 + 0.001 * n for n in range(200)], 0.01, 0)
    assert fold_noise(evidence) == pytest.approx(0.01, rel=0.1)


def test_the_bound_of_the_chosen_run_is_above_its_true_score_about_as_rarely_as_promised() -> None:
    """The best of 30 equal runs looks better than it is; its bound does not."""
    too_high = naive = 0
    for seed in range(300):
        evidence, _ = made([0.8] * 30, 0.01, seed)
        found = weigh(evidence, True)
        chosen = max(found.values(), key=lambda certainty: certainty.bound)
        too_high += chosen.bound > 0.8
        naive += chosen.estimate > 0.8
    assert too_high / 300 <= 0.09
    assert naive / 300 > 0.95


def test_reruns_make_a_run_surer_and_replace_the_score_it_was_chosen_for() -> None:
    evidence, _ = made([0.8] * 10, 0.01, 1, rounds=4, racing=5)
    found = weigh(evidence, True)
    raced, not_raced = found["run-0"], found["run-5"]
    assert raced.standard_error is not None
    assert not_raced.standard_error is not None
    assert raced.standard_error == pytest.approx(not_raced.standard_error / 2, rel=0.35)
    assert raced.estimate == pytest.approx(np.mean([score for score, _ in evidence[0].reruns.values()]))
    assert not_raced.estimate == evidence[5].score


def test_reruns_do_not_lessen_the_noise_that_the_choice_of_rows_adds() -> None:
    """Each run is good or bad at the same rows in every round, so rounds agree however many there are."""
    rng = np.random.default_rng(0)
    evidence = []
    for number in range(8):
        rows = rng.normal(0, 0.01, 5)  # what its folds owe to their rows, which the reruns only deal out again
        again = {}
        for turn in range(1, 9):
            scores = 0.8 + rng.permutation(rows)
            again[turn] = (float(scores.mean()), tuple(scores))
        evidence.append(Evidence(f"run-{number}", 0.8 + float(rows.mean()), tuple(0.8 + rows), again))
    errors = [certainty.standard_error for certainty in weigh(evidence, True).values()]
    assert min(error or 0 for error in errors) > 0.003


def test_a_run_that_left_after_an_easy_round_is_not_helped_by_it() -> None:
    folds = (0.8,) * 5
    easy, hard = (0.95, (0.95,) * 5), (0.75, (0.75,) * 5)
    stayed = Evidence("stayed", 0.8, folds, {1: easy, 2: hard})
    left = Evidence("left", 0.8, folds, {1: (0.94, (0.94,) * 5)})
    found = weigh([stayed, left], True)
    assert found["stayed"].estimate == pytest.approx(0.85)
    assert found["left"].estimate == pytest.approx(0.84)


@pytest.mark.parametrize("greater_is_better", [True, False])
def test_the_chance_to_be_best_follows_from_distance_and_noise(greater_is_better: bool) -> None:
    sign = 1 if greater_is_better else -1
    evidence, _ = made([0.0, -0.001 * sign, -0.2 * sign], 0.02, 3)
    found = weigh(evidence, greater_is_better)
    assert sum(certainty.probability_best for certainty in found.values()) == pytest.approx(1.0)
    assert found["run-2"].probability_best == 0.0
    assert 0.02 < found["run-1"].probability_best < 0.98
    assert all(sign * (certainty.estimate - certainty.bound) > 0 for certainty in found.values())


def test_the_same_runs_are_weighed_the_same_in_any_order() -> None:
    evidence, _ = made([0.8, 0.81, 0.79], 0.02, 3)
    assert weigh(evidence, True) == weigh(evidence[::-1], True)


def test_a_single_run_with_one_fold_has_no_noise_to_tell() -> None:
    certainty = weigh([Evidence("only", 0.9, (0.9,), {})], True)["only"]
    assert certainty.standard_error is None
    assert (certainty.bound, certainty.probability_best) == (0.9, 1.0)
    assert weigh([], True) == {}


def test_undefined_fold_scores_do_not_spoil_the_others() -> None:
    evidence, _ = made([0.8, 0.81, 0.79], 0.02, 3)
    odd = Evidence("odd", 0.7, (math.nan, 0.7, 0.7, 0.7, 0.7), {})
    found = weigh([*evidence, odd], True)
    assert all(math.isfinite(certainty.bound) for certainty in found.values())


def seeded(
    qualities: list[float], seeds: int, noise: float, rng: np.random.Generator
) -> tuple[list[Evidence], np.ndarray]:
    """Runs of some configs with several seeds each; half of the noise is the rows', which seeds of a config share."""
    evidence, scores = [], np.empty((len(qualities), seeds))
    for number, quality in enumerate(qualities):
        rows = rng.normal(0, noise / math.sqrt(2), 5)
        folds = quality + DIFFICULTY + rows + rng.normal(0, noise / math.sqrt(2), (seeds, 5))
        scores[number] = folds.mean(axis=1)
        for seed in range(seeds):
            others = tuple(float(score) for at, score in enumerate(scores[number]) if at != seed)
            name = f"run-{number}-{seed}"
            evidence.append(Evidence(name, float(scores[number, seed]), tuple(folds[seed]), {}, others, f"c{number}"))
    return evidence, scores


def test_the_bound_of_a_config_with_several_seeds_is_above_its_true_score_as_rarely() -> None:
    rng, too_high = np.random.default_rng(0), 0
    for _ in range(300):
        found = weigh(seeded([0.8] * 8, 3, 0.01, rng)[0], True)
        assert sum({name[:5]: one.probability_best for name, one in found.items()}.values()) == pytest.approx(1)
        too_high += max(one.bound for one in found.values()) > 0.8
    assert too_high / 300 <= 0.09


def test_the_best_mean_over_seeds_is_truly_better_than_the_best_seed() -> None:
    rng, by_bound, by_score = np.random.default_rng(1), [], []
    for _ in range(100):
        qualities = [0.8 + 0.002 * rng.standard_normal() for _ in range(6)]
        evidence, scores = seeded(qualities, 4, 0.015, rng)
        found = weigh(evidence, True)
        best = max(found, key=lambda name: found[name].bound)
        by_bound.append(qualities[int(best.split("-")[1])])
        by_score.append(qualities[int(scores.max(axis=1).argmax())])
    assert np.mean(by_bound) > np.mean(by_score)
