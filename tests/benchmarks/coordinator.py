"""What the coordinator of a sweep costs, what its lag costs and gives, and how many workers it can keep busy.

The real coordinator with its real files and database runs studies whose trials take no time. With these costs a
sweep over many workers is simulated: one coordinator that serves one trial after the other, workers whose trials
take log-normal times, results told in order.
"""

from __future__ import annotations

import heapq
import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[2]))

TRIALS = 1000
ALLOWED_MS = 20
LONG = 10_000
OBJECTIVE = "tests.sweep.toy:Toy"
SEARCH: dict[str, Any] = {
    "optimizer.lr": {"low": 1e-5, "high": 1e-1, "log": True},
    "optimizer.weight_decay": {"low": 1e-4, "high": 0.5, "log": True},
    "training.label_smoothing": {"low": 0.0, "high": 0.3},
    "training.batch_size": {"low": 16, "high": 256, "step": 16},
    "optimizer.name": ["adamw", "sgd"],
    "optimizer.momentum": {"low": 0.5, "high": 0.99, "when": "optimizer.name == sgd"},
}


def report(trials: int = TRIALS, long: int = LONG, seeds: int = 16) -> str:
    """Markdown tables of the coordinator's cost, of the lag, and of many workers.

    Args:
        trials: of the studies whose cost is measured.
        long: results that are known where the cost of a long study is measured.
        seeds: studies for each lag.
    """
    tpe, plain = study_costs(trials, "tpe"), study_costs(trials, "random")
    asks = ask_costs(sorted({trials // 10, trials, long}))
    return "\n\n".join(
        [
            cost_table(trials, tpe, plain),
            ask_table(asks),
            lag_table(seeds),
            scaling_table(tpe, max(asks[-1].milliseconds, asks[-2].milliseconds)),
        ]
    )


@dataclass(frozen=True)
class Costs:
    """Of a study.

    Attributes:
        milliseconds: a trial, all in all.
        proposing: of these, what the proposal took.
        recording: of these, what the trials' file took, on disk when it returns.
        bytes_on_disk: a trial, in the trials' file.
        database_bytes: a trial, in the database.
        message_bytes: a trial, to the worker and back.
    """

    milliseconds: float
    proposing: float
    recording: float
    bytes_on_disk: float
    database_bytes: float
    message_bytes: float

    @property
    def others(self) -> float:
        """Milliseconds a trial without the proposal."""
        return self.milliseconds - self.proposing


class Instant:
    """Workers whose trials take no time.

    Args:
        slots: how many there are.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._tasks: list[Any] = []
        self.message_bytes = 0

    @property
    def free(self) -> int:
        """Slots without a trial."""
        return self._slots - len(self._tasks)

    def submit(self, task: Any) -> None:
        """Take a trial."""
        from kagglerun.sweep.worker_process import task_to_json

        self.message_bytes += len(json.dumps(task_to_json(task)))
        self._tasks.append(task)

    def wait(self, seconds: float) -> Sequence[Any]:
        """The oldest trial's end."""
        from kagglerun.sweep.objective import TrialScore
        from kagglerun.sweep.workers import TrialDone
        from tests.sweep.toy import score

        task = self._tasks.pop(0)
        value = score(task.config)
        done = TrialDone(task.number, TrialScore(value, (value,) * 5, 10.0))
        self.message_bytes += len(repr(done))
        return [done]

    def ask_to_stop(self) -> None:
        """They never work."""

    def close(self) -> None:
        """Nothing to end."""


class Silent:
    """A reporter that nobody listens to."""

    stop_requested = False

    def say(self, text: str) -> None:
        """Not kept."""

    def progress(self, text: str, numbers: Mapping[str, Any]) -> None:
        """Not kept."""


def study_costs(trials: int, sampler: str) -> Costs:
    """Run a whole study through the real coordinator: `run_study`, its files, SQLite."""
    from kagglerun.sweep import coordinator, trial_work
    from kagglerun.sweep.proposal import Proposer
    from kagglerun.sweep.study import prepare_study
    from kagglerun.workspace import Workspace

    with tempfile.TemporaryDirectory(dir=os.environ.get("KAGGLERUN_BENCHMARK_FOLDER")) as folder:
        for name in ("competitions/digits", "sweeps"):
            (Path(folder) / name).mkdir(parents=True)
        workspace = Workspace(Path(folder))
        paths, _ = prepare_study(workspace, config(sampler, trials), objective=OBJECTIVE)
        workers = Instant(2)
        proposing, recording = Watch(Proposer.propose), Watch(trial_work.write_trial)
        with (
            mock.patch.object(coordinator, "make_workers", lambda *_: workers),
            mock.patch.object(Proposer, "propose", proposing.method()),
            mock.patch.object(trial_work, "write_trial", recording),
        ):
            started = time.perf_counter()
            coordinator.run_study(workspace, paths, Silent())
            seconds = time.perf_counter() - started
        return Costs(
            1e3 * seconds / trials,
            1e3 * proposing.seconds / trials,
            1e3 * recording.seconds / trials,
            paths.trials.stat().st_size / trials,
            workspace.studies_db.stat().st_size / trials,
            workers.message_bytes / trials,
        )


class Watch:
    """Adds up the time of a function's calls."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.seconds = 0.0

    def __call__(self, *arguments: Any) -> Any:
        started = time.perf_counter()
        try:
            return self._function(*arguments)
        finally:
            self.seconds += time.perf_counter() - started

    def method(self) -> Callable[..., Any]:
        """As a method: with its `self`."""
        return lambda *arguments: self(*arguments)


def config(sampler: str, trials: int = TRIALS, lag: int | None = None, search: dict[str, Any] | None = None) -> Any:
    """A study's config."""
    from kagglerun.config.load import parse_config

    sweep = {"trials": trials, "sampler": sampler, "workers": 2, "lag": lag, "search": search or SEARCH}
    return parse_config({"competition": "digits", "name": "bench", "sweep": sweep}, "benchmark")


def spec_of(of_one: Any) -> Any:
    """A study that lives nowhere."""
    from kagglerun.sweep.study import StudySpec

    return StudySpec(name="bench", slug="digits", greater_is_better=True, objective=OBJECTIVE, config=of_one)


@dataclass(frozen=True)
class AskCost:
    """Of one proposal.

    Attributes:
        known: results that it follows from.
        milliseconds: it takes.
        of_all: what it takes where TPE is shown every result.
    """

    known: int
    milliseconds: float
    of_all: float


def ask_costs(sizes: Sequence[int]) -> list[AskCost]:
    """Median time of a proposal after so many results, as it is and with all results shown."""
    from kagglerun.sweep.samplers import bayesian

    trials = drawn_trials(max(sizes))
    found = []
    for known in sizes:
        usual = ask_milliseconds(trials[:known])
        with mock.patch.object(bayesian, "_LATEST", known):
            found.append(AskCost(known, usual, ask_milliseconds(trials[:known])))
    return found


def drawn_trials(count: int) -> list[Any]:
    """Complete trials with random values."""
    import numpy as np

    from kagglerun.sweep.proposal import Proposer
    from kagglerun.sweep.trials import Trial, TrialState

    rng = np.random.default_rng(0)
    proposer = Proposer(spec_of(config("random")))
    trials: list[Any] = []
    for number in range(count):
        # The list is not told of: a proposal at random does not look at it.
        params = proposer.propose([*trials[:1]] * min(1, number)) if number == 0 else None
        params = params or proposer._at_random.draw(number, 0, ())(proposer._parameters)
        value = float(rng.random())
        trials.append(Trial(number, params, TrialState.COMPLETE, value=value, fold_scores=(value,) * 5, seconds=10.0))
    return trials


def ask_milliseconds(trials: list[Any], repeats: int = 15) -> float:
    """Median time of a proposal by a proposer that knows the trials already."""
    from kagglerun.sweep.proposal import Proposer

    proposer = Proposer(spec_of(config("tpe", lag=2)))
    proposer.propose(trials)
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        proposer.propose(trials)
        times.append(time.perf_counter() - started)
    return 1e3 * statistics.median(times)


def cost_table(trials: int, tpe: Costs, plain: Costs) -> str:
    """Milliseconds a trial."""
    rows = [
        "### What the coordinator costs",
        "",
        f"{trials} trials that take no time, two slots, six parameters (one with a condition), trials' file and SQLite "
        f"written; allowed are {ALLOWED_MS} ms a trial with TPE.",
        "",
        "| sampler | ms a trial | proposing | recording | others | bytes in the file | in the database | in messages |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, costs in (("tpe", tpe), ("random", plain)):
        rest = costs.others - costs.recording
        rows.append(
            f"| {name} | {costs.milliseconds:.1f} | {costs.proposing:.1f} | {costs.recording:.1f} | {rest:.1f} "
            f"| {costs.bytes_on_disk:.0f} | {costs.database_bytes:.0f} | {costs.message_bytes:.0f} |"
        )
    return "\n".join(rows)


def ask_table(asks: Sequence[AskCost]) -> str:
    """Milliseconds a proposal."""
    rows = [
        "A proposal by TPE, which looks at 50 of the best and the 450 latest results, and one that is shown all:",
        "",
        "| results | ms | ms, shown all |",
        "|---|---|---|",
    ]
    rows += [f"| {ask.known} | {ask.milliseconds:.1f} | {ask.of_all:.1f} |" for ask in asks]
    return "\n".join(rows)


def waited(workers: int, lag: int, service_seconds: float = 0.0, trial_seconds: float = 1.0, trials: int = 0) -> float:
    """Share of the workers' time in which they wait, for results in order or for the coordinator.

    Args:
        workers: slots.
        lag: trial n needs the results of trials 0..n-lag.
        service_seconds: of the coordinator, for each trial.
        trial_seconds: mean time of a trial; log-normal, with a standard deviation of half of it.
        trials: how many; 20 for each worker where left out.
    """
    import numpy as np

    count = trials or 20 * workers
    sigma = math.sqrt(math.log(1 + 0.5**2))
    times = np.random.default_rng(0).lognormal(math.log(trial_seconds) - sigma**2 / 2, sigma, count)
    free = [0.0] * workers
    told: list[float] = []
    coordinator = idle = 0.0
    for number, seconds in enumerate(times):
        since = heapq.heappop(free)
        ready = max(since, told[number - lag] if number >= lag else 0.0, coordinator)
        begun = coordinator = ready + service_seconds
        idle += begun - since
        heapq.heappush(free, begun + seconds)
        told.append(max(begun + seconds, told[-1] if told else 0.0))
    return idle / (idle + float(times.sum()))


def gap(lag: int, seed: int, trials: int = 100) -> float:
    """How far the best of a study is from the optimum, on a random quadratic with ripples; a random config is at 1."""
    import numpy as np

    from kagglerun.config.search import parse_search
    from kagglerun.sweep.proposal import Proposer
    from kagglerun.sweep.space import to_unit
    from kagglerun.sweep.trials import Trial, TrialState

    rng = np.random.default_rng(seed)
    search = {key: entry for key, entry in SEARCH.items() if key not in ("optimizer.name", "optimizer.momentum")}
    of_one = config("tpe", lag=lag, search=search).model_copy(update={"seed": seed})
    axes: Any = parse_search(of_one)
    centre, turn = rng.uniform(0.2, 0.8, len(axes)), np.linalg.qr(rng.normal(size=(len(axes), len(axes))))[0]

    def loss(at: Any) -> float:
        z = turn @ (at - centre)
        return float(z**2 @ np.geomspace(1, 10, len(axes)) + 0.1 * np.sum(1 - np.cos(12 * z)))

    typical = statistics.mean(loss(rng.random(len(axes))) for _ in range(200))
    proposer, known = Proposer(spec_of(of_one)), []
    for number in range(trials):
        params = proposer.propose(known)
        value = -loss(np.array([to_unit(axis, params[axis.key]) for axis in axes]))
        known.append(Trial(number, params, TrialState.COMPLETE, value=value, fold_scores=(value,), seconds=1.0))
    return -max(trial.value for trial in known) / typical


def lag_table(seeds: int, workers: int = 8) -> str:
    """Idle slots against knowledge."""
    rows = [
        f"The lag with {workers} slots: share of their time that slots wait (trials of log-normal length, standard "
        "deviation half of the mean), and the gap to the optimum that the best of 100 trials leaves (TPE, random "
        f"quadratics with ripples in four dimensions, a random config is at 1; geometric mean over {seeds} studies, "
        "with its standard error as a factor).",
        "",
        "| lag | slots | slots that wait | gap after 100 trials |",
        "|---|---|---|---|",
    ]
    for factor in (1 / workers, 1, 1.25, 1.5, 2, 3, 4):
        lag = int(factor * workers)
        gaps = [math.log(gap(lag, seed)) for seed in range(seeds)]
        error = math.exp(statistics.stdev(gaps) / math.sqrt(seeds))
        wait = f"{waited(workers, lag, trials=4000):.1%}"
        rows.append(f"| {lag} | {factor:g} x | {wait} | {math.exp(statistics.mean(gaps)):.4f} (x/ {error:.2f}) |")
    return "\n".join(rows)


def scaling_table(costs: Costs, ask: float) -> str:
    """Many workers on one coordinator."""
    service = (ask + costs.others) / 1e3
    rows = [
        f"Many workers, simulated with a coordinator that takes {1e3 * service:.1f} ms a trial ({ask:.1f} of it for "
        "the proposal after thousands of results), lag twice the workers; waiting: share of the workers' time in which "
        "they wait for the coordinator or for results in order. The last column is the lag, in workers, from which on "
        "less than 5 % are lost for the order of results.",
        "",
        "| workers | minutes a trial | asks and tells a second | messages, kB a second | coordinator busy | waiting "
        "| waiting, free coordinator | lag for 5 % |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for workers in (64, 512, 4096):
        alone, enough = waited(workers, 2 * workers), lag_for(workers, 0.05)
        for minutes in (1, 5, 30):
            rate = min(workers / (60 * minutes), 1 / service)
            share = waited(workers, 2 * workers, service, 60 * minutes)
            rows.append(
                f"| {workers} | {minutes} | {rate:.1f} | {rate * costs.message_bytes / 1e3:.0f} "
                f"| {min(1.0, workers * service / (60 * minutes)):.0%} | {share:.1%} | {alone:.1%} | {enough:g} x |"
            )
    most = int(60 / service)
    rows += ["", f"It saturates at {1 / service:.0f} trials a second: {most} workers with trials of a minute."]
    return "\n".join(rows)


def lag_for(workers: int, share: float) -> float:
    """The least lag, as a multiple of the workers, with which they wait for less than a share of their time."""
    factors = (2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0)
    return next((factor for factor in factors if waited(workers, int(factor * workers)) < share), factors[-1])


if __name__ == "__main__":
    small = "--small" in sys.argv
    print(report(100, 1000, 2) if small else report())
