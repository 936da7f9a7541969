"""A notebook's session on Colab or Kaggle: takes up what an earlier one kept, trains, keeps, packs the results.

It ends by itself before the platform ends it. Killed at any moment, the next one goes on, with the same bits.
"""

from __future__ import annotations

import contextlib
import enum
import fcntl
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kagglerun.competition_ref import CompetitionRef
from kagglerun.errors import DataError, DiskFull, NotebookError
from kagglerun.files import write_bytes, write_text
from kagglerun.kaggle_api.fetch import is_fetched
from kagglerun.kaggle_api.manifest import read_manifest
from kagglerun.notebooks.children import Command, end_leftover
from kagglerun.notebooks.input_mount import find_mount, use_mount
from kagglerun.notebooks.keep import Keeper, Store, find_stores
from kagglerun.notebooks.plan import NotebookPlan, PlanFiles
from kagglerun.notebooks.platforms import Platform, find_platform, session_start
from kagglerun.notebooks.progress import RunProgress
from kagglerun.paths import CompetitionPaths, Entry
from kagglerun.workspace import Workspace

TIME_IS_UP = "the session's time is up"
"""What a session says that ends before its work is done."""
_STOPPED_EXIT_CODE = 130
_SAVING_SHARE = 0.1
"""Most of the time that may go into copying: Drive takes uploads at a few MB/s."""
_TRY_GPU = "import torch; torch.ones(256, device='cuda').sum().item()"
_PREDECESSOR_SECONDS = 300.0
_NEWS_SECONDS = 600.0
"""A line about the training this often: 72 in a session of 12 hours."""


class End(enum.Enum):
    """How a session ended."""

    DONE = "done"
    TIME_UP = "time is up"
    STOPPED = "stopped"


@dataclass(frozen=True)
class SessionPaths:
    """The session's own files, in a folder that does not outlive it."""

    folder: Path

    workspace = Entry("workspace")
    """The workspace."""
    began = Entry("began")
    """Made when the work begins first in this session."""
    taken_up = Entry("taken-up")
    """Written when the workspace holds what was kept: from then on it goes before what is kept."""
    process = Entry("process.json")
    """The command that runs."""
    lock = Entry("lock")
    """Held by the one process that works here."""


