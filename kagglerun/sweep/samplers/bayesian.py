"""Optuna's samplers that model the results: TPE and the Gaussian process."""

from __future__ import annotations

import heapq
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import optuna

from kagglerun.config.schema import Config
from kagglerun.config.search import Parameter
from kagglerun.randomness import derive
from kagglerun.sweep.distributions import distribution, from_optuna, frozen_trial
from kagglerun.sweep.objectives import directions, estimated_scores, objective_values
from kagglerun.sweep.samplers.sampler import Draw
from kagglerun.sweep.trials import Trial, TrialState

STARTUP_TRIALS = 10
"""Results before they are modelled; trials are random until then. Optuna's default."""
_BEST = 100
_LATEST = 900
"""TPE looks at so many of the best and of the latest results: an ask takes 7 ms with 1,000 of them and 53 ms with
10,000 (six parameters), and older ones hardly weigh."""
_RUNNING = 256
"""TPE keeps away from so many of the latest trials in work."""
_GP_BEST = 100
_GP_LATEST = 100
_GP_RUNNING = 8
"""The same for the Gaussian process, whose time grows with the third power."""


class _Bayesian:
    """What both have in common."""

    def __init__(self, config: Config, parameters: Sequence[Parameter], greater_is_better: bool) -> None:
        self._seed = config.seed
        self._parameters = parameters
        self._objectives = config.sweep.objectives
        self._directions = directions(self._objectives, greater_is_better)
        self._sign = 1.0 if greater_is_better else -1.0

    @property
    def _is_single(self) -> bool:
        return len(self._objectives) == 1

    def _sampling_seed(self, number: int, attempt: int) -> int:
        path = (number, attempt) if attempt else (number,)
        return derive(self._seed, "sampler", *path) % 2**32

    def _values(self, trial: Trial) -> tuple[float, ...] | None:
        return None if trial.value is None else objective_values(trial, self._objectives)


class TpeSampler(_Bayesian):
    """Optuna's TPE, jointly over parameters that count together; pruned trials count, failed ones as the worst.

    Args:
        config: the study's base config.
        parameters: the search space that it has.
        greater_is_better: direction of the score.
    """

    _ATTEMPTS = 4

    def __init__(self, config: Config, parameters: Sequence[Parameter], greater_is_better: bool) -> None:
        super().__init__(config, parameters, greater_is_better)
        self._told: list[Any] = []
        self._scores: list[float] = []

    def tell(self, trial: Trial) -> None:
        """See `Sampler`."""
        # A failed trial is like one pruned before anything was known of it: Optuna ranks it last.
        state = TrialState.PRUNED if trial.state is TrialState.FAIL else trial.state
        self._told.append(_numbered(len(self._told), self._frozen(trial, state)))
        self._scores.append(-math.inf if trial.value is None else self._sign * trial.value)

    def draw(self, number: int, attempt: int, running: Sequence[Trial]) -> Draw | None:
        """See `Sampler`."""
        if attempt >= self._ATTEMPTS:
            return None
        in_work = (self._frozen(trial, TrialState.RUNNING) for trial in running[-_RUNNING:])
        known = [*self._window(), *(_numbered(n, trial) for n, trial in enumerate(in_work, start=len(self._told)))]
        sampler = _quietly(
            lambda: optuna.samplers.TPESampler(
                seed=self._sampling_seed(number, attempt),
                n_startup_trials=STARTUP_TRIALS,
                # Optuna's own choice: jointly for one objective, each parameter for itself for several.
                multivariate=self._is_single,
                constant_liar=True,
            )
        )
        return optuna_draw(sampler, known, self._directions, jointly=self._is_single)

    def _frozen(self, trial: Trial, state: TrialState) -> Any:
        # With several objectives Optuna cannot rank pruned trials by their values on the way.
        return frozen_trial(self._parameters, trial, state, self._values(trial), with_progress=self._is_single)

    def _window(self) -> list[Any]:
        old = len(self._told) - _LATEST
        if old <= _BEST:
            return self._told
        best = heapq.nlargest(_BEST, range(old), key=lambda index: (self._scores[index], -index))
        return [*(self._told[index] for index in sorted(best)), *self._told[old:]]


