"""Shared memory, memory, cores and ulimits: what the system and a container leave."""

from __future__ import annotations

from collections.abc import Iterator

from kagglerun.environment.doctor.finding import Finding, Subject
from kagglerun.environment.doctor.probe import LimitState, Probe

_GIB = 1 << 30
_SHARED_ENOUGH, _SHARED_LEAST = 1 * _GIB, 256 << 20
_MEMORY_ENOUGH, _MEMORY_LEAST = 4 * _GIB, 1 * _GIB
_BUSY_TIMES = 1.5
_FILES_ENOUGH = 4096
_PROCESSES_ENOUGH = 2048
_FILE_SIZE_ENOUGH = 50 * _GIB
_SHM_OPTION = "docker run --shm-size=8g ...    (or: kagglerun image run, which does)"


def check_shared_memory(probe: Probe) -> Iterator[Finding]:
    """Shared memory holds the batches of loader workers and what GPUs tell one another."""
    size, subject = probe.limits.shared_memory, Subject("shared memory", "1 GiB or more in /dev/shm")
    container = probe.driver.container
    mend = _SHM_OPTION if container else "sudo mount -o remount,size=8G /dev/shm"
    if size is None:
        yield subject.warning("there is no /dev/shm: loader workers and NCCL need it", mend)
        return
    shown = f"{size / _GIB:.1f} GiB in /dev/shm" if size >= _GIB // 10 else f"{size >> 20} MiB in /dev/shm"
    is_needed = any(use.loader_workers for use in probe.limits.loaders) or len(probe.gpus) > 1
    free = probe.limits.shared_memory_free
    if size < _SHARED_LEAST and is_needed:
        yield subject.error(f"{shown}: loader workers and NCCL will end with a bus error", mend)
    elif size < _SHARED_ENOUGH:
        yield subject.warning(f"{shown}: loader workers may end with a bus error", mend)
    elif free is not None and free < _SHARED_LEAST:
        yield subject.warning(f"{shown}, of which {free >> 20} MiB are free", "ls -lS /dev/shm | head")
    else:
        yield subject.ok(shown)


def check_memory(probe: Probe) -> Iterator[Finding]:
    """There is memory to train with."""
    state, subject = probe.limits, Subject("memory", "4 GiB of memory or more to be had")
    shown = f"{state.memory_available / _GIB:.1f} of {state.memory_total / _GIB:.1f} GiB to be had"
    mend = "ps aux --sort=-rss | head    (who has it)"
    if probe.driver.container:
        mend = "docker run --memory=... with more, or none; " + mend
    if state.memory_available < _MEMORY_LEAST:
        yield subject.error(shown, mend)
    elif state.memory_available < _MEMORY_ENOUGH:
        yield subject.warning(shown, mend)
    else:
        yield subject.ok(shown)


def check_cpu(probe: Probe) -> Iterator[Finding]:
    """Programs know how many cores they may use."""
    state, subject = probe.limits, Subject("CPU", "as many threads as there are cores to run them")
    cores = usable_cores(state)
    shown = f"{cores:g} cores" if cores == state.cores else f"{cores:g} of {state.cores} cores"
    threads = probe.torch.threads
    if state.cores_quota is not None and state.cores_quota < state.cores_allowed:
        yield subject.warning(
            f"{shown}: the container's share of time, which programs do not see; they start {state.cores_allowed} "
            "threads and wait for one another",
            f"training.cpu_threads={max(1, int(cores))}    (and OMP_NUM_THREADS={max(1, int(cores))})",
        )
    elif threads is not None and threads > cores:
        yield subject.warning(f"{shown}, and torch starts {threads} threads", "unset OMP_NUM_THREADS MKL_NUM_THREADS")
    elif state.load > _BUSY_TIMES * state.cores:
        yield subject.warning(f"{shown}, and {state.load:.0f} programs want {state.cores} cores", "top    (who)")
    elif probe.gpus and cores < 2 * len(probe.gpus):
        yield subject.warning(
            f"{shown} for {len(probe.gpus)} GPUs: two for each is the least that keeps them fed",
            "keep images decoded (the default); a machine with more cores",
        )
    else:
        yield subject.ok(shown)


def check_loaders(probe: Probe) -> Iterator[Finding]:
    """No config asks for more loader workers and threads than there are cores."""
    cores = usable_cores(probe.limits)
    for use in probe.limits.loaders:
        subject = Subject(f"loaders of {use.config}", "no more loader workers than cores")
        wanted = use.loader_workers * use.processes
        told = f"{use.loader_workers} loader workers" + (f" for each of {use.processes}" if use.processes > 1 else "")
        if wanted > cores:
            fitting = max(0, int(cores) // use.processes)
            yield subject.warning(f"{told}, and {cores:g} cores", f"training.loader_workers={fitting}")
        elif wanted:
            yield subject.ok(f"{told}, and {cores:g} cores")


def check_ulimits(probe: Probe) -> Iterator[Finding]:
    """The shell's limits leave room."""
    state, subject = probe.limits, Subject("ulimits", "limits of the shell that trainings do not reach")
    found = list(_low_limits(subject, state, probe.driver.container is not None))
    yield from found
    if not found:
        yield subject.ok(f"{state.open_files[0]} open files")


def _low_limits(subject: Subject, state: LimitState, in_container: bool) -> Iterator[Finding]:
    soft, hard = state.open_files
    if soft < _FILES_ENOUGH:
        how = "docker run --ulimit nofile=65536 ..." if in_container else "nofile in /etc/security/limits.conf"
        how = f"ulimit -n {min(hard, 65536)}" if hard >= _FILES_ENOUGH else how
        yield subject.warning(f"{soft} open files: loader workers share tensors by open files", how)
    if state.processes is not None and state.processes < _PROCESSES_ENOUGH:
        yield subject.warning(f"{state.processes} processes and threads", f"ulimit -u {4 * _PROCESSES_ENOUGH}")
    if state.file_size is not None and state.file_size < _FILE_SIZE_ENOUGH:
        yield subject.warning(f"files of {state.file_size / _GIB:.1f} GiB at most", "ulimit -f unlimited")
    if state.address_space is not None:
        yield subject.warning(
            f"{state.address_space / _GIB:.0f} GiB of addresses: CUDA reserves far more than it uses",
            "ulimit -v unlimited",
        )
    if state.cpu_seconds is not None:
        yield subject.error(
            f"a process is ended after {state.cpu_seconds} s of CPU time: a login machine?", "ulimit -t unlimited"
        )


def usable_cores(state: LimitState) -> float:
    """Cores that this process gets: those it may run on, and no more than the container's share."""
    return state.cores_allowed if state.cores_quota is None else min(state.cores_allowed, state.cores_quota)