class Session:
    """One session.

    Args:
        files: what the notebook carries.
        say: takes one line for the user.
        stop: set when the user interrupts the cell, or the kernel is gone.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        files: PlanFiles,
        say: Callable[[str], None],
        stop: threading.Event,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.plan: NotebookPlan = files.read()
        self.platform: Platform = find_platform(self.plan.platform)
        self.paths = SessionPaths(self.platform.local)
        self.workspace = Workspace(self.paths.workspace)
        self._files, self._say, self._stop, self._clock = files, say, stop, clock
        self._slug = CompetitionRef.parse(self.plan.competition).slug
        self._keeper = self._make_keeper()
        self._next_save = self._next_news = 0.0
        self._progress = RunProgress(self.workspace.run(self._slug, self.plan.run_id).journal)
        self._end_time = 0.0

    def run(self) -> End:
        """Do the session's work.

        Raises:
            NotebookError: it cannot: no GPU, no data, what was kept is damaged, or the training failed.
        """
        with self._alone():
            if end_leftover(self.paths.process):
                self._say("the training that an earlier session left running has been ended")
            self._set_end()
            self._check_gpu()
            self._lay_out()
            self._take_up()
            self._fetch()
            end = self._work()
            self._save()
            self._bring_home()
        self._say_what_next(end)
        return end

    @property
    def store(self) -> Store:
        """Where the work is kept."""
        return Store(self.platform.lasting / self.plan.run_id)

    def _make_keeper(self) -> Keeper:
        slug, workspace = self._slug, self.workspace
        kept = [workspace.runs / slug]
        if self.plan.work == "sweep":
            kept.append(workspace.studies / slug)
        return Keeper(workspace.root, kept, self.store, find_stores(self.platform.earlier, self.plan.run_id))

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Wait for an earlier session that is still saving: its kernel was restarted a moment ago."""
        self.paths.folder.mkdir(parents=True, exist_ok=True)
        with self.paths.lock.open("w") as lock:
            deadline = time.monotonic() + _PREDECESSOR_SECONDS
            while not _try_lock(lock.fileno()):
                if time.monotonic() > deadline:
                    raise NotebookError("another session works here", hint="interrupt its cell, or restart the kernel")
                self._stop.wait(0.2)
            yield

    def _set_end(self) -> None:
        began = session_start(self.paths.began, self.plan.hours)
        self._end_time = began + self.plan.hours * 3600 - self.platform.spare_minutes * 60
        left = max(0.0, self._end_time - self._clock()) / 3600
        self._say(f"{self.platform.title} session: {left:.1f} h of work left of {self.plan.hours:g}")

    def _check_gpu(self) -> None:
        names = gpu_names()
        if self.plan.gpu and not names:
            raise NotebookError(
                f"this session has no GPU; the notebook was made for one ({self.plan.gpu})",
                hint="choose one in the notebook's settings and run all again, or make it with: --gpu none",
            )
        for name in names:
            self._say(f"GPU: {name}")
        if self.plan.gpu and (why := why_torch_cannot_use_the_gpu()):
            raise NotebookError(
                f"the installed torch cannot use this GPU: {why}",
                hint="make the notebook with the platform's own torch: --packages keep-torch",
            )

    def _lay_out(self) -> None:
        """The workspace, as the notebook brings it; what is there from before stays."""
        for folder in (self.workspace.competitions, self.workspace.sweeps):
            folder.mkdir(parents=True, exist_ok=True)
        competition, carried = self.workspace.competition(self._slug), self._files.competition
        if carried.card.exists() and not competition.card.exists():
            write_bytes(competition.card, carried.card.read_bytes())
        if carried.hooks.exists():
            write_bytes(competition.hooks, carried.hooks.read_bytes())

    def _take_up(self) -> None:
        """Bring what was kept into a workspace that does not hold it yet."""
        if self.paths.taken_up.exists():
            return
        for folder in (self.workspace.runs, self.workspace.studies):
            shutil.rmtree(folder, ignore_errors=True)  # of a session that was killed while it did this
        taken = self._keeper.take_up()
        if taken is not None:
            for number in taken.damaged:
                self._say(f"state {number} is not whole (its upload did not end); the one before it serves")
            self._say(f"goes on from state {taken.state.number}, kept in {taken.state.store.folder}")
        write_text(self.paths.taken_up, "")

    def _fetch(self) -> None:
        competition = self.workspace.competition(self._slug)
        if not is_fetched(competition):
            if self._mounted(competition):
                self._say(f"data: linked from {self.platform.inputs}")
            elif self._run(["fetch", self.plan.competition], lambda: self._stop.is_set()):
                raise NotebookError(f"the data of {self.plan.competition} is not here; the lines above say why")
        with contextlib.suppress(DataError):
            if self.plan.data and read_manifest(competition).sha256 != self.plan.data:
                self._say("note: the data differs from that at home, so the run will not be compared with those there")

    def _mounted(self, competition: CompetitionPaths) -> bool:
        """Use the platform's own copy of the data, where the card is known; a card is made by `kagglerun fetch`."""
        mount = find_mount(self.platform.inputs, self._slug)
        carried = self._files.competition
        return mount is not None and carried.card.exists() and use_mount(mount, carried, competition)

    def _work(self) -> End:
        """Train or sweep until the end, or a reason to stop."""
        self._next_save = self._clock() + self.plan.save_seconds
        code = self._run(self._command(), self._must_stop)
        if code == 0:
            return End.DONE
        if self._stop.is_set():
            return End.STOPPED
        if self._clock() >= self._end_time:
            return End.TIME_UP
        self._save()
        how = "was interrupted" if code == _STOPPED_EXIT_CODE else f"ended with code {code}"
        raise NotebookError(f"kagglerun {self.plan.work} {how}; the lines above say why")

    def _command(self) -> list[str]:
        config = str(self._files.config)
        if self.plan.work == "sweep":
            return ["sweep", config, "--foreground"]
        # A fold a GPU gives the same bytes as one after another.
        several = len(gpu_names()) > 1 and self.plan.gpus_at_once == 1 and self.plan.gpu is not None
        return ["train", config, "--run", self.plan.run_id, *(["--folds-parallel"] if several else [])]

    def _must_stop(self) -> bool:
        if self._clock() >= self._next_save:
            began = time.monotonic()
            self._save()
            pause = max(self.plan.save_seconds, (time.monotonic() - began) / _SAVING_SHARE)
            self._next_save = self._clock() + pause
            self._tell_news()
        return self._stop.is_set() or self._clock() >= self._end_time

    def _tell_news(self) -> None:
        """Say how the training stands; a sweep says it by itself."""
        if self._clock() >= self._next_news and (news := self._progress.news()):
            self._say(f"{time.strftime('%H:%M')} {news}")
            self._next_news = self._clock() + _NEWS_SECONDS

    def _save(self) -> None:
        """Keep the work; storage that fails is tried again later and does not end the training."""
        try:
            self._keeper.save()
        except (OSError, DiskFull) as error:
            self._say(f"warning: not kept this time: {getattr(error, 'message', error)}")

    def _bring_home(self) -> None:
        """Finished runs as `kagglerun sync pull` reads them."""
        if self._run(["sync", "push", str(self.results)], lambda: False):
            self._say("warning: the results could not be packed; the lines above say why")

    @property
    def results(self) -> Path:
        """Where finished runs are brought to."""
        return self.platform.lasting / "results"

    def _run(self, arguments: list[str], each_time: Callable[[], bool]) -> int:
        named = {"KAGGLERUN_WORKSPACE": str(self.workspace.root), "KAGGLERUN_MLFLOW_URI": "none"}
        return Command(arguments, {**os.environ, **named}, self.paths.process).wait(each_time)

    def _say_what_next(self, end: End) -> None:
        if end is End.DONE:
            self._say(f"done; {self.platform.bring_home}")
        elif end is End.TIME_UP:
            self._say(f"{TIME_IS_UP}; everything is kept")
            self._say(f"to go on: {self.platform.go_on}")


def gpu_names() -> list[str]:
    """The GPUs of this session by name, as nvidia-smi lists them; empty without a driver."""
    try:
        command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
        said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in said.splitlines() if line.strip()]


def why_torch_cannot_use_the_gpu() -> str | None:
    """Why a sum on the GPU fails, in torch's words; None where it works.

    A driver may be too old for the locked torch's CUDA, and a GPU too old for its kernels; training would go to the
    CPU, or fail after the data was read.
    """
    done = subprocess.run([sys.executable, "-c", _TRY_GPU], capture_output=True, text=True)
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return (lines[-1].strip()[:300] if lines else f"exit code {done.returncode}") if done.returncode else None


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
