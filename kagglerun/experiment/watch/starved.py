"""A GPU that has little to do: noticed after ten minutes, with the advice that fits what was measured.

A GPU's utilisation says that it waits, not for what. That follows from what was measured beside it: how long updates
wait for their data, what the link carries, what the cores do, and how much of the time is updates at all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from kagglerun.config.schema import Config
from kagglerun.jobs.machine import GpuStretch, Stretch
from kagglerun.training.pace import Pace

STARVED = 0.3
"""A GPU under this share of its time has too little to do."""
STARVED_SECONDS = 600.0
_WAITS = 0.3
"""Share of the updates' time that waiting for data takes before it is the cause."""
_FULL_LINK = 0.5
_FULL_MACHINE = 0.9
_SMALL_SHARE = 0.5
_ONE_CORE = 0.8


@dataclass(frozen=True)
class Moment:
    """A stretch of a run's time.

    Attributes:
        machine: what it took of the machine.
        pace: what it trained in it.
    """

    machine: Stretch
    pace: Pace


@dataclass(frozen=True)
class Warned:
    """A warning for people.

    Attributes:
        text: what was measured.
        advice: what to do about it.
    """

    text: str
    advice: str


class StarvedGpus:
    """Remembers the last ten minutes of a process, run after run, and warns once."""

    def __init__(self) -> None:
        self._moments: deque[Moment] = deque()
        self._has_warned = False

    def add(self, moment: Moment, config: Config) -> Warned | None:
        """Take up a stretch of time; a warning where a GPU was starved for ten minutes, the first time it was.

        Args:
            moment: the stretch; all are about as long.
            config: of the run that is in work, for the advice.
        """
        self._moments.append(moment)
        seconds = sum(each.machine.seconds for each in self._moments)
        while seconds - self._moments[0].machine.seconds >= STARVED_SECONDS:
            seconds -= self._moments.popleft().machine.seconds
        if self._has_warned or seconds < STARVED_SECONDS:
            return None
        warned = judge(list(self._moments), config)
        self._has_warned = warned is not None
        return warned


def judge(moments: Sequence[Moment], config: Config) -> Warned | None:
    """Whether a GPU was starved over these stretches, and why.

    Args:
        moments: stretches of one process, in order.
        config: of its run.

    Returns:
        A warning about the GPU with the least to do; None where all were used well, or nothing is told of them.
    """
    starved = _starved(moments)
    if starved is None:
        return None
    index, busy = starved
    minutes = sum(moment.machine.seconds for moment in moments) / 60
    cause, advice = _cause(moments, config, index)
    return Warned(f"GPU {index} was busy for {busy:.0%} of the last {minutes:.0f} minutes: {cause}", advice)


def _starved(moments: Sequence[Moment]) -> tuple[str, float] | None:
    """Number and utilisation of the GPU with the least to do, if that is too little."""
    known: dict[str, list[float]] = {}
    for moment in moments:
        for gpu in moment.machine.gpus:
            if gpu.utilisation is not None:
                known.setdefault(gpu.index, []).append(gpu.utilisation)
    # A GPU that was taken a while ago, or given back, was not this process's for all the time.
    means = {index: sum(each) / len(each) for index, each in known.items() if len(each) == len(moments)}
    index = min(means, key=lambda index: means[index], default=None)
    return None if index is None or means[index] >= STARVED else (index, means[index])


def _cause(moments: Sequence[Moment], config: Config, index: str) -> tuple[str, str]:
    """What keeps it waiting, and what helps."""
    pace = _trained(moments)
    seconds = sum(moment.machine.seconds for moment in moments)
    gpu = moments[-1].machine.gpus[[gpu.index for gpu in moments[-1].machine.gpus].index(index)]
    cores, machine = _mean([m.machine.cores for m in moments]), _mean([m.machine.machine_cores for m in moments])
    last = moments[-1].machine
    if machine >= _FULL_MACHINE * last.n_machine_cores and cores < _SMALL_SHARE * machine:
        return (
            f"other programs keep {machine - cores:.0f} of the machine's {last.n_machine_cores} cores busy",
            "end them, or train on another machine; `top` names them",
        )
    if pace.seconds < (1 - _SMALL_SHARE) * seconds:
        share = 1 - pace.seconds / seconds
        return (
            f"{share:.0%} of the time is not updates but preparing, validating and saving",
            _less_beside(config),
        )
    wait = pace.loader_wait or 0.0
    if wait >= _WAITS:
        return f"updates wait for their data {wait:.0%} of their time", _faster_data(config, cores, last.n_cores)
    link = [received for m in moments for each in m.machine.gpus if (received := each.received_share) is not None]
    if _mean(link) >= _FULL_LINK:
        return (
            f"copies from the host fill {_mean(link):.0%} of its link",
            "training.data_on_gpu=always keeps the decoded data there; or a smaller model.image_size",
        )
    return _small_steps(config, gpu, cores)


def _less_beside(config: Config) -> str:
    return (
        f"training.eval_batch_size={4 * _batch(config)} validates faster, training.checkpoint_epochs=5 saves less "
        "often; small folds: several trials at once by sweep.slots=auto"
    )


def _faster_data(config: Config, cores: float, n_cores: float) -> str:
    training = config.training
    if not training.image_cache:
        return "training.image_cache=true decodes each image once"
    if cores >= _ONE_CORE * n_cores:
        return (
            f"all {n_cores:.0f} cores are busy: a lighter training.augment, training.data_on_gpu=always, "
            "or a machine with more cores for each GPU"
        )
    own = f"training.loader_workers={max(2, int(n_cores) - 1)} runs the competition's own transforms in processes"
    if training.loader_workers:
        own = f"more than {training.loader_workers} training.loader_workers ({n_cores - cores:.0f} cores are free)"
    return f"training.data_on_gpu=always augments on the GPU; {own}"


def _small_steps(config: Config, gpu: GpuStretch, cores: float) -> tuple[str, str]:
    used = gpu.memory_bytes / gpu.memory_total_bytes if gpu.memory_bytes and gpu.memory_total_bytes else None
    memory = "" if used is None else f", {used:.0%} of its memory in use"
    speed = f"; {cores:.1f} cores are busy" if cores >= _ONE_CORE else ""
    others = f"; {gpu.others} other processes compute on it too" if gpu.others else ""
    kernels = "" if config.training.compile == "cudagraphs" else ", training.compile=cudagraphs starts kernels at once"
    return (
        f"steps of {_batch(config)} samples are too small for it{memory}{speed}{others}",
        f"training.batch_size=auto{kernels}, or several trials on it by sweep.slots=auto",
    )


def _batch(config: Config) -> int:
    size = config.training.batch_size
    return 64 if size == "auto" else size


def _trained(moments: Sequence[Moment]) -> Pace:
    return Pace(
        sum(moment.pace.updates for moment in moments),
        sum(moment.pace.samples for moment in moments),
        sum(moment.pace.seconds for moment in moments),
        sum(moment.pace.waited_seconds for moment in moments),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
