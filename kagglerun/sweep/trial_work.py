"""The trials of a study as work for the dispatcher: proposed, handed out, recorded, told."""

from __future__ import annotations

from collections.abc import Sequence

from kagglerun.config.load import with_values
from kagglerun.config.schema import SweepConfig
from kagglerun.errors import TrainingError
from kagglerun.experiment.sync.behind import push_behind
from kagglerun.jobs.notify import Event, notify
from kagglerun.sweep.attempt import Attempt
from kagglerun.sweep.dispatch import End
from kagglerun.sweep.failures import failures_that_end_it, refuse_to_go_on_failing
from kagglerun.sweep.keep import BestWeights
from kagglerun.sweep.mirror import StudyMirror
from kagglerun.sweep.objective import TrialScore, TrialTask
from kagglerun.sweep.progress import SweepProgress, describe_end
from kagglerun.sweep.proposal import Proposer
from kagglerun.sweep.pruning.make_rule import make_rule
from kagglerun.sweep.trials import (
    Failure,
    Trial,
    best_trial,
    failed,
    is_wanted,
    n_done,
    read_trials,
    scored,
    write_trial,
)
from kagglerun.sweep.warm_start import read_earlier_trials
from kagglerun.sweep.workers import EpochDone, FoldDone


class TrialWork:
    """See `kagglerun.sweep.dispatch.Work`.

    Args:
        attempt: the study, and what it is worked on with.
        mirror: Optuna's database.
    """

    def __init__(self, attempt: Attempt, mirror: StudyMirror) -> None:
        self._attempt = attempt
        self._spec = attempt.spec
        self._reporter = attempt.reporter
        self._mirror = mirror
        self._progress = SweepProgress(attempt.spec, attempt.budget)
        self._proposer = Proposer(attempt.spec, read_earlier_trials(attempt.paths))
        self._weights = BestWeights(attempt.workspace, attempt.spec)
        self.trials: list[Trial] = []
        """All trials so far, by number."""

    def unfinished(self) -> list[int]:
        """Trials that did not end, in order; those whose failure ended the sweep are tried again."""
        self.trials = read_trials(self._attempt.paths)
        for trial in failures_that_end_it(self.trials, self._spec.config.sweep.max_failures):
            # They stopped the sweep before; whoever starts it again has mended the cause.
            self._reporter.say(f"trial {trial.number} failed and is tried again")
            self._record(Trial(trial.number, trial.params))
        waiting = [trial.number for trial in self.trials if not trial.is_finished]
        if self.trials:
            self._reporter.say(
                f"going on with {self._spec.name}: {n_done(self.trials)} of {self._spec.config.sweep.trials} "
                f"trials are done, {len(waiting)} to be continued"
            )
        self._mirror.align(self.trials)
        return waiting

    def wants_more(self) -> bool:
        """Whether one more trial is wanted now, and there is a config left to try."""
        wanted = is_wanted(self.trials, self._spec.lag, self._spec.config.sweep.trials)
        return wanted and not self._proposer.is_exhausted(self.trials)

    def more(self) -> int:
        """Propose and record one more trial."""
        number = len(self.trials)
        self._record(Trial(number, self._proposer.propose(self.trials)))
        return number

    def task(self, number: int) -> TrialTask:
        """The trial's config is an experiment of its own: it does not carry the sweep."""
        config = with_values(self._spec.config, self.trials[number].params)
        config = config.model_copy(update={"sweep": SweepConfig()})
        self._progress.started(number)
        return TrialTask(
            number,
            self._spec.run_id(number),
            config,
            self._attempt.parent,
            {"study": self._spec.name, "trial": str(number)},
            make_rule(self._spec, self.trials[: max(0, number - self._spec.lag + 1)]),
        )

    def ended(self, number: int, outcome: TrialScore | Failure) -> None:
        """Record how a trial ended, and tell of it.

        Raises:
            TrainingError: too many failed in a row.
        """
        before = best_trial(self.trials, self._spec.greater_is_better)
        trial = self.trials[number]
        trial = failed(trial, outcome) if isinstance(outcome, Failure) else scored(trial, outcome)
        self._record(trial)
        self._mirror.align(self.trials)
        best = best_trial(self.trials, self._spec.greater_is_better)
        self._reporter.say(describe_end(trial, best))
        self._weights.keep(self.trials)
        push_behind(self._attempt.workspace)
        if best and before and best.number != before.number:
            notify(Event.NEW_BEST, f"{self._spec.name}: {describe_end(best, best)}", {"best": best.value})
        refuse_to_go_on_failing(self.trials, self._spec.config.sweep.max_failures)

    def note(self, event: EpochDone | FoldDone) -> None:
        """Keep it as the latest."""
        self._progress.note(event)

    def report(self, running: Sequence[int]) -> None:
        """Say how far the sweep is."""
        if not running:
            self._progress.ended()
        self._reporter.progress(self._progress.text(self.trials), self._progress.numbers(self.trials))

    def closing(self) -> str | None:
        """The budget's reason."""
        return self._attempt.budget.is_too_short(self.trials)

    def conclude(self, end: End) -> None:
        """Bring the database in line for the last time and sum up.

        Raises:
            TrainingError: the search space has no more configs, and all of them failed.
        """
        self._mirror.align(self.trials, last=True)
        best = best_trial(self.trials, self._spec.greater_is_better)
        if end is End.STOPPED:
            return
        if best is None and end is End.DONE:
            raise TrainingError(
                f"all {len(self.trials)} configs of the search space failed", hint=f"kagglerun study {self._spec.name}"
            )
        found = f"best {best.value:.5g}: trial {best.number}, run {self._spec.run_id(best.number)}" if best else "none"
        self._reporter.say(f"{n_done(self.trials)} trials done; {found}")
        if end is End.SPENT:
            self._reporter.say("the study goes on with a larger budget: the same command with --hours or --until")

    def _record(self, trial: Trial) -> None:
        """Write a trial down; while the disk is full, wait."""
        recorded = self._attempt.record(lambda: write_trial(self._attempt.paths, trial))
        self.trials[trial.number : trial.number + 1] = [recorded]
