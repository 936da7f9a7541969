"""The race of the finalists as work for the dispatcher: one rerun of each that is left, round by round."""

from __future__ import annotations

import math
from collections.abc import Sequence

from kagglerun.sweep.attempt import Attempt
from kagglerun.sweep.finalists import (
    Finalist,
    Race,
    Rerun,
    after_round,
    race_to_run,
    read_race,
    rerun_config,
    rerun_id,
    write_race,
)
from kagglerun.sweep.objective import TrialScore, TrialTask
from kagglerun.sweep.trials import Failure, Trial
from kagglerun.sweep.workers import EpochDone, FoldDone


class RaceWork:
    """See `kagglerun.sweep.dispatch.Work`; pieces are told apart by the number of their trial.

    What a killed coordinator had not written down is run again: a finished run is read back at once.

    Args:
        attempt: the study, and what it is worked on with.
        trials: all trials of the study.
    """

    def __init__(self, attempt: Attempt, trials: Sequence[Trial]) -> None:
        self._attempt = attempt
        self._spec = attempt.spec
        self._reporter = attempt.reporter
        self._trials = trials
        self._race = Race()
        self._handed_out: set[int] = set()
        self._results: dict[int, Rerun] = {}

    def unfinished(self) -> list[int]:
        """Take up the race; one of other trials than today's best begins anew."""
        rounds = self._spec.config.sweep.finalists.rounds
        self._race = race_to_run(self._spec, self._trials, read_race(self._attempt.paths))
        if not self._race.done:
            numbers = ", ".join(str(one.number) for one in self._racing())
            self._reporter.say(f"the finalists race: trials {numbers}, round {self._round} of at most {rounds}")
        return []

    def wants_more(self) -> bool:
        """Whether a finalist has not begun this round."""
        return not self._race.done and any(one.number not in self._handed_out for one in self._racing())

    def more(self) -> int:
        """The next rerun of this round."""
        number = next(one.number for one in self._racing() if one.number not in self._handed_out)
        self._handed_out.add(number)
        return number

    def task(self, number: int) -> TrialTask:
        """The trial's config with the round's seed and split; it runs all its folds."""
        tags = {"study": self._spec.name, "trial": str(number), "rerun": str(self._round)}
        config = rerun_config(self._spec, self._trials[number], self._round)
        return TrialTask(number, rerun_id(self._spec, number, self._round), config, self._attempt.parent, tags)

    def ended(self, number: int, outcome: TrialScore | Failure) -> None:
        """Keep a result; the last one of a round decides who leaves."""
        self._results[number] = _as_rerun(outcome)
        self._reporter.say(f"trial {number}, rerun {self._round}: {_described(self._results[number])}")
        if len(self._results) == len(self._racing()):
            self._conclude_round()

    def note(self, event: EpochDone | FoldDone) -> None:
        """Nothing: reruns are told of when they end."""

    def report(self, running: Sequence[int]) -> None:
        """Say which round it is and who leads."""
        leader = self._race.leader(self._spec.greater_is_better)
        ahead = f"  trial {leader.number} leads with {leader.mean:.5g}" if leader else ""
        left = len(self._racing())
        self._reporter.progress(
            f"race of finalists: round {self._round}, {left} left, {len(running)} in work{ahead}",
            {"race_round": self._round, "race_left": left, "race_leader": leader.number if leader else None},
        )

    def closing(self) -> str | None:
        """The budget's reason."""
        return self._attempt.budget.is_too_short(self._trials)

    @property
    def _round(self) -> int:
        """The round that is run, counted from 1; of a race that is over, the last one."""
        rounds = max((len(one.reruns) for one in self._race.finalists), default=0)
        return max(1, rounds if self._race.done else rounds + 1)

    def _racing(self) -> list[Finalist]:
        return [one for one in self._race.finalists if one.races]

    def _conclude_round(self) -> None:
        before = {one.number for one in self._racing()}
        race = after_round(self._race, self._results, self._spec)
        self._attempt.record(lambda: write_race(self._attempt.paths, race))
        self._race, self._results, self._handed_out = race, {}, set()
        for one in race.finalists:
            if one.number in before and not one.races:
                self._reporter.say(f"trial {one.number} leaves the race: {one.why}")
        leader = race.leader(self._spec.greater_is_better)
        if race.done and leader is not None:
            over = f"{self._round} rerun{'s' if self._round != 1 else ''}"
            self._reporter.say(f"the race is over: trial {leader.number}, {leader.mean:.5g} over {over}")


def _as_rerun(outcome: TrialScore | Failure) -> Rerun:
    if isinstance(outcome, Failure):
        return Rerun(None, reason=f"{outcome.kind}: {outcome.message}")
    if outcome.value is None or not math.isfinite(outcome.value):
        return Rerun(None, reason=f"the score is {outcome.value}")
    return Rerun(outcome.value, tuple(outcome.fold_scores), outcome.seconds)


def _described(rerun: Rerun) -> str:
    return f"{rerun.score:.5g} in {rerun.seconds:.0f} s" if rerun.score is not None else f"failed: {rerun.reason}"
