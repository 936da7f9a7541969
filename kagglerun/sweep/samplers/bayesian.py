"""Optuna's samplers that model the results: TPE and the Gaussian process."""

from __future__ import annotations

import contextlib
import heapq
import math
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
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
_BEST = 50
_LATEST = 450
"""TPE looks at so many of the best and of the latest results: an ask takes 5 ms with 500 of them, 7 with 1,000 and
53 with 10,000 (six parameters). Over 1,500 trials of a noisy function 500 found as good a best as 1,000 did; 200
were slower to find it."""
_RUNNING = 128
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
        self._n_told = 0
        self._latest: deque[tuple[float, int, Any]] = deque()
        self._best: list[tuple[float, int, Any]] = []
        self._running: dict[int, tuple[Trial, Any]] = {}

    def tell(self, trial: Trial) -> None:
        """See `Sampler`."""
        # A failed trial is like one pruned before anything was known of it: Optuna ranks it last.
        state = TrialState.PRUNED if trial.state is TrialState.FAIL else trial.state
        score = -math.inf if trial.value is None else self._sign * trial.value
        # Of equal ones the first is better, hence its number with a minus.
        self._latest.append((score, -self._n_told, _numbered(self._n_told, self._frozen(trial, state))))
        self._n_told += 1
        if len(self._latest) > _LATEST:
            heapq.heappush(self._best, self._latest.popleft())
        if len(self._best) > _BEST:
            heapq.heappop(self._best)

    def draw(self, number: int, attempt: int, running: Sequence[Trial]) -> Draw | None:
        """See `Sampler`."""
        if attempt >= self._ATTEMPTS:
            return None
        known = [*self._window(), *self._in_work(running[-_RUNNING:])]
        seed = self._sampling_seed(number, attempt)

        def draw(parameters: Sequence[Parameter]) -> dict[str, Any]:
            with _quiet():
                sampler = optuna.samplers.TPESampler(
                    seed=seed,
                    n_startup_trials=STARTUP_TRIALS,
                    # Optuna's own choice: jointly for one objective, each parameter for itself for several.
                    multivariate=self._is_single,
                    constant_liar=True,
                )
                return draw_with(sampler, _having(known, parameters), self._directions, parameters, self._is_single)

        return draw

    def _frozen(self, trial: Trial, state: TrialState) -> Any:
        # With several objectives Optuna cannot rank pruned trials by their values on the way.
        return frozen_trial(self._parameters, trial, state, self._values(trial), with_progress=self._is_single)

    def _in_work(self, running: Sequence[Trial]) -> list[Any]:
        """Trials in work; each is converted once, since with many workers there are many in every draw."""
        before, self._running = self._running, {}
        for trial in running:
            known, frozen = before.get(trial.number, (None, None))
            if known is None or known.params is not trial.params:
                frozen = self._frozen(trial, TrialState.RUNNING)
            self._running[trial.number] = (trial, frozen)
        return [_numbered(n, frozen) for n, (_, frozen) in enumerate(self._running.values(), start=self._n_told)]

    def _window(self) -> list[Any]:
        """Trials in the order in which they were told."""
        best = sorted(self._best, key=lambda entry: -entry[1])
        return [frozen for _, _, frozen in (*best, *self._latest)]


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
        seed = self._sampling_seed(number, attempt)
        shown = [_numbered(position, trial) for position, trial in enumerate(frozen)]

        def draw(parameters: Sequence[Parameter]) -> dict[str, Any]:
            with _quiet():
                sampler = optuna.samplers.GPSampler(seed=seed, n_startup_trials=STARTUP_TRIALS)
                return draw_with(sampler, shown, self._directions, parameters, jointly=True)

        return draw

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


def draw_with(
    sampler: Any, known: Sequence[Any], directions: Sequence[str], parameters: Sequence[Parameter], jointly: bool
) -> dict[str, Any]:
    """Let a sampler of Optuna's draw.

    Args:
        sampler: made for this draw.
        known: Optuna's trials, in order; finished and running ones.
        directions: of the objectives.
        parameters: what to draw.
        jointly: whether they are drawn together.

    Returns:
        The value of each parameter, by key.
    """
    study = optuna.create_study(storage=_Known(known), sampler=sampler, directions=list(directions))
    asked = _numbered(len(known), optuna.trial.create_trial(state=optuna.trial.TrialState.RUNNING))
    space = {parameter.key: distribution(parameter) for parameter in parameters}
    # By name, as Optuna itself draws them.
    open_ones = {key: space[key] for key in sorted(space) if not space[key].single()}
    values = {key: _only_value(of_one) for key, of_one in space.items() if of_one.single()}
    if jointly:
        values |= sampler.sample_relative(study, asked, open_ones)
    for key, of_one in open_ones.items():
        if key not in values:
            values[key] = sampler.sample_independent(study, asked, key, of_one)
    return {parameter.key: from_optuna(parameter, values[parameter.key]) for parameter in parameters}


def _having(trials: Sequence[Any], parameters: Sequence[Parameter]) -> list[Any]:
    """The trials that have these parameters, which count together: the others say nothing of them."""
    key = parameters[0].key
    return [trial for trial in trials if key in trial.params]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Optuna says neither that something is experimental nor what could be installed to be faster."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)


def _only_value(of_one: Any) -> Any:
    is_choice = isinstance(of_one, optuna.distributions.CategoricalDistribution)
    return of_one.choices[0] if is_choice else of_one.low


def _numbered(number: int, trial: Any) -> Any:
    trial.number = number
    return trial
