"""A study for people: its parent run in MLflow, and its pictures."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from kagglerun.errors import DiskFull
from kagglerun.files import atomic_path
from kagglerun.sweep.proposal import in_memory_study
from kagglerun.sweep.study import StudySpec
from kagglerun.sweep.trials import Trial, TrialState, best_trial, read_trials
from kagglerun.workspace import StudyPaths, Workspace

_DPI = 120
_LEAST_TRIALS = 2


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
        best = best_trial(trials, self._spec.greater_is_better)
        values = {
            "trials_complete": float(sum(trial.state is TrialState.COMPLETE for trial in trials)),
            "trials_failed": float(sum(trial.state is TrialState.FAIL for trial in trials)),
        }
        if best and best.value is not None:
            values |= {"best_score": best.value, "best_trial": float(best.number)}
        close_parent(self._workspace, self.parent, self._state, values, self._pictures(trials))

    def _pictures(self, trials: list[Trial]) -> list[Path]:
        """The pictures of a study that has ended; a full disk costs them alone."""
        if self._state != "FINISHED":
            return []
        try:
            return draw_study(self._paths, self._spec, trials, self._say)
        except (OSError, DiskFull) as error:
            self._say(f"the study's pictures could not be written: {error}")
            return []


def draw_study(paths: StudyPaths, spec: StudySpec, trials: list[Trial], say: Callable[[str], None]) -> list[Path]:
    """Draw the history and the importance of the parameters.

    Returns:
        The PNG files that could be drawn; two complete trials with different values are needed.
    """
    values = {trial.value for trial in trials if trial.state is TrialState.COMPLETE}
    if len(values) < _LEAST_TRIALS:
        return []
    import matplotlib

    matplotlib.use("Agg")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # optuna's pictures are experimental, matplotlib's layouts talkative
        study = in_memory_study(
            spec.parameters, [trial for trial in trials if trial.is_finished], spec.greater_is_better
        )
        drawn = [_draw(paths.plots / "history.png", study, _history)]
        try:
            drawn.append(_draw(paths.plots / "importances.png", study, _importances))
        except (ValueError, RuntimeError) as error:
            say(f"the importance of the parameters is not shown: {error}")
    return drawn


def _history(study: Any) -> Any:
    from optuna.visualization.matplotlib import plot_optimization_history

    return plot_optimization_history(study, target_name="score")


def _importances(study: Any) -> Any:
    from optuna.importance import FanovaImportanceEvaluator
    from optuna.visualization.matplotlib import plot_param_importances

    return plot_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0), target_name="score")


def _draw(path: Path, study: Any, plot: Callable[[Any], Any]) -> Path:
    from matplotlib import pyplot

    try:
        figure = plot(study).figure
        figure.tight_layout()
        with atomic_path(path, durable=False) as temporary:
            figure.savefig(temporary, dpi=_DPI, format="png")
    finally:
        with contextlib.suppress(RuntimeError):
            pyplot.close("all")
    return path