class GpSampler(_Bayesian):
    """Optuna's Gaussian process; it knows values alone, so pruned trials get an estimate and failed ones the worst.

    Args:
        config: the study's base config.
        parameters: the search space that it has; all of them count in all trials.
        greater_is_better: direction of the score.
    """

    _ATTEMPTS = 1

    def __init__(self, config: Config, parameters: Sequence[Parameter], greater_is_better: bool) -> None:
        super().__init__(config, parameters, greater_is_better)
        self._told: list[Trial] = []

    def tell(self, trial: Trial) -> None:
        """See `Sampler`."""
        self._told.append(trial)

    def draw(self, number: int, attempt: int, running: Sequence[Trial]) -> Draw | None:
        """See `Sampler`."""
        if attempt >= self._ATTEMPTS:
            return None
        known = self._window()
        frozen = [frozen_trial(self._parameters, trial, TrialState.COMPLETE, values) for trial, values in known]
        frozen += [frozen_trial(self._parameters, trial, TrialState.RUNNING) for trial in running[-_GP_RUNNING:]]
        sampler = _quietly(
            lambda: optuna.samplers.GPSampler(
                seed=self._sampling_seed(number, attempt),
                n_startup_trials=STARTUP_TRIALS,
                warn_independent_sampling=False,
            )
        )
        shown = [_numbered(position, trial) for position, trial in enumerate(frozen)]
        return optuna_draw(sampler, shown, self._directions, jointly=True)

    def _window(self) -> list[tuple[Trial, tuple[float, ...]]]:
        """Trials with values: some of the best, and the latest, in order."""
        known: list[tuple[Trial, tuple[float, ...]]]
        if self._is_single:
            estimates = estimated_scores(self._told, self._sign > 0)
            scores = zip(self._told, estimates, strict=True)
            known = [(trial, (score,)) for trial, score in scores if score is not None]
        else:
            known = [(trial, values) for trial in self._told if (values := self._values(trial)) is not None]
        old = max(0, len(known) - _GP_LATEST)
        score = self._objectives.index("score")
        best = heapq.nlargest(_GP_BEST, range(old), key=lambda index: (self._sign * known[index][1][score], -index))
        return [*(known[index] for index in sorted(best)), *known[old:]]


class _Known(optuna.storages.InMemoryStorage):  # type: ignore[misc]  # optuna's types are not followed
    """The trials that a sampler is shown. What it would note on the trial it draws is dropped: another sampler, made
    after a restart, would not find it."""

    def __init__(self, trials: Sequence[Any]) -> None:
        super().__init__()
        self._shown = trials

    def get_all_trials(self, study_id: int, deepcopy: bool = True, states: Any = None) -> list[Any]:  # noqa: ARG002
        """The trials themselves, `deepcopy` or not: samplers do not change them."""
        return [trial for trial in self._shown if states is None or trial.state in states]

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Nothing is noted."""


def optuna_draw(sampler: Any, known: Sequence[Any], directions: Sequence[str], jointly: bool) -> Draw:
    """The draw that a sampler of Optuna's makes.

    Args:
        sampler: made for this draw.
        known: Optuna's trials, in order; finished and running ones.
        directions: of the objectives.
        jointly: whether parameters are drawn together.
    """
    study = optuna.create_study(storage=_Known(known), sampler=sampler, directions=list(directions))
    asked = _numbered(len(known), optuna.trial.create_trial(state=optuna.trial.TrialState.RUNNING))

    def draw(parameters: Sequence[Parameter]) -> dict[str, Any]:
        space = {parameter.key: distribution(parameter) for parameter in parameters}
        open_ones = {key: of_one for key, of_one in space.items() if not of_one.single()}
        drawn = sampler.sample_relative(study, asked, open_ones) if jointly else {}
        values = {}
        for parameter in parameters:
            if parameter.key not in open_ones:
                values[parameter.key] = from_optuna(parameter, _only_value(space[parameter.key]))
                continue
            value = drawn.get(parameter.key, _NOT_DRAWN)
            if value is _NOT_DRAWN:
                value = sampler.sample_independent(study, asked, parameter.key, space[parameter.key])
            values[parameter.key] = from_optuna(parameter, value)
        return values

    return lambda parameters: _quietly(lambda: draw(parameters))


_NOT_DRAWN = object()


def _only_value(of_one: Any) -> Any:
    is_choice = isinstance(of_one, optuna.distributions.CategoricalDistribution)
    return of_one.choices[0] if is_choice else of_one.low


def _numbered(number: int, trial: Any) -> Any:
    trial.number = number
    return trial


def _quietly(action: Callable[[], Any]) -> Any:
    """Do something of Optuna's without being told that it is experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return action()
