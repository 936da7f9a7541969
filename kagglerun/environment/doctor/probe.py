"""What a machine is like, as the checks see it: plain values that a test can make up.

Sizes are bytes, times seconds. None means that it could not be found out, unless something else is said.
"""

from __future__ import annotations

from dataclasses import dataclass

from kagglerun.environment.doctor.gpu_states import AllReduceState, DriverState, GpuState, TorchState


@dataclass(frozen=True)
class PythonState:
    """The interpreter.

    Attributes:
        version: major, minor, micro.
        executable: its path.
        in_environment: whether it is a virtual environment's.
        checkout: the folder of the checkout that kagglerun runs from, or None where it is installed.
    """

    version: tuple[int, int, int]
    executable: str
    in_environment: bool
    checkout: str | None


@dataclass(frozen=True)
class PackageState:
    """One package of the lock.

    Attributes:
        name: as the lock spells it.
        locked: the lock's version for this Python and system.
        installed: what is installed; None where it is not.
        is_required: whether kagglerun cannot do without it.
    """

    name: str
    locked: str
    installed: str | None
    is_required: bool


@dataclass(frozen=True)
class DiskState:
    """The disk under a folder.

    Attributes:
        role: what the folder is for: "workspace", "temporary files".
        path: the folder.
        free: what can be written.
        total: its size.
        free_inodes_share: share of the numbers of files that is left; None where there is no limit.
        kind: the file system, e.g. "ext4", "nfs4".
        is_writable: whether a file could be made.
    """

    role: str
    path: str
    free: int
    total: int
    free_inodes_share: float | None = None
    kind: str | None = None
    is_writable: bool = True


@dataclass(frozen=True)
class LoaderUse:
    """What a config asks of the CPU.

    Attributes:
        config: its file's name.
        loader_workers: training.loader_workers.
        cpu_threads: training.cpu_threads; None for automatic.
        processes: trials or GPUs that it runs at a time, each with its own workers.
    """

    config: str
    loader_workers: int
    cpu_threads: int | None
    processes: int


@dataclass(frozen=True)
class LimitState:
    """What the system and a container allow.

    Attributes:
        shared_memory: size of /dev/shm; None where there is none.
        shared_memory_free: what is left of it.
        disks: the disks that are written to.
        memory_total: of the machine, or the container's limit where that is lower.
        memory_available: what can be taken before the machine swaps or the container ends the process.
        cores: of the machine.
        cores_allowed: cores that this process may run on.
        cores_quota: the container's share of CPU time in cores; None without a limit.
        load: programs that wanted a core of the machine in the last minute.
        open_files: soft and hard limit.
        processes: soft limit; None for none.
        file_size: largest file; None for no limit.
        address_space: soft limit of addresses; None for none.
        cpu_seconds: CPU time after which the system ends a process; None for none.
        loaders: the workspace's configs that ask for loader workers.
    """

    shared_memory: int | None
    shared_memory_free: int | None
    disks: tuple[DiskState, ...]
    memory_total: int
    memory_available: int
    cores: int
    cores_allowed: int
    cores_quota: float | None = None
    load: float = 0.0
    open_files: tuple[int, int] = (65536, 65536)
    processes: int | None = None
    file_size: int | None = None
    address_space: int | None = None
    cpu_seconds: int | None = None
    loaders: tuple[LoaderUse, ...] = ()


@dataclass(frozen=True)
class KaggleState:
    """The Kaggle account's credentials, and the way to Kaggle.

    Attributes:
        origin: where credentials were found; None where there are none.
        missing: why none were found.
        exposed: the file of them that other users can read.
        accepted: whether Kaggle takes them; None where it was not asked.
        refusal: Kaggle's answer where it does not.
        asked: whether the network was used at all.
        reachable: whether Kaggle answered.
        unreachable_because: why not.
        clock_ahead: how far this machine's clock is ahead of Kaggle's, in seconds.
    """

    origin: str | None = None
    missing: str | None = None
    exposed: str | None = None
    accepted: bool | None = None
    refusal: str | None = None
    asked: bool = True
    reachable: bool | None = None
    unreachable_because: str | None = None
    clock_ahead: float | None = None


@dataclass(frozen=True)
class DatabaseState:
    """One database.

    Attributes:
        role: "MLflow" or "studies"; "settings" where the file that names both cannot be read.
        label: its address without a password.
        exists: whether it is there already; it is made when it is first needed.
        schema: the revision of its tables.
        schema_wanted: the revision that the installed library writes.
        is_newer: whether the tables are of a newer library than the installed one.
        damage: what SQLite's own check says; None where it is whole.
        locked: whether a write had to wait in vain.
        failure: why it could not be opened.
    """

    role: str
    label: str
    exists: bool = True
    schema: str | None = None
    schema_wanted: str | None = None
    is_newer: bool = False
    damage: str | None = None
    locked: bool = False
    failure: str | None = None


@dataclass(frozen=True)
class NotebookState:
    """A session of Colab or Kaggle.

    Attributes:
        platform: "Colab" or "Kaggle".
        accelerator: what the session got: names of GPUs, "TPU", or "none".
        session_seconds: how long the session has lasted.
        limit_seconds: when the platform ends it at the latest.
        internet: whether the session reaches the internet.
        persistent: whether what is written outlives the session: Drive mounted, or Kaggle's working folder in a batch.
    """

    platform: str
    accelerator: str
    session_seconds: float | None
    limit_seconds: float
    internet: bool | None
    persistent: bool = False


@dataclass(frozen=True)
class Probe:
    """A machine at one moment."""

    python: PythonState
    packages: tuple[PackageState, ...]
    driver: DriverState
    gpus: tuple[GpuState, ...]
    torch: TorchState
    all_reduce: AllReduceState | None
    limits: LimitState
    kaggle: KaggleState
    databases: tuple[DatabaseState, ...] = ()
    notebook: NotebookState | None = None
