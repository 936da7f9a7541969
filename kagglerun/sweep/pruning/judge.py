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
from kagglerun.sweep.pruning.paired import PairedFold, Scoring
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
            self._test = _PairedTest(prepared, self._workspace.run(paths.slug, self._rule.rival))
        return self._test.verdict(paths, folds, self._rule.errors)


def _short_of(score: float, least: float) -> str:
    return f"its score is {score:.5g}, and to go on it needs {least:.5g}"


class _PairedTest:
    """Pairs a trial's predictions with those of its rival, fold by fold."""

    def __init__(self, prepared: Prepared, rival: RunPaths) -> None:
        self._prepared, self._rival = prepared, rival
        self._pairs: dict[int, PairedFold | None] = {}

    def verdict(self, paths: RunPaths, folds: Sequence[int], errors: tuple[float, ...]) -> Verdict | None:
        """The verdict after these folds; None where the rival's are others.

        Raises:
            DataError: the rival's predictions are gone or damaged.
        """
        for fold in folds:
            if fold not in self._pairs:
                self._pairs[fold] = self._pair(read_predictions(paths.fold(fold).oof))
        pairs = [pair for fold in folds if (pair := self._pairs[fold]) is not None]
        if len(pairs) < len(folds):
            return None
        return judge_folds(self._scoring, pairs, errors, seed=derive(self._prepared.config.seed, "prune"))

    @cached_property
    def _scoring(self) -> Scoring:
        return scoring_of_run(self._prepared)

    @cached_property
    def _rivals(self) -> Predictions | None:
        """The rival's predictions; None where its data, folds or metric are not the trial's."""
        if not self._rival.fingerprint.exists():
            raise DataError(
                f"the run {self._rival.run_id} is gone, with which this trial is compared",
                hint="put its folder back, or begin another study with --new",
            )
        if read_json(self._rival.fingerprint)["comparable"] != self._prepared.fingerprint.comparable:
            return None
        return read_predictions(self._rival.oof)

    def _pair(self, mine: Predictions) -> PairedFold | None:
        return paired_fold(mine, self._rivals) if self._rivals is not None else None
