"""The one process that owns a study: proposes, hands out, collects, records.

    coordinator  <- trials.jsonl         what was proposed and how it ended; the truth
                 -> workers              tasks; events come back
                 -> studies.db, MLflow   written behind, brought in line at the next start

Killed at any point and started again it ends with the same study: a trial is recorded before it is handed out
and its result before anything depends on it, and proposals follow from recorded results in order.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from kagglerun.jobs.run import STOPPED_EXIT_CODE, Reporter, current, current_job_id
from kagglerun.sweep.attempt import Attempt
from kagglerun.sweep.budget import Budget
from kagglerun.sweep.choose_workers import make_workers
from kagglerun.sweep.dispatch import Dispatcher, End
from kagglerun.sweep.forecast import gpus_of_a_trial
from kagglerun.sweep.lock import study_lock
from kagglerun.sweep.mirror import StudyMirror
from kagglerun.sweep.objective import load_objective
from kagglerun.sweep.race_work import RaceWork
from kagglerun.sweep.review import StudyReview, bring_mlflow_up
from kagglerun.sweep.room import StoppedWaiting
from kagglerun.sweep.study import read_spec
from kagglerun.sweep.trial_work import TrialWork
from kagglerun.sweep.workers import Workers
from kagglerun.workspace import StudyPaths, Workspace


def main(argv: list[str]) -> int:
    """Work on a study as a job.

    Args:
        argv: the competition's slug; the study's name.

    Returns:
        0 when the study has all its trials or its budget is spent, STOPPED_EXIT_CODE when the job was asked to stop.
    """
    slug, name = argv
    workspace = Workspace.find()
    end = run_study(workspace, workspace.study(slug, name), current(), job_id=current_job_id())
    return STOPPED_EXIT_CODE if end is End.STOPPED else 0


def run_study(workspace: Workspace, paths: StudyPaths, reporter: Reporter, *, job_id: str | None = None) -> End:
    """Work on a study until it has all its trials, its budget is spent, or somebody asks to stop.

    Args:
        workspace: where it lives.
        paths: the study; see `prepare_study`.
        reporter: is told of the progress.
        job_id: the job that this is; None in the foreground, where workers print into a file of the study.

    Returns:
        How it ended.

    Raises:
        JobError: another coordinator works on it, or workers cannot start.
        TrainingError: too many trials in a row failed.
    """
    with study_lock(paths, job_id) as lock:
        spec = read_spec(paths)
        tracked = load_objective(spec.objective).is_tracked
        with contextlib.ExitStack() as stack:
            log = None if job_id else stack.enter_context(paths.workers_log.open("ab"))
            workers = make_workers(workspace, paths, spec, lock, log, reporter.say)
            stack.callback(workers.close)
            review = stack.enter_context(StudyReview(workspace, paths, spec, reporter.say, tracked))
            mirror = stack.enter_context(StudyMirror(workspace, paths, spec, reporter.say))
            budget = Budget(paths, spec.config.sweep, gpus_of_a_trial(spec.config))
            attempt = Attempt(workspace, paths, spec, reporter, review.parent, budget)
            end = Coordinator(attempt, workers, mirror).run()
            review.conclude("KILLED" if end is End.STOPPED else "FINISHED")
        if tracked:
            bring_mlflow_up(workspace, spec, reporter)
        return end


@dataclass(frozen=True)
class Coordinator:
    """Runs the trials of a study, then the race of the best.

    Attributes:
        attempt: the study, and what it is worked on with.
        workers: who executes trials.
        mirror: Optuna's database.
    """

    attempt: Attempt
    workers: Workers
    mirror: StudyMirror

    def run(self) -> End:
        """See `run_study`."""
        attempt = self.attempt
        trials = TrialWork(attempt, self.mirror)
        try:
            end = Dispatcher(trials, self.workers, attempt.reporter, attempt.budget).run()
            if end is not End.STOPPED and attempt.spec.config.sweep.finalists.top > 1:
                race = RaceWork(attempt, trials.trials)
                after = Dispatcher(race, self.workers, attempt.reporter, attempt.budget).run()
                end = end if after is End.DONE else after
        except StoppedWaiting:
            end = End.STOPPED
        trials.conclude(end)
        attempt.budget.tick(0, save=True)
        return end
