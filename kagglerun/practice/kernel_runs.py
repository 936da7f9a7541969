"""Running pushed notebooks: one after another, in the background, in the sandbox that rehearsals use.

A push runs its version once on the files that all see. A code submission runs it again with the hidden test set in
their place, takes the file that it writes and has it scored.
"""

from __future__ import annotations

import json
import logging
import queue
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from kagglerun.errors import KagglerunError
from kagglerun.files import write_json, write_text
from kagglerun.practice.competitions import Catalogue
from kagglerun.practice.deposits import Deposits, Kind
from kagglerun.practice.hidden import mounted
from kagglerun.practice.kernels import KernelRun, Kernels, KernelVersion, RunState
from kagglerun.practice.model_names import instance_of
from kagglerun.practice.paths import PracticePaths
from kagglerun.practice.scoring import Scorer
from kagglerun.practice.state import Store
from kagglerun.sandbox.environment import kaggle_environment
from kagglerun.sandbox.run import NotebookRun, run_notebook

_log = logging.getLogger("kagglerun.practice")
_KEPT_LINES = 20_000
_WHAT_KAGGLE_SAYS = {
    "failed": "Notebook Threw Exception",
    "out of time": "Notebook Timeout",
    "out of memory": "Notebook Exceeded Allowed Compute",
}
"""What stands beside a submission whose notebook did not finish with the hidden test set: no more than that."""
NOT_FOUND = "Submission CSV Not Found"


class Execute(Protocol):
    """What runs a notebook; see `sandbox.run.run_notebook`."""

    def __call__(
        self,
        notebook: Path,
        *,
        python: Path,
        inputs: Mapping[str, Path],
        working: Path,
        seconds: float,
        memory_bytes: int,
        internet: bool,
        variables: Mapping[str, str] | None,
        line: Callable[[str], None] | None,
    ) -> NotebookRun:
        """Run it to its end."""


@dataclass(frozen=True)
class KernelLimits:
    """What a notebook may use (kaggle.com/docs/notebooks, read in November 2026).

    Attributes:
        seconds: how long one may run.
        submission_seconds: how long one may run that is submitted to a competition; what most of them allow.
        memory_bytes: memory of a session without a GPU.
    """

    seconds: float = 12 * 3600.0
    submission_seconds: float = 9 * 3600.0
    memory_bytes: int = 30 << 30


@dataclass(frozen=True)
class Kept:
    """Where everything is that a run needs."""

    paths: PracticePaths
    store: Store
    catalogue: Catalogue
    deposits: Deposits
    kernels: Kernels
    scorer: Scorer
    environments: Path


