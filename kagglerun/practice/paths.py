"""Every path of the practice server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kagglerun.paths import Entry


@dataclass(frozen=True)
class HostedPaths:
    """The files of one hosted competition. The folder appears in one step, so one that exists is whole."""

    folder: Path

    definition = Entry("competition.json")
    """What the competition is: metric, columns, rows, allowance."""
    bundle = Entry("bundle.zip")
    """The competition's files as one zip."""
    files = Entry("files")
    """Single files of the bundle, unpacked when they are first asked for."""
    changed = Entry("changed")
    """Other versions of the bundle and its files, for who asked for the fault `changed`."""
    metric_code = Entry("metric.py")
    """The file with the metric's code, where it is the host's own."""
    solution = Entry("solution.csv")
    """The truth: ids, targets and a Usage column (Public or Private)."""
    pages = Entry("pages")
    """Pages of the competition as NAME.md, which stand in the place of those made from its definition."""
    leaderboard = Entry("leaderboard.csv")
    """Other teams' final scores, where the competition came with them."""
    public_leaderboard = Entry("public_leaderboard.csv")
    """Other teams' public scores, where the competition came with them."""
    hidden = Entry("hidden.zip")
    """Of a competition that takes notebooks only: the test files as a submitted notebook finds them."""
    mounts = Entry("mounts")
    """Its files unpacked for notebooks: with the test rows that are shown, and with the hidden ones."""


@dataclass(frozen=True)
class KernelRunPaths:
    """The files of one run of a notebook."""

    folder: Path

    notebook = Entry("notebook.ipynb")
    """The notebook as it was pushed."""
    working = Entry("working")
    """/kaggle/working: what it wrote."""
    log = Entry("log.json")
    """What it printed, as a list of {stream_name, time, data}."""


@dataclass(frozen=True)
class PracticePaths:
    """The files under a workspace's practice folder."""

    folder: Path

    server = Entry("server.json")
    """Address, process and key of the running server; readable by its owner only."""
    key = Entry("key")
    """The key that requests must carry; made once, so that a restart does not change it."""
    log = Entry("server.log")
    """What the server printed, and one line a request."""
    start_lock = Entry("start.lock")
    """Held while somebody starts or stops the server."""
    server_lock = Entry("server.lock")
    """Held by the server as long as it lives."""
    database = Entry("practice.db")
    """Accepted rules, uploads and submissions."""
    competitions = Entry("competitions")
    """One folder a hosted competition."""
    deposits = Entry("deposits")
    """Data sets and models, one folder a version."""
    kernel_runs = Entry("kernels")
    """What notebooks wrote, one folder a run."""

    def competition(self, slug: str) -> HostedPaths:
        """The files of one hosted competition."""
        return HostedPaths(self.competitions / slug)

    def upload(self, token: str) -> Path:
        """What has arrived of an upload, later the submission's file. Tokens are the server's own, never a client's."""
        return self.folder / "uploads" / token

    def deposit(self, kind: str, ref: str, number: int) -> Path:
        """The files of one version of a data set or model; the parts of `ref` were checked to be slugs."""
        return self.deposits / kind / ref.replace("/", "+") / str(number)

    def kernel_run(self, number: int) -> KernelRunPaths:
        """The files of one run of a notebook."""
        return KernelRunPaths(self.kernel_runs / str(number))
