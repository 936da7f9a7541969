"""GPUs that somebody keeps for himself on a machine that several people or jobs share: one file a GPU, in a folder of
the machine.

A reservation is a promise, not a lock: kagglerun's own work keeps away from what others reserved, other programs do
not know of it. It ends when its time is over, when it is released, or when the job that it is for has ended. In a
container it is seen outside where the folder is mounted into it.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kagglerun.errors import ConfigError, JobError
from kagglerun.jobs.control import job_info
from kagglerun.jobs.process import is_alive
from kagglerun.jobs.records import read_process
from kagglerun.jobs.shared_folder import changing_shared, read_shared, write_shared
from kagglerun.nvml import Gpu, NoGpus, Nvml
from kagglerun.workspace import JobPaths

OWNER = "KAGGLERUN_OWNER"
"""Environment variable: a person's name, where several people share one login."""
MOST_HOURS = 14 * 24.0


@dataclass(frozen=True)
class Reservation:
    """A GPU, or a slice of one, that somebody keeps.

    Attributes:
        uuid: the GPU's own name.
        index: NVML's number of it when it was reserved, for people.
        owner: who keeps it.
        uid: the owner's user id.
        since: seconds since 1970.
        expires: seconds since 1970.
        note: what for, in a line.
        host: the machine's, or the container's, name.
        job: the job that it is for; None for all work of its owner.
        pid: that job's process.
        identity: tells it from another process with this number.
    """

    uuid: str
    index: str
    owner: str
    uid: int
    since: float
    expires: float
    note: str = ""
    host: str = ""
    job: str | None = None
    pid: int | None = None
    identity: str = ""

    @property
    def is_over(self) -> bool:
        """Whether its time is over or its job has ended; a job of another host or container is not seen from here."""
        gone = self.pid is not None and self.host == socket.gethostname() and not is_alive(self.pid, self.identity)
        return gone or time.time() >= self.expires

    @property
    def is_ours(self) -> bool:
        """Whether this process may use the GPU: its owner's, and of its job where it is for one."""
        if (self.owner, self.uid) != (owner_here(), os.geteuid()):
            return False
        return self.pid is None or self.pid in _ancestors()

    def __str__(self) -> str:
        until = time.strftime("%a %H:%M", time.localtime(self.expires))
        purpose = f" ({self.note})" if self.note else ""
        return f"GPU {self.index} by {self.owner}{f', job {self.job}' if self.job else ''}{purpose} until {until}"


def reservations() -> tuple[Reservation, ...]:
    """Those that hold, by the GPU's number."""
    found = (held for values, uid in read_shared() if (held := _from_json(values, uid)) is not None)
    return tuple(sorted((held for held in found if not held.is_over), key=lambda held: (held.index, held.uuid)))


def held_by_others() -> dict[str, Reservation]:
    """Name of each GPU that this process is to leave alone, to who keeps it."""
    return {held.uuid: held for held in reservations() if not held.is_ours}


def holder_of(names: Iterable[str], held: Mapping[str, Reservation]) -> Reservation | None:
    """Who keeps a GPU of these names (its own, that of the GPU whose slice it is)."""
    return next((held[name] for name in names if name in held), None)


def reserve(gpus: Sequence[Gpu], hours: float, note: str = "", job: JobPaths | None = None) -> tuple[Reservation, ...]:
    """Keep GPUs, all of them or none; those that are ours already are kept anew.

    Args:
        gpus: the GPUs.
        hours: for how long.
        note: what for.
        job: keep them for this job alone, until it ends.

    Raises:
        JobError: somebody else keeps one of them; or the job does not run; or the folder cannot be written.
        ConfigError: so many hours cannot be had.
    """
    if not 0 < hours <= MOST_HOURS:
        raise ConfigError(f"{hours:g} hours cannot be reserved", hint=f"--hours: more than 0, at most {MOST_HOURS:g}")
    made = [_reservation(gpu, hours, note, job) for gpu in gpus]
    with changing_shared() as folder:
        taken = _in_the_way(gpus)
        if taken:
            raise JobError(
                f"reserved already: {'; '.join(map(str, taken))}", hint="kagglerun gpus    shows which are free"
            )
        for held in made:
            write_shared(_path(folder, held), asdict(held))
    return tuple(made)


def release(gpus: Sequence[Gpu]) -> tuple[Reservation, ...]:
    """Give GPUs back; those that nobody keeps are passed over.

    Returns:
        The reservations that ended.

    Raises:
        JobError: one is another person's.
    """
    names = {gpu.uuid for gpu in gpus}
    kept = [held for held in reservations() if held.uuid in names]
    foreign = [held for held in kept if held.uid != os.geteuid() or held.owner != owner_here()]
    if foreign:
        raise JobError(
            f"not yours to give back: {'; '.join(map(str, foreign))}", hint=f"ask {foreign[0].owner}, or wait"
        )
    if kept:
        with changing_shared() as folder:
            for held in kept:
                _path(folder, held).unlink(missing_ok=True)
    return tuple(kept)


