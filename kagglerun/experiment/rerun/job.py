"""Making a run again as a job."""

from __future__ import annotations

from collections.abc import Sequence

from kagglerun.config.load import load_config
from kagglerun.errors import TrainingError
from kagglerun.experiment.job import refuse_second
from kagglerun.experiment.rerun.report import report_lines
from kagglerun.experiment.rerun.reproduce import reproduce
from kagglerun.experiment.run_progress import RunProgress
from kagglerun.jobs.launch import WORK_ENVIRONMENT, launch
from kagglerun.jobs.run import STOPPED_EXIT_CODE, current
from kagglerun.training.loop import Stopped
from kagglerun.workspace import JobPaths, RunPaths, Workspace

_KEEP = "keep"


def launch_rerun(workspace: Workspace, run: RunPaths, folds: Sequence[int] | None, keep: bool) -> JobPaths:
    """Start a job that makes a run again and compares; see `reproduce` for the arguments.

    Raises:
        JobError: a job makes it again already, or none can be started.
    """
    argv = [__name__, run.slug, run.run_id]
    refuse_second(workspace, argv, f"the rerun of {run.run_id}")
    options = [",".join(map(str, folds)) if folds else "all", *([_KEEP] if keep else [])]
    what = f"reproduce {run.run_id}"
    name = f"reproduce-{run.run_id}"
    return launch(workspace, name, [*argv, *options], what=what, environment=WORK_ENVIRONMENT)


def main(argv: list[str]) -> int:
    """Make a run again as a job; the log ends with what came of it.

    Args:
        argv: the competition's slug; the run's id; its folds (0,2 or all); `keep` to leave the rerun's folder.

    Returns:
        0 where all is equal, or STOPPED_EXIT_CODE when the job was asked to stop.

    Raises:
        TrainingError: something differs.
    """
    slug, run_id, asked, *options = argv
    reporter, workspace = current(), Workspace.find()
    run = workspace.run(slug, run_id)
    folds = None if asked == "all" else tuple(int(fold) for fold in asked.split(","))
    cv = load_config(run.config).cv
    progress = RunProgress(reporter, len(folds or cv.folds or range(cv.n_splits)))
    try:
        found = reproduce(workspace, run, folds, keep=_KEEP in options, observer=progress)
    except Stopped:
        return STOPPED_EXIT_CODE
    for line in report_lines(found):
        reporter.say(line)
    if not found.equal:
        raise TrainingError(f"not equal: {found.first}", hint=f"kagglerun reproduce {run_id}")
    reporter.progress("equal", {"equal": True})
    return 0