class KernelRunner:
    """Runs notebooks one after another; those that a stopped server left are run again from their start.

    Args:
        kept: where everything is.
        limits: what they may use.
        execute: what runs one.
    """

    def __init__(self, kept: Kept, limits: KernelLimits | None = None, execute: Execute = run_notebook) -> None:
        self._kept, self._limits, self._execute = kept, limits or KernelLimits(), execute
        self._waiting: queue.Queue[KernelRun | None] = queue.Queue()
        self._said: dict[int, list[dict[str, Any]]] = {}
        # A daemon: a server that ends does not wait for a notebook; it dies with it and is run again next time.
        self._thread = threading.Thread(target=self._work, name="notebooks", daemon=True)
        self._closed = threading.Event()

    def start(self) -> None:
        """Begin, with what was unfinished when the server stopped."""
        for run in self._kept.kernels.unfinished():
            if run.token is not None and self._kept.store.submission_of_token(run.token) is None:
                self._kept.kernels.drop_run(run)  # killed before its submission was made
            else:
                self.add(run)
        self._thread.start()

    def add(self, run: KernelRun) -> None:
        """Run one when its turn comes."""
        self._waiting.put(run)

    def close(self) -> None:
        """Begin no further one."""
        self._closed.set()
        self._waiting.put(None)

    def events(self, run: KernelRun) -> list[dict[str, Any]]:
        """What a run has printed so far, as Kaggle writes logs: {stream_name, time, data}."""
        if (said := self._said.get(run.number)) is not None:
            return list(said)
        log = self._kept.paths.kernel_run(run.number).log
        return list(json.loads(log.read_text("utf-8"))) if log.is_file() else []

    def _work(self) -> None:
        while (run := self._waiting.get()) is not None and not self._closed.is_set():
            try:
                self._run(run)
            except KagglerunError as error:
                self._fail(run, error.message)
            except Exception:  # the server goes on with the next one; its log keeps the traceback
                _log.exception("notebook run %d failed", run.number)
                self._fail(run, "the practice server could not run it; its log says why")

    def _run(self, run: KernelRun) -> None:
        version = self._kept.kernels.version(run.ref, run.version)
        if version is None:
            return  # deleted while it waited
        self._kept.kernels.set_state(run, RunState.RUNNING)
        said = self._said.setdefault(run.number, [])
        try:
            ended = self._execute_version(run, version, said)
        finally:
            write_json(self._kept.paths.kernel_run(run.number).log, said)
            del self._said[run.number]
        if ended.state == "finished":
            self._kept.kernels.set_state(run, RunState.COMPLETE)
        else:
            self._kept.kernels.set_state(run, RunState.ERROR, ended.error or ended.state)
        if run.token is not None:
            self._hand_in(run, ended)

    def _execute_version(self, run: KernelRun, version: KernelVersion, said: list[dict[str, Any]]) -> NotebookRun:
        at, began = self._kept.paths.kernel_run(run.number), time.monotonic()
        shutil.rmtree(at.folder, ignore_errors=True)
        write_text(at.notebook, as_notebook(version))

        def line(text: str) -> None:
            if len(said) < _KEPT_LINES:
                said.append({"stream_name": "stdout", "time": time.monotonic() - began, "data": f"{text}\n"})

        limits = self._limits
        allowed = limits.submission_seconds if run.token else limits.seconds
        return self._execute(
            at.notebook,
            python=kaggle_environment(self._kept.environments),
            inputs=self._inputs(version, run.slug),
            working=at.working,
            seconds=min(allowed, version.settings.session_timeout_seconds or allowed),
            memory_bytes=limits.memory_bytes,
            internet=bool(version.settings.enable_internet) and run.token is None,
            variables={"KAGGLE_IS_COMPETITION_RERUN": "1"} if run.token else {},
            line=line,
        )

    def _inputs(self, version: KernelVersion, submitted_to: str | None) -> dict[str, Path]:
        """What is mounted, by its name below /kaggle/input; Kaggle has used a short and a long name for each."""
        found: dict[str, Path] = {}
        for slug in version.settings.competition_data_sources:
            folder = mounted(self._kept.catalogue.get(slug), hidden=slug == submitted_to)
            found |= {slug: folder, f"competitions/{slug}": folder}
        for ref in version.settings.dataset_data_sources:
            owner, slug, number = _parts(ref)
            data_set = self._kept.deposits.find(Kind.DATA_SET, f"{owner}/{slug}", number)
            if data_set is not None:
                folder = self._kept.deposits.folder(data_set)
                found |= {slug: folder, f"datasets/{owner}/{slug}": folder}
        return found | self._other_inputs(version)

    def _other_inputs(self, version: KernelVersion) -> dict[str, Path]:
        """Models, and what other notebooks wrote."""
        found: dict[str, Path] = {}
        for ref in version.settings.model_data_sources:
            model, number = instance_of(ref)
            instance = self._kept.deposits.find(Kind.INSTANCE, model, number)
            if instance is not None:
                _, slug, framework, name = model.split("/")
                found[f"{slug}/{framework}/{name}/{instance.number}"] = self._kept.deposits.folder(instance)
        for ref in version.settings.kernel_data_sources:
            owner, slug, _ = _parts(ref)
            if (working := self.output_of(f"{owner}/{slug}")) is not None:
                found |= {slug: working, f"notebooks/{owner}/{slug}": working}
        return found

    def output_of(self, ref: str) -> Path | None:
        """The folder that the newest complete version of a notebook wrote to; None where there is none."""
        done = [run for run in self._kept.kernels.runs(ref) if run.state is RunState.COMPLETE and run.token is None]
        working = self._kept.paths.kernel_run(done[-1].number).working if done else None
        return working if working is not None and working.is_dir() else None

    def _hand_in(self, run: KernelRun, ended: NotebookRun) -> None:
        """Have what a notebook wrote for a submission scored, or say what went wrong in Kaggle's words."""
        submission = self._kept.store.submission_of_token(run.token or "")
        if submission is None:
            return
        working = self._kept.paths.kernel_run(run.number).working
        written = (working / (run.file_name or "")).resolve()
        if ended.state != "finished":
            self._kept.store.finish(submission.ref, error=_WHAT_KAGGLE_SAYS[ended.state])
        elif not written.is_file() or not written.is_relative_to(working.resolve()):
            self._kept.store.finish(submission.ref, error=NOT_FOUND)
        else:
            target = self._kept.paths.upload(submission.token)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(written, target)
            self._kept.scorer.add(submission)

    def _fail(self, run: KernelRun, why: str) -> None:
        self._kept.kernels.set_state(run, RunState.ERROR, why)
        submission = self._kept.store.submission_of_token(run.token) if run.token else None
        if submission is not None:
            self._kept.store.finish(submission.ref, error=f"Kaggle Error: {why}")


def as_notebook(version: KernelVersion) -> str:
    """The notebook to run; a script becomes one of a single cell."""
    if version.settings.kernel_type != "script":
        return version.source
    cell: dict[str, Any] = {"cell_type": "code", "id": "script", "metadata": {}, "outputs": [], "execution_count": None}
    made = {"cells": [{**cell, "source": version.source}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(made)


def tokens_that_wait(runs: Iterable[KernelRun]) -> frozenset[str]:
    """Tokens of submissions whose notebook has not run yet, so that there is no file to score."""
    return frozenset(run.token for run in runs if run.token is not None)


def _parts(ref: str) -> tuple[str, str, int | None]:
    """Owner, slug and version of `owner/slug` or `owner/slug/version`."""
    owner, slug, *rest = ref.split("/")
    return owner, slug, int(rest[0]) if rest and rest[0].isdigit() else None