def free_of(gpus: Sequence[Gpu], held: Mapping[str, Reservation]) -> tuple[Gpu, ...]:
    """Those that nobody else keeps; of a GPU that is cut, those slices."""
    return tuple(gpu for gpu in gpus if holder_of((gpu.uuid, gpu.whole_uuid), held) is None)


def all_reserved(held: Mapping[str, Reservation]) -> JobError:
    """The error for work that finds no GPU left."""
    who = "; ".join(map(str, held.values()))
    return JobError(f"every GPU is reserved: {who}", hint="wait, or training.device=cpu; kagglerun gpus shows them")


def keep_to_free_gpus() -> None:
    """Have this process, before it touches a GPU, and its children see those alone that nobody else keeps.

    Raises:
        JobError: there is none, or CUDA_VISIBLE_DEVICES names one that somebody keeps.
    """
    held = held_by_others()
    if not held:
        return
    try:
        with Nvml.open() as nvml:
            gpus = nvml.gpus()
    except NoGpus:
        return
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        _refuse_named([part.strip() for part in named.split(",")], gpus, held)
        return
    free = free_of(gpus, held)
    if gpus and not free:
        raise all_reserved(held)
    if len(free) < len(gpus):
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpu.uuid for gpu in free)


def _refuse_named(named: Sequence[str], gpus: Sequence[Gpu], held: Mapping[str, Reservation]) -> None:
    for name in filter(None, named):
        for gpu in gpus:
            is_meant = gpu.index.partition(".")[0] == name or gpu.uuid.startswith(name) or gpu.whole_uuid == name
            holder = holder_of((gpu.uuid, gpu.whole_uuid), held) if is_meant else None
            if holder is not None:
                raise JobError(
                    f"CUDA_VISIBLE_DEVICES is {','.join(named)}, and somebody keeps that: {holder}",
                    hint="choose another one: kagglerun gpus",
                )


def _reservation(gpu: Gpu, hours: float, note: str, job: JobPaths | None) -> Reservation:
    now = time.time()
    held = Reservation(
        uuid=gpu.uuid,
        index=gpu.index,
        owner=owner_here(),
        uid=os.geteuid(),
        since=now,
        expires=now + 3600 * hours,
        note=" ".join(note.split())[:200],
        host=socket.gethostname(),
    )
    if job is None:
        return held
    process = read_process(job)
    if process is None or not job_info(job).state.is_alive:
        raise JobError(f"the job {job.job_id} does not run, so nothing can be kept for it", hint="kagglerun jobs")
    of_job = {"job": job.job_id, "pid": process.pid, "identity": process.identity, "host": process.host}
    return Reservation(**{**asdict(held), **of_job})


def _in_the_way(gpus: Sequence[Gpu]) -> list[Reservation]:
    """Reservations of others, of these GPUs, of the GPU of a slice, or of a slice of one of them."""
    asked = {gpu.uuid for gpu in gpus} | {gpu.whole_uuid for gpu in gpus}
    held = reservations()
    slices: dict[str, str] = {}
    with contextlib.suppress(NoGpus), Nvml.open() as nvml:
        slices = {gpu.uuid: gpu.whole_uuid for gpu in nvml.gpus()}
    own = (owner_here(), os.geteuid())
    return [
        one
        for one in held
        if (one.owner, one.uid) != own and (one.uuid in asked or slices.get(one.uuid) in {gpu.uuid for gpu in gpus})
    ]


def owner_here() -> str:
    """Whose the reservations of this process are."""
    named = os.environ.get(OWNER, "").strip()
    if named:
        return " ".join(named.split())[:80]
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.geteuid())  # a container's user without an entry in its user list


def _ancestors() -> set[int]:
    import psutil

    process = psutil.Process()
    return {process.pid, *(parent.pid for parent in process.parents())}


def _path(folder: Path, held: Reservation) -> Path:
    # A name for each user: what is over may lie in a folder where its owner alone may remove it.
    return folder / f"{re.sub(r'[^A-Za-z0-9-]', '-', held.uuid)}.{held.uid}.json"


def _from_json(values: Any, uid: int) -> Reservation | None:
    """A reservation as it was read from a file of user `uid`; None for what is none, or pretends to be another's."""
    try:
        held = Reservation(**values)
        return held if held.uid == uid and held.expires > held.since and isinstance(held.index, str) else None
    except TypeError:
        return None
