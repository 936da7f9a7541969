"""Whether what was measured is what such a machine reaches.

The shares are what is usual on a machine that is well: a large product reaches 60 to 85 % of the published figure by
tensor cores (power and clocks), more in float32; memory copies 80 to 92 %. A GPU of at most 75 W cannot hold its boost
clock under such load, and stays at about half. Below two thirds of the usual a GPU is called slow.
"""

from __future__ import annotations

from collections.abc import Iterator

from kagglerun.environment.doctor.bench.gpu_models import model_of
from kagglerun.environment.doctor.bench.rates import GpuMeasures, Measures, Rate, in_words
from kagglerun.environment.doctor.failure_texts import explain
from kagglerun.environment.doctor.finding import Finding, Subject

_LEAST_SHARE = {"matmul": 0.45, "copy within": 0.6, "copy": 0.4}
_LEAST_SHARE_OF_SMALL = 0.25
_SMALL_WATTS = 75
_BUSY = 0.1
_MOSTLY = 0.5
_LEAST_DECODED_PER_CORE = 120.0
"""Photos of 500 x 375 to squares of 224; a core of an AMD EPYC that had nothing else to do did 600."""
_LEAST_WRITTEN = 100e6
_LEAST_READ_FILES = 300.0
_LEAST_SYNCED = 20.0


def judge(measures: Measures) -> tuple[Finding, ...]:
    """What the figures mean."""
    found = [finding for gpu in measures.gpus for finding in _of_gpu(gpu)]
    found += _of_host(measures)
    found += [Subject("bench", "everything can be measured").error(failure) for failure in measures.failures]
    return tuple(found)


def _of_gpu(gpu: GpuMeasures) -> Iterator[Finding]:
    subject = Subject(f"speed of {gpu.name}", f"what a {gpu.model} reaches")
    if gpu.failure is not None:
        known = explain(gpu.failure)
        yield subject.error(f"it could not be measured: {gpu.failure}", known.mend if known else "kagglerun doctor")
        return
    yield from _shared(subject, gpu)
    slow = [rate for rate in gpu.rates if _is_slow(rate, gpu.model)]
    if slow:
        told = ", ".join(_told(rate) for rate in slow)
        yield subject.warning(f"{gpu.model} is slow: {told}{_because(gpu)}", _mend(gpu, slow))
    elif gpu.is_slice:
        yield subject.ok(f"a slice of {gpu.model}: what it is published to reach is of the whole")
    elif any(rate.share is not None for rate in gpu.rates):
        yield subject.ok(f"{gpu.model} is as fast as such a GPU is")
    else:
        yield subject.ok(f"{gpu.model}: no published figures to compare with")


def _shared(subject: Subject, gpu: GpuMeasures) -> Iterator[Finding]:
    if (gpu.busy_before or 0) >= _BUSY or gpu.others:
        who = f"{gpu.others} processes of others compute on it" if gpu.others else "somebody computes on it unseen"
        busy = "" if gpu.busy_before is None else f", busy {gpu.busy_before:.0%} of the time before this"
        yield subject.warning(
            f"{gpu.model} is shared: {who}{busy}", "nvidia-smi    (who); CUDA_VISIBLE_DEVICES=... for another one"
        )


def _is_slow(rate: Rate, model: str) -> bool:
    if rate.share is None:
        return False
    kind = next(kind for kind in _LEAST_SHARE if kind in rate.name)
    published = model_of(model)
    is_small = published is not None and published.watts <= _SMALL_WATTS and kind == "matmul"
    return rate.share < (_LEAST_SHARE_OF_SMALL if is_small else _LEAST_SHARE[kind])


def _told(rate: Rate) -> str:
    assert rate.published is not None
    what = rate.name.partition(" ")[2]
    return f"{what} {in_words(rate.value, rate.unit)} of {in_words(rate.published, rate.unit)}"


def _because(gpu: GpuMeasures) -> str:
    if gpu.slowdowns:
        return f"; its clock was lowered by {', '.join(gpu.slowdowns)}"
    if (gpu.at_power_limit or 0) >= _MOSTLY:
        return "; it was at its power limit"
    return ""


def _mend(gpu: GpuMeasures, slow: list[Rate]) -> str:
    if gpu.slowdowns:
        return "nvidia-smi -q -d TEMPERATURE,PERFORMANCE; cooling, then the power supply"
    if all("copy" in rate.name and "within" not in rate.name for rate in slow):
        return "nvidia-smi -q | grep -A 8 'GPU Link Info'    (fewer lanes than the slot has?)"
    return "nvidia-smi -q -d CLOCK,POWER    (a lowered limit? sudo nvidia-smi -rgc); rented: take another machine"


def _of_host(measures: Measures) -> Iterator[Finding]:
    rates = {rate.name: rate.value for rate in measures.host}
    decoded = rates.get("decode")
    if decoded is not None:
        subject = Subject("decoding", f"{_LEAST_DECODED_PER_CORE:.0f} photos a second and core")
        shown = f"{decoded:.0f} photos a second on {measures.cores} cores"
        if decoded / measures.cores < _LEAST_DECODED_PER_CORE:
            yield subject.warning(f"{shown}: slow, or the cores are shared", "top; images are decoded once and kept")
        else:
            yield subject.ok(shown)
    yield from _of_disk(rates)


def _of_disk(rates: dict[str, float]) -> Iterator[Finding]:
    subject = Subject("speed of the disk", "a local SSD: 100 MB/s, 20 synced files and 300 files read a second")
    slow = []
    if rates.get("disk write", _LEAST_WRITTEN) < _LEAST_WRITTEN:
        slow.append(f"writes {in_words(rates['disk write'], 'B/s')}")
    if rates.get("disk synced files", _LEAST_SYNCED) < _LEAST_SYNCED:
        slow.append(f"{in_words(rates['disk synced files'], 'files/s')} synced")
    if rates.get("disk read files", _LEAST_READ_FILES) < _LEAST_READ_FILES:
        slow.append(f"{in_words(rates['disk read files'], 'files/s')} read")
    if slow:
        yield subject.warning(
            f"the workspace's disk is slow: {', '.join(slow)}", "a workspace on a local SSD, with kagglerun sync push"
        )
    elif "disk write" in rates:
        yield subject.ok(f"the workspace's disk writes {in_words(rates['disk write'], 'B/s')}")
