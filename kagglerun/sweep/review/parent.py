"""The parent run of a study in MLflow: opened with it, closed with its results however the sweep ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from kagglerun.jobs.run import Reporter
from kagglerun.sweep.review.figures import study_figures
from kagglerun.sweep.study import StudySpec
from kagglerun.sweep.summary import summarise
from kagglerun.sweep.trials import Trial, read_trials
from kagglerun.workspace import StudyPaths, Workspace


class StudyReview:
    """Opens the study's parent run, and closes it with the results however the sweep ends.

    Args:
        workspace: the workspace.
        paths: the study.
        spec: what it is.
        say: is told, in a line, what could not be shown.
        tracked: whether there is a parent run in MLflow.
    """

    def __init__(
        self, workspace: Workspace, paths: StudyPaths, spec: StudySpec, say: Callable[[str], None], tracked: bool
    ) -> None:
        self._workspace = workspace
        self._paths = paths
        self._spec = spec
        self._say = say
        self._tracked = tracked
        self._state = "FAILED"
        self.parent: str | None = None
        """MLflow key of the parent run; None when runs are not tracked."""

    def __enter__(self) -> StudyReview:
        if self._tracked:
            from kagglerun.tracking import open_parent

            sweep = self._spec.config.sweep
            tags = {
                "sampler": sweep.sampler,
                "prune": sweep.prune.method,
                "lag": str(self._spec.lag),
                "seed": str(self._spec.config.seed),
                "search": ", ".join(sweep.search),
            }
            self.parent = open_parent(self._workspace, self._spec.slug, self._spec.name, tags)
        return self

    def conclude(self, state: str) -> None:
        """Say how the sweep ended: FINISHED or KILLED; FAILED where it was not said."""
        self._state = state

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.parent is None:
            return
        from kagglerun.tracking import close_parent

        trials = read_trials(self._paths)
        self._end_lost_runs(trials)
        values = summarise(self._spec, trials).as_metrics()
        close_parent(self._workspace, self.parent, self._state, values, self._pictures(trials))

    def _end_lost_runs(self, trials: Sequence[Trial]) -> None:
        """Say in MLflow of trials whose worker was lost for good that their runs ended."""
        from kagglerun.errors import KagglerunError
        from kagglerun.tracking import sync, tracking_uri, was_killed

        ids = [self._spec.run_id(trial.number) for trial in trials if trial.failure]
        runs = [
            run for run in (self._workspace.run(self._spec.slug, run_id) for run_id in ids) if run.journal.is_file()
        ]
        try:
            if tracking_uri(self._workspace) != "none":
                sync(self._workspace, [run for run in runs if was_killed(run)])
        except (KagglerunError, OSError) as problem:
            self._say(f"MLflow does not know yet how lost trials ended: {problem}")

    def _pictures(self, trials: Sequence[Trial]) -> list[Path]:
        """The pictures; of a sweep that was asked to stop only the page, which takes no time. They are never worth
        a sweep: a full disk or a picture that cannot be drawn costs them alone."""
        try:
            return draw_study(self._paths, self._spec, trials, quick=self._state == "KILLED")
        except Exception as error:
            self._say(f"the study's pictures could not be made: {type(error).__name__}: {error}")
            return []


def bring_mlflow_up(workspace: Workspace, spec: StudySpec, reporter: Reporter) -> None:
    """Write what a slow MLflow has missed of a study's runs, once no worker does; it never fails a sweep.

    An MLflow that does not answer is not waited for: `kagglerun track sync --all` brings the rest.
    """
    from kagglerun.errors import KagglerunError
    from kagglerun.tracking import catch_up, study_paths

    key = f"{spec.slug}/{spec.name}"
    prefix = f"{spec.name}-"
    runs = [run for run in workspace.all_runs(spec.slug) if run.run_id.startswith(prefix)]
    try:
        left = catch_up(workspace, [study_paths(workspace, key), *runs], lambda: reporter.stop_requested)
    except (KagglerunError, OSError) as problem:
        reporter.say(f"MLflow is behind: {problem}\n  later: kagglerun track sync --all")
        return
    if left:
        reporter.say(f"MLflow is behind by {left} runs; later: kagglerun track sync --all")


def draw_study(paths: StudyPaths, spec: StudySpec, trials: Sequence[Trial], quick: bool = False) -> list[Path]:
    """Draw a study's pictures: history, importances, parallel coordinates, slices, pruning, timeline.

    Args:
        paths: the study; the files go into its folder of plots.
        spec: what it is.
        trials: its trials so far.
        quick: make the page only.

    Returns:
        The page, which holds them all, and a PNG of each that there is something to draw of. Empty while there is no
        complete trial.

    Raises:
        DiskFull: there was no room.
        OSError: the folder cannot be written.
    """
    figures = study_figures(spec, trials)
    if not figures.complete:
        return []
    from kagglerun.sweep.review.page import write_page

    page = write_page(figures, paths.study_page)
    if quick:
        return [page]
    from kagglerun.sweep.review.pictures import draw_pictures

    return [page, *draw_pictures(figures, paths.plots)]
