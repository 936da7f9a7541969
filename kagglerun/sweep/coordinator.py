"""The one process that owns a study: proposes, hands out, collects, records.

    coordinator  <- trials.jsonl         what was proposed and how it ended; the truth
                 -> workers              tasks; events come back
                 -> studies.db, MLflow   written behind, brought in line at the next start

Killed at any point and started again it ends with the same study: a trial is recorded before it is handed out
and its result before anything depends on it, and proposals follow from recorded results in order.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from dataclasses import replace

from kagglerun.config.load import with_values
from kagglerun.config.schema import SweepConfig
from kagglerun.errors import ConfigError, JobError, TrainingError
from kagglerun.jobs.run import STOPPED_EXIT_CODE, Reporter, current, current_job_id
from kagglerun.sweep.choose_workers import make_workers
from kagglerun.sweep.lock import study_lock
from kagglerun.sweep.mirror import StudyMirror
from kagglerun.sweep.objective import TrialScore, TrialTask, load_objective
from kagglerun.sweep.progress import SweepProgress, describe_end
from kagglerun.sweep.proposal import Proposer
from kagglerun.sweep.pruning.make_rule import make_rule
from kagglerun.sweep.review import StudyReview
from kagglerun.sweep.study import StudySpec, read_spec
from kagglerun.sweep.trials import (
    Failure,
    Trial,
    best_trial,
    failed,
    is_wanted,
    n_done,
    read_trials,
    scored,
    trailing_failures,
    write_trial,
)
from kagglerun.sweep.warm_start import read_earlier_trials
from kagglerun.sweep.workers import (
    EpochDone,
    Event,
    FoldDone,
    TrialDone,
    TrialFailed,
    TrialInterrupted,
    WorkerLost,
    Workers,
)
from kagglerun.workspace import StudyPaths, Workspace

MOST_LOSSES = 3
"""A trial whose worker died this often is recorded as failed."""
_MOST_STILLBORN = 3
_WAIT_SECONDS = 0.5
_STOP_SECONDS = 25.0


def main(argv: list[str]) -> int:
    """Work on a study as a job.

    Args:
        argv: the competition's slug; the study's name.

    Returns:
        0 when the study has all its trials, STOPPED_EXIT_CODE when the job was asked to stop.
    """
    slug, name = argv
    workspace = Workspace.find()
    finished = run_study(workspace, workspace.study(slug, name), current(), job_id=current_job_id())
    return 0 if finished else STOPPED_EXIT_CODE


def run_study(workspace: Workspace, paths: StudyPaths, reporter: Reporter, *, job_id: str | None = None) -> bool:
    """Work on a study until it has all its trials, or somebody asks to stop.

    Args:
        workspace: where it lives.
        paths: the study; see `prepare_study`.
        reporter: is told of the progress.
        job_id: the job that this is; None in the foreground, where workers print into a file of the study.

    Returns:
        Whether the study has all its trials.

    Raises:
        JobError: another coordinator works on it, or workers cannot start.
        TrainingError: too many trials in a row failed.
    """
    with study_lock(paths, job_id) as lock, contextlib.ExitStack() as stack:
        spec = read_spec(paths)
        log = None if job_id else stack.enter_context(paths.workers_log.open("ab"))
        workers = make_workers(workspace, paths, spec, lock, log, reporter.say)
        stack.callback(workers.close)
        tracked = load_objective(spec.objective).is_tracked
        review = stack.enter_context(StudyReview(workspace, paths, spec, reporter.say, tracked))
        mirror = stack.enter_context(StudyMirror(workspace, paths, spec, reporter.say))
        finished = Coordinator(paths, spec, reporter, workers, mirror, review.parent).run()
        review.conclude("FINISHED" if finished else "KILLED")
        return finished


class Coordinator:
    """Proposes trials, hands them to workers, records what comes back."""

    def __init__(
        self,
        paths: StudyPaths,
        spec: StudySpec,
        reporter: Reporter,
        workers: Workers,
        mirror: StudyMirror,
        parent: str | None,
    ) -> None:
        self._paths = paths
        self._spec = spec
        self._proposer = Proposer(spec, read_earlier_trials(paths))
        self._reporter = reporter
        self._workers = workers
        self._mirror = mirror
        self._parent = parent
        self._progress = SweepProgress(spec)
        self._trials: list[Trial] = []
        self._waiting: deque[int] = deque()
        self._stillborn = 0

    def run(self) -> bool:
        """Work until all trials have ended (True) or a stop was requested (False)."""
        self._take_up()
        while not self._reporter.stop_requested:
            self._hand_out()
            self._report()
            if all(trial.is_finished for trial in self._trials):
                return self._finished()
            for event in self._workers.wait(_WAIT_SECONDS):
                self._handle(event)
        return self._stopped()

    def _take_up(self) -> None:
        """Read what is there; trials that did not end are continued first, in order."""
        self._trials = read_trials(self._paths)
        streak = trailing_failures(self._trials)
        if len(streak) >= self._spec.config.sweep.max_failures:
            # They stopped the sweep before; whoever starts it again has mended the cause.
            self._reporter.say(f"trials {streak[0].number} to {streak[-1].number} failed and are tried again")
            for trial in streak:
                self._record(Trial(trial.number, trial.params))
        self._waiting.extend(trial.number for trial in self._trials if not trial.is_finished)
        if self._trials:
            self._reporter.say(
                f"going on with {self._spec.name}: {n_done(self._trials)} of {self._spec.config.sweep.trials} "
                f"trials are done, {len(self._waiting)} to be continued"
            )
        self._mirror.align(self._trials)

    def _hand_out(self) -> None:
        while self._workers.free and (self._waiting or self._propose()):
            number = self._waiting.popleft()
            try:
                task = self._task(self._trials[number])
            except ConfigError as error:
                self._end(number, Failure("ConfigError", error.message))
                continue
            self._workers.submit(task)
            self._progress.started(number)

    def _propose(self) -> bool:
        """Propose and record one more trial if one is wanted now."""
        if not is_wanted(self._trials, self._spec.lag, self._spec.config.sweep.trials):
            return False
        if self._proposer.is_exhausted(self._trials):
            return False
        number = len(self._trials)
        self._record(Trial(number, self._proposer.propose(self._trials)))
        self._mirror.align(self._trials)
        self._waiting.append(number)
        return True

    def _task(self, trial: Trial) -> TrialTask:
        """The trial's config is an experiment of its own: it does not carry the sweep."""
        config = with_values(self._spec.config, trial.params).model_copy(update={"sweep": SweepConfig()})
        tags = {"study": self._spec.name, "trial": str(trial.number)}
        rule = make_rule(self._spec, self._trials[: max(0, trial.number - self._spec.lag + 1)])
        return TrialTask(trial.number, self._spec.run_id(trial.number), config, self._parent, tags, rule)

    def _handle(self, event: Event) -> None:
        match event:
            case EpochDone() | FoldDone():
                self._progress.note(event)
            case TrialDone(number, score):
                self._end(number, score)
            case TrialFailed(number, kind, message):
                self._end(number, Failure(kind, message))
            case TrialInterrupted(number):
                self._waiting.append(number)
            case WorkerLost():
                self._lost(event)

    def _end(self, number: int, outcome: TrialScore | Failure) -> None:
        """Record how a trial ended."""
        self._stillborn = 0
        trial = self._trials[number]
        trial = failed(trial, outcome) if isinstance(outcome, Failure) else scored(trial, outcome)
        self._record(trial)
        self._mirror.align(self._trials)
        best = best_trial(self._trials, self._spec.greater_is_better)
        self._reporter.say(describe_end(trial, best))
        self._refuse_to_go_on_failing()

    def _lost(self, event: WorkerLost) -> None:
        """Repeat a trial whose worker died, from its checkpoint, unless that happened too often."""
        if event.number is not None:
            self._waiting.appendleft(event.number)
        if not event.was_ready:
            self._count_stillborn(event.reason)
        elif event.number is not None:
            self._count_loss(self._trials[event.number], event.reason)

    def _count_loss(self, trial: Trial, reason: str) -> None:
        trial = replace(trial, losses=trial.losses + 1)
        self._record(trial)
        if trial.losses < MOST_LOSSES:
            self._reporter.say(f"trial {trial.number}: its worker was lost ({reason}); it goes on from its checkpoint")
            return
        self._waiting.remove(trial.number)
        self._end(trial.number, Failure("WorkerLost", f"its worker died {trial.losses} times: {reason}"))

    def _count_stillborn(self, reason: str) -> None:
        self._stillborn += 1
        if self._stillborn >= _MOST_STILLBORN:
            raise JobError(f"the workers cannot start: {reason}", hint="the log above says why: kagglerun logs")

    def _record(self, trial: Trial) -> None:
        trial = write_trial(self._paths, trial)
        self._trials[trial.number : trial.number + 1] = [trial]

    def _refuse_to_go_on_failing(self) -> None:
        """Stop when the newest results are failures only.

        Raises:
            TrainingError: max_failures in a row.
        """
        streak = trailing_failures(self._trials)
        if len(streak) >= self._spec.config.sweep.max_failures:
            last = streak[-1].failure
            assert last is not None
            raise TrainingError(
                f"{len(streak)} trials in a row failed, the last (trial {streak[-1].number}) with {last.kind}: "
                f"{last.message}",
                hint="mend the cause, then `kagglerun resume` tries them again",
            )

    def _report(self) -> None:
        self._reporter.progress(self._progress.text(self._trials), self._progress.numbers(self._trials))

    def _finished(self) -> bool:
        best = best_trial(self._trials, self._spec.greater_is_better)
        if best is None:
            raise TrainingError(
                f"all {len(self._trials)} configs of the search space failed", hint=f"kagglerun study {self._spec.name}"
            )
        self._mirror.align(self._trials, last=True)
        self._progress.ended()
        self._report()
        self._reporter.say(
            f"{n_done(self._trials)} trials done; best {best.value:.5g}: trial {best.number}, "
            f"run {self._spec.run_id(best.number)}"
        )
        return True

    def _stopped(self) -> bool:
        """Let trials in work save where they are."""
        self._reporter.say("stopping: trials in work save where they are")
        self._workers.ask_to_stop()
        deadline = time.monotonic() + _STOP_SECONDS
        while self._in_work() and time.monotonic() < deadline:
            for event in self._workers.wait(_WAIT_SECONDS):
                self._handle(event)
        return False

    def _in_work(self) -> list[int]:
        return [trial.number for trial in self._trials if not trial.is_finished and trial.number not in self._waiting]
