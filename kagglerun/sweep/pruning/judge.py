"""What a worker does with a rule: it looks at a trial's epochs and folds, and says when to stop it.

Everything it looks at lies on the disk (the trial's finished folds, its rival's predictions) or comes with the rule,
and chance comes from seeds. So the answer is the same whoever asks, how often, and after which kill.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

from kagglerun.errors import DataError
from kagglerun.experiment.predictions import Predictions, read_predictions
from kagglerun.experiment.prepare import Prepared
from kagglerun.files import read_json
from kagglerun.randomness import derive
from kagglerun.sweep.pruning.known_runs import KnownRuns, known_runs
from kagglerun.sweep.pruning.paired import Scoring
from kagglerun.sweep.pruning.rule import StopRule
from kagglerun.sweep.pruning.scoring import paired_fold, scoring_of_run
from kagglerun.sweep.pruning.verdict import Verdict, VerdictKind, judge_folds
from kagglerun.workspace import RunPaths, Workspace


class RuleJudge:
    """An `experiment.pruned.RunJudge` that follows a rule.

    Args:
        workspace: where the rival's run is.
        rule: when to stop.
    """

    def __init__(self, workspace: Workspace, rule: StopRule) -> None:
        self._workspace, self._rule = workspace, rule
        self._test: _PairedTest | None = None

    @property
    def watches_epochs(self) -> bool:
        """Whether the rule has a cutoff within the first fold."""
        return any(cutoff.epoch is not None for cutoff in self._rule.cutoffs)

    def after_epoch(self, epoch: int, score: float) -> str | None:
        """Why the trial is stopped after an epoch of its first fold, or None."""
        missed = self._rule.cutoff(0, epoch, score)
        if missed is None:
            return None
        return f"after epoch {epoch + 1} of its first fold: {_short_of(score, missed.score)}; {missed.why}"

    def after_fold(
        self, prepared: Prepared, paths: RunPaths, folds: Sequence[int], scores: Sequence[float]
    ) -> str | None:
        """Why the trial is stopped after a fold, or None.

        Raises:
            DataError: the rival's predictions are gone or damaged.
        """
        if not all(map(math.isfinite, scores)):
            return None  # it will fail, with a reason of its own
        where = f"after {len(folds)} of {len(prepared.chosen_folds)} folds"
        mean = math.fsum(scores) / len(scores)
        missed = self._rule.cutoff(len(folds) - 1, None, mean)
        if missed:
            return f"{where}: {_short_of(mean, missed.score)}; {missed.why}"
        verdict = self._verdict(prepared, paths, folds)
        if verdict is None or verdict.kind is not VerdictKind.STOP:
            return None
        return (
            f"{where}: worse than {self._rule.rival} by {-verdict.difference:.4g} ± {verdict.standard_error:.2g} "
            f"(p = {verdict.p:.2g})"
        )

    def _verdict(self, prepared: Prepared, paths: RunPaths, folds: Sequence[int]) -> Verdict | None:
        """What the paired test says; None where the rule has none or the runs cannot be compared."""
        if self._rule.rival is None or len(folds) > len(self._rule.errors):
            return None
        if self._test is None:
            self._test = _PairedTest(prepared, [self._workspace.run(paths.slug, run) for run in self._rule.runs])
        return self._test.verdict(paths, folds, self._rule.errors)


def _short_of(score: float, least: float) -> str:
    return f"its score is {score:.5g}, and to go on it needs {least:.5g}"


class _PairedTest:
    """Pairs a trial's predictions with those of its rival, fold by fold.

    Args:
        prepared: what the trial's folds share.
        runs: the rival, then further complete runs, the best first.
    """

    def __init__(self, prepared: Prepared, runs: Sequence[RunPaths]) -> None:
        self._prepared, self._runs = prepared, runs
        self._mine: dict[int, Predictions] = {}

    def verdict(self, paths: RunPaths, folds: Sequence[int], errors: tuple[float, ...]) -> Verdict | None:
        """The verdict after these folds; None where the rival has other ones.

        Raises:
            DataError: predictions of the rival or of another run are gone or damaged.
        """
        if self._rival is None:
            return None
        for fold in folds:
            if fold not in self._mine:
                self._mine[fold] = read_predictions(paths.fold(fold).oof)
        pairs = [pair for fold in folds if (pair := paired_fold(self._mine[fold], self._rival)) is not None]
        if len(pairs) < len(folds):
            return None
        seed = derive(self._prepared.config.seed, "prune")
        return judge_folds(self._scoring, pairs, errors, known=self._known, seed=seed)

    @cached_property
    def _scoring(self) -> Scoring:
        return scoring_of_run(self._prepared)

    @cached_property
    def _rival(self) -> Predictions | None:
        return self._predictions(self._runs[0])

    @cached_property
    def _known(self) -> KnownRuns | None:
        if self._rival is None:
            return None
        others = [self._predictions(run) for run in self._runs[1:]]
        return known_runs(self._rival, [other for other in others if other is not None])

    def _predictions(self, run: RunPaths) -> Predictions | None:
        """A run's out-of-fold predictions; None where its data, folds or metric are not the trial's."""
        if not run.fingerprint.exists():
            raise DataError(
                f"the run {run.run_id} is gone, with which this trial is compared",
                hint="put its folder back, or begin another study with --new",
            )
        if read_json(run.fingerprint)["comparable"] != self._prepared.fingerprint.comparable:
            return None
        return read_predictions(run.oof)
