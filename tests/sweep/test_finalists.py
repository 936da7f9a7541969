"""The race of the best trials, on made-up results."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kagglerun.errors import JobError
from kagglerun.sweep.finalists import (
    Finalist,
    Race,
    Rerun,
    after_round,
    begin_race,
    corrected_p,
    read_race,
    rerun_config,
    rerun_id,
    write_race,
)
from kagglerun.sweep.study import StudySpec
from kagglerun.sweep.trials import Trial, TrialState
from kagglerun.workspace import StudyPaths, Workspace
from tests.sweep.conftest import toy_config


def spec(greater_is_better: bool = True, **finalists: object) -> StudySpec:
    config = toy_config(lag=2, finalists={"top": 3, **finalists})
    return StudySpec(
        name="digits-toy",
        slug="digits",
        greater_is_better=greater_is_better,
        objective="tests.sweep.toy:Toy",
        config=config,
    )


def trial(number: int, value: float, lr: float | None = None) -> Trial:
    return Trial(number, {"optimizer.lr": lr or 0.001 * (number + 1)}, TrialState.COMPLETE, value=value)


def rerun(mean: float, rng: np.random.Generator, noise: float = 0.01, folds: int = 5) -> Rerun:
    scores = mean + rng.normal(0, noise, folds)
    return Rerun(float(scores.mean()), tuple(map(float, scores)), 1.0)


def test_the_best_different_configs_race() -> None:
    trials = [trial(0, 0.7), trial(1, 0.9), trial(2, 0.9, lr=0.002), trial(3, 0.8), trial(4, 0.6)]
    trials.append(Trial(5, {"optimizer.lr": 0.5}, TrialState.PRUNED))
    assert [one.number for one in begin_race(spec(), trials).finalists] == [1, 3, 0]
    assert [one.number for one in begin_race(spec(greater_is_better=False), trials).finalists] == [4, 0, 3]


def test_one_finalist_alone_does_not_race() -> None:
    assert begin_race(spec(), [trial(0, 0.7)]).done
    assert begin_race(spec(), []).done


def test_all_finalists_of_a_round_share_its_seed_and_split_and_rounds_differ() -> None:
    study = spec()
    first, second = (rerun_config(study, trial(number, 0.5), 1) for number in (0, 1))
    assert (first.seed, first.cv.seed) == (second.seed, second.cv.seed)
    assert first.optimizer.lr != second.optimizer.lr
    later = rerun_config(study, trial(0, 0.5), 2)
    assert len({first.seed, first.cv.seed, later.seed, later.cv.seed, study.config.seed}) == 5
    assert rerun_id(study, 7, 2) == "digits-toy-0007-r2"


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_clearly_worse_finalist_leaves_and_equal_ones_stay(sign: float) -> None:
    rng = np.random.default_rng(0)
    study = spec(greater_is_better=sign > 0)
    race = Race((Finalist(0), Finalist(1), Finalist(2)))
    while not race.done:
        means = {0: sign * 0.8, 1: sign * 0.801, 2: sign * 0.7}
        race = after_round(
            race, {one.number: rerun(means[one.number], rng) for one in race.finalists if one.races}, study
        )
    left = {one.number: one.left for one in race.finalists}
    assert left[2] is not None
    assert left[0] is None
    assert left[1] is None
    assert "worse than trial" in (race.finalists[2].why or "")
    assert len(race.finalists[0].reruns) == study.config.sweep.finalists.rounds


def test_the_race_ends_when_one_is_left() -> None:
    rng = np.random.default_rng(0)
    race = Race((Finalist(0), Finalist(1)))
    study = spec(rounds=20)
    while not race.done:
        race = after_round(race, {0: rerun(0.9, rng), 1: rerun(0.5, rng)}, study)
    assert len(race.finalists[0].reruns) < 4


def test_a_finalist_that_fails_leaves() -> None:
    rng = np.random.default_rng(0)
    race = after_round(
        Race((Finalist(0), Finalist(1), Finalist(2))),
        {0: rerun(0.8, rng), 1: rerun(0.8, rng), 2: Rerun(None, reason="NonFiniteLoss: the loss is nan")},
        spec(),
    )
    assert race.finalists[2].left == 1
    assert race.finalists[2].why == "failed: NonFiniteLoss: the loss is nan"
    assert not race.done


def test_the_best_finalist_is_dropped_about_as_rarely_as_promised() -> None:
    """Four configs equal on average; folds of a round share rows, rounds share them again."""
    dropped = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        race = Race(tuple(Finalist(number) for number in range(4)))
        study = spec()
        rows = rng.normal(0, 0.01, (4, 5))
        while not race.done:
            results = {}
            for one in race.finalists:
                scores = 0.8 + rng.permutation(rows[one.number]) + rng.normal(0, 0.01, 5)
                results[one.number] = Rerun(float(scores.mean()), tuple(map(float, scores)))
            race = after_round(race, {number: results[number] for number in results}, study)
        dropped += not race.finalists[0].races
    assert dropped / 200 <= 0.05


def test_p_says_nothing_where_nothing_can_be_said() -> None:
    assert corrected_p([[0.1]]) == 1.0
    assert corrected_p([[0.1, float("nan")]]) == 1.0
    assert corrected_p([[0.0, 0.0]]) == 1.0
    assert corrected_p([[0.1, 0.1]]) == 0.0
    assert corrected_p([[0.1, 0.11, 0.09, 0.1, 0.12]]) < 0.001


def test_a_race_is_read_as_it_was_written(workspace: Workspace) -> None:
    paths = workspace.study("digits", "digits-toy")
    race = Race((Finalist(3, (Rerun(0.5, (0.4, 0.6), 2.0),), 1, "why"), Finalist(1)), done=True)
    write_race(paths, race)
    assert read_race(paths) == race
    assert read_race(workspace.study("digits", "other")) == Race()


def test_a_damaged_race_is_an_error_that_says_what_to_do(workspace: Workspace) -> None:
    paths: StudyPaths = workspace.study("digits", "digits-toy")
    write_race(paths, Race((Finalist(3, (Rerun(0.5, (0.4, 0.6), 2.0),)),)))
    whole = paths.finalists.read_text()
    for damaged in ('{"finalists": 3', whole.replace("0.4", '"x"'), whole.replace('"number": 3', '"number": "a"')):
        paths.finalists.write_text(damaged)
        with pytest.raises(JobError, match="is damaged") as caught:
            read_race(paths)
        assert "remove it" in str(caught.value.hint)


def test_a_race_with_folds_whose_score_is_not_defined_is_written_and_read(workspace: Workspace) -> None:
    paths = workspace.study("digits", "digits-toy")
    write_race(paths, Race((Finalist(3, (Rerun(0.5, (0.4, math.nan), 2.0),)),)))
    (finalist,) = read_race(paths).finalists
    assert finalist.reruns[0].fold_scores[0] == 0.4
    assert math.isnan(finalist.reruns[0].fold_scores[1])
    assert finalist.mean == 0.5


def test_finalists_with_different_folds_are_no_pairs_and_both_stay() -> None:
    race = Race((Finalist(0), Finalist(1)))
    results = {0: Rerun(0.9, (0.9, 0.91, 0.9), 1.0), 1: Rerun(0.5, (0.5, 0.51), 1.0)}
    assert all(one.races for one in after_round(race, results, spec(rounds=3)).finalists)
