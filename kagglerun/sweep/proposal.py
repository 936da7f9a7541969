"""Which config a trial tries: a function of the study and of earlier results.

Trial n is proposed by a sampler that was told the results of trials 0..n-lag and draws with a generator made from
(seed, n). Trials n-lag+1..n-1 are shown to it as running, with their proposals, which are such functions too; their
results, even if known, are not looked at. So nothing depends on timing, on kills or on the worker. A `Proposer`
keeps what it was told from call to call, which saves time and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any

import optuna

from kagglerun.config.search import Parameter, reachable
from kagglerun.randomness import generator
from kagglerun.sweep import distributions
from kagglerun.sweep.objectives import directions
from kagglerun.sweep.samplers.cube import RandomSampler
from kagglerun.sweep.samplers.make import make_sampler
from kagglerun.sweep.samplers.sampler import Draw, Sampler
from kagglerun.sweep.space import combinations, fingerprint, first_configs, groups
from kagglerun.sweep.study import StudySpec
from kagglerun.sweep.trials import Trial, TrialState


class Proposer:
    """Proposes the trials of a study, one after the other.

    Args:
        spec: the study.
        earlier: trials of earlier studies that fit its search space; see `warm_start`.
    """

    def __init__(self, spec: StudySpec, earlier: Sequence[Trial] = ()) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._config = spec.config
        self._lag = spec.lag
        self._greater_is_better = spec.greater_is_better
        self._earlier = earlier
        self._parameters = reachable(spec.config, spec.parameters)
        self._groups = groups(self._parameters)
        self._first = first_configs(spec.config, self._parameters)
        self._at_random = RandomSampler(spec.config.seed, self._parameters)
        self._every = _shuffled(combinations(spec.config, self._parameters), spec.config.seed)
        self._forget()

    def propose(self, trials: Sequence[Trial]) -> dict[str, Any]:
        """Propose the values of trial `len(trials)`; no config is proposed twice while there are others.

        Args:
            trials: all earlier trials; results of the last lag - 1 are not used.

        Returns:
            Config key to value, in the order of the search space.
        """
        number = len(trials)
        known = max(0, number - self._lag + 1)
        self._catch_up(trials, known)
        fixed = self._first[number] if number < len(self._first) else {}
        params: dict[str, Any] | None = None
        for draw in self._draws(number, trials[known:]):
            params = self._assembled(fixed, draw)
            if fingerprint(params) not in self._tried:
                return params
        untried = self._untried()
        assert untried is not None or params is not None, "a grid at its end is exhausted"
        return untried if untried is not None else params or {}

    def is_exhausted(self, trials: Sequence[Trial]) -> bool:
        """Whether all configs that there are have been proposed."""
        if self._every is None or len(trials) < len(self._first):
            return False
        self._remember(trials)
        return self._untried() is None

    def _forget(self) -> None:
        self._sampler = make_sampler(self._config, self._parameters, self._greater_is_better, self._earlier)
        self._told: list[Trial] = []
        self._forget_proposed()

    def _forget_proposed(self) -> None:
        self._proposed: list[Mapping[str, Any]] = []
        self._tried: set[str] = set()
        self._next_untried = 0

    def _catch_up(self, trials: Sequence[Trial], known: int) -> None:
        """Tell the sampler what came since; all of it again where the past has changed."""
        if self._told != list(trials[: len(self._told)]) or len(self._told) > known:
            self._forget()
        self._remember(trials)
        for trial in trials[len(self._told) : known]:
            self._sampler.tell(trial)
            self._told.append(trial)

    def _remember(self, trials: Sequence[Trial]) -> None:
        """Note what has been proposed."""
        if self._proposed != [trial.params for trial in trials[: len(self._proposed)]]:
            self._forget_proposed()
        for trial in trials[len(self._proposed) :]:
            self._proposed.append(trial.params)
            self._tried.add(fingerprint(trial.params))

    def _draws(self, number: int, running: Sequence[Trial]) -> Iterator[Draw]:
        """What the sampler draws, then random draws; of a grid only what the first configs leave open."""
        yield from _attempts(self._sampler, number, running)
        if self._config.sweep.sampler != "grid" or number < len(self._first):
            yield from _attempts(self._at_random, number, running)

    def _assembled(self, fixed: Mapping[str, Any], draw: Draw) -> dict[str, Any]:
        """Values of all parameters whose conditions hold."""
        values: dict[str, Any] = {}
        for condition, members in self._groups:
            if condition is not None and not condition.holds(self._config, values):
                continue
            drawn = draw(members) if any(member.key not in fixed for member in members) else {}
            values |= {member.key: fixed.get(member.key, drawn.get(member.key)) for member in members}
        return {parameter.key: values[parameter.key] for parameter in self._parameters if parameter.key in values}

    def _untried(self) -> dict[str, Any] | None:
        """The next config that was not proposed; None where there is no end of them, or none is left."""
        every = self._every or []
        while self._next_untried < len(every) and fingerprint(every[self._next_untried]) in self._tried:
            self._next_untried += 1
        return every[self._next_untried] if self._next_untried < len(every) else None


def _attempts(sampler: Sampler, number: int, running: Sequence[Trial]) -> Iterator[Draw]:
    for attempt in count():
        draw = sampler.draw(number, attempt, running)
        if draw is None:
            return
        yield draw


def _shuffled(configs: list[dict[str, Any]] | None, seed: int) -> list[dict[str, Any]] | None:
    """In an order that follows from the seed, so that a part of a grid is spread over all of it."""
    if configs is None:
        return None
    return [configs[position] for position in generator(seed, "grid").permutation(len(configs))]


def direction(greater_is_better: bool) -> str:
    """Optuna's word for the direction of the score."""
    return directions(("score",), greater_is_better)[0]


def frozen_trial(parameters: Sequence[Parameter], trial: Trial, finished: bool) -> Any:
    """A trial as Optuna keeps it, with its values on the way.

    Args:
        parameters: the search space.
        trial: the trial.
        finished: False shows it as running, whatever is known of it.
    """
    return distributions.frozen_trial(parameters, trial, trial.state if finished else TrialState.RUNNING)


def describe(params: Mapping[str, Any]) -> str:
    """The values for people: `optimizer.lr=0.000312 model.name=resnet18`."""
    return " ".join(
        f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}" for key, value in params.items()
    )
