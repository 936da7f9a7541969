"""A run as a job: it has its config from the run's own folder, so nothing that is changed later reaches it."""

from __future__ import annotations

from kagglerun.config.load import load_config
from kagglerun.config.schema import Config
from kagglerun.errors import JobError
from kagglerun.experiment.frozen import freeze
from kagglerun.experiment.reserved_gpus import leave_reserved_gpus
from kagglerun.experiment.run import RunStopped, run_experiment
from kagglerun.experiment.run_progress import RunProgress
from kagglerun.jobs.control import running_job
from kagglerun.jobs.launch import WORK_ENVIRONMENT, launch
from kagglerun.jobs.run import STOPPED_EXIT_CODE, current
from kagglerun.workspace import JobPaths, Workspace

_ONE_AFTER_ANOTHER = "0"


def launch_run(workspace: Workspace, config: Config, run_id: str, processes: int | None) -> JobPaths:
    """Start a run, or go on with it, as a job.

    Args:
        workspace: where it lives.
        config: the resolved config; it is frozen into the run's folder first.
        run_id: name of the run's folder.
        processes: see `run_experiment`.

    Raises:
        ConfigError: the folder holds a run of another config.
        JobError: a job works on the run, or none can be started.
    """
    assert config.competition is not None, "resolve_config fills the competition in"
    paths = workspace.run(config.competition, run_id)
    argv = [__name__, paths.slug, run_id, str(processes) if processes else _ONE_AFTER_ANOTHER]
    refuse_second(workspace, argv[:3], f"the run {run_id}")
    freeze(paths, config)
    name = f"train-{config.name or run_id}"
    return launch(workspace, name, argv, what=f"train {run_id}", environment=WORK_ENVIRONMENT)


def main(argv: list[str]) -> int:
    """Execute a run as a job.

    Args:
        argv: the competition's slug; the run's id; how many folds at once, 0 for one after another.

    Returns:
        0, or STOPPED_EXIT_CODE when the job was asked to stop.
    """
    slug, run_id, processes = argv
    reporter, workspace = current(), Workspace.find()
    config = load_config(workspace.run(slug, run_id).config)
    leave_reserved_gpus(config)
    progress = RunProgress(reporter, len(config.cv.folds or range(config.cv.n_splits)))
    try:
        result = run_experiment(workspace, config, run_id, observer=progress, processes=int(processes) or None)
    except RunStopped:
        return STOPPED_EXIT_CODE
    reporter.progress(f"OOF score {result.score:.5f}", {"score": result.score, "run": run_id})
    reporter.say(f"OOF score {result.score:.5f}   {result.seconds:.1f} s   next: kagglerun show {run_id}")
    return 0


def refuse_second(workspace: Workspace, argv: list[str], what: str) -> None:
    """Refuse to start a job for what a job does already.

    Raises:
        JobError: a job whose arguments begin so runs.
    """
    job = running_job(workspace, argv)
    if job:
        raise JobError(f"the job {job.job_id} works on {what} already", hint=f"kagglerun logs -f {job.job_id}")
