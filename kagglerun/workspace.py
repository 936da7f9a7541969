"""Every path of a workspace.

    competitions/<slug>/competition.yaml  hooks.py  data/
    sweeps/<name>.yaml      image.yaml
    runs/<slug>/<run id>/   config.yaml fingerprint.json metrics.json oof.parquet test.parquet
                            journal.jsonl environment.json submission.csv folds/<k>/ plots/
    .kagglerun/             mlflow.db studies.db jobs/<id>/ studies/<slug>/<name>/ cache/ practice/
                            packages/<slug>/<run id>/ kernels/ current settings.yaml reproduce/ image/ home/

Nothing but this and paths.py joins paths.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kagglerun.competition_ref import CompetitionRef
from kagglerun.errors import ConfigError, WorkspaceError
from kagglerun.files import write_text
from kagglerun.paths import CompetitionPaths, Entry, FoldPaths, JobPaths, KernelPaths, RunPaths, StudyPaths

__all__ = ["CompetitionPaths", "FoldPaths", "JobPaths", "KernelPaths", "RunPaths", "StudyPaths", "Workspace"]


_RUN_ID = re.compile(r"[^/\x00-\x1f\x7f.-][^/\x00-\x1f\x7f]{0,127}")


@dataclass(frozen=True)
class Workspace:
    """The folder that holds competitions/, sweeps/, runs/ and .kagglerun/.

    Attributes:
        root: absolute path of the workspace.
    """

    root: Path

    @classmethod
    def find(cls, start: Path | None = None) -> Workspace:
        """Find the workspace: KAGGLERUN_WORKSPACE, else the nearest folder upward that is one.

        Args:
            start: where to look from; the current folder by default.

        Raises:
            WorkspaceError: there is none.
        """
        named = os.environ.get("KAGGLERUN_WORKSPACE")
        if named:
            root = Path(named).expanduser().resolve()
            if not root.is_dir():
                raise WorkspaceError(
                    f"KAGGLERUN_WORKSPACE names {root}, which is not a folder",
                    hint=f"kagglerun init {root}",
                )
            return cls(root)
        here = (start or Path.cwd()).resolve()
        for folder in (here, *here.parents):
            if cls(folder).looks_like_one():
                return cls(folder)
        raise WorkspaceError(f"there is no kagglerun workspace in {here} or above it", hint="kagglerun init")

    def looks_like_one(self) -> bool:
        """Whether the folder has competitions/ and sweeps/."""
        return self.competitions.is_dir() and self.sweeps.is_dir()

    competitions = Entry("competitions", base="root")
    """One folder a competition."""
    sweeps = Entry("sweeps", base="root")
    """The configs."""
    runs = Entry("runs", base="root")
    """One folder a competition, in it one folder a run."""
    state = Entry(".kagglerun", base="root")
    """.kagglerun/: databases, jobs, caches."""
    mlflow_db = Entry("mlflow.db", base="state")
    """MLflow's SQLite database."""
    mlflow_artifacts = Entry("mlartifacts", base="state")
    """MLflow's artifacts."""
    mlflow_lock = Entry("mlflow.lock", base="state")
    """Held while a process of this workspace writes to MLflow's database."""
    mlflow_log = Entry("mlflow.log", base="state")
    """What MLflow's server printed last."""
    study_journals = Entry("studies", base="state")
    """Journals of the studies' parent runs: one folder a competition, in it one folder a study."""
    studies_db = Entry("studies.db", base="state")
    """Optuna's SQLite database."""
    cache = Entry("cache", base="state")
    """What can be made again: decoded images and the like."""
    measurements = Entry("measurements", base="cache")
    """What was measured of this machine: batch sizes that fit, compilers that pay."""
    compiled = Entry("compiled", base="cache")
    """What inductor compiled."""
    practice = Entry("practice", base="state")
    """State of the practice server."""
    settings = Entry("settings.yaml", base="state")
    """Settings of this workspace, e.g. `mlflow_uri`."""
    jobs = Entry("jobs", base="state")
    """One folder a job."""
    studies = Entry("studies", base="state")
    """One folder a competition, in it one folder a study."""
    reproductions = Entry("reproduce", base="state")
    """Runs that are made again to be compared: one folder a competition, in it one folder a run."""
    image_pins = Entry("image.yaml", base="root")
    """Digests of the base images that this workspace's images start from; belongs into git."""
    image = Entry("image", base="state")
    """What containers of the image are started with: no secrets."""
    image_home = Entry("home", base="state")
    """The home folder in containers: shell history, Jupyter's settings, the host keys of SSH."""
    ledger = Entry("submissions.jsonl", base="state")
    """Every submission sent from this workspace, one JSON object a line."""
    scoreboards = Entry("scores", base="state")
    """Pictures of CV against the leaderboard: one file a competition."""
    packages = Entry("packages", base="state")
    """Runs packaged for code competitions: one folder a competition, in it one folder a run."""
    kernels = Entry("kernels", base="state")
    """Notebooks that were pushed to Kaggle: one folder a notebook."""
    rehearsals = Entry("rehearsal", base="cache")
    """Environments that notebooks are rehearsed in."""
    syncs = Entry("sync", base="state")
    """What `kagglerun sync` remembers of each target, and the log of what it does in the background."""
    incoming_runs = Entry(".incoming", base="runs")
    """Runs that are being pulled; each is moved to its place when it is whole."""
    incoming_studies = Entry(".incoming", base="studies")
    """Studies that are being pulled, likewise."""
    incoming_competitions = Entry(".incoming", base="competitions")
    """Cards and hooks that are being pulled, likewise."""
    current_file = Entry("current", base="state")
    """Holds the name of the competition fetched last."""

    def competition(self, slug: str) -> CompetitionPaths:
        """The files of the competition `slug`."""
        return CompetitionPaths(self.competitions / slug)

    def run(self, slug: str, run_id: str) -> RunPaths:
        """The files of a run.

        Raises:
            ConfigError: the id cannot be the name of a folder.
        """
        if not _RUN_ID.fullmatch(run_id):
            raise ConfigError(
                f"{run_id!r} cannot be a run's id: at most 128 characters, no slash, no leading dot or dash, one line",
                hint="for example --run my-run; or another `name` in the config",
            )
        return RunPaths(self.runs / slug / run_id)

    def scoreboard(self, slug: str) -> Path:
        """The picture of a competition's CV and public scores."""
        return self.scoreboards / f"{slug}.png"

    def reproduction(self, run: RunPaths) -> Workspace:
        """The workspace in which a run is made again to be compared; no command lists what is in it."""
        return Workspace(self.reproductions / run.slug / run.run_id)

    def job(self, job_id: str) -> JobPaths:
        """The files of a job."""
        return JobPaths(self.jobs / job_id)

    def all_jobs(self) -> Iterator[JobPaths]:
        """Every job that has a spec, by id."""
        for spec in sorted(self.jobs.glob("*/spec.json")):
            yield JobPaths(spec.parent)

    def kernel(self, slug: str) -> KernelPaths:
        """What is kept of a notebook that was pushed."""
        return KernelPaths(self.kernels / slug)

    def study(self, slug: str, name: str) -> StudyPaths:
        """The files of a study."""
        return StudyPaths(self.studies / slug / name)

    def all_studies(self) -> Iterator[StudyPaths]:
        """Every study that has begun, by competition and name."""
        for spec in sorted(self.studies.glob("*/*/spec.yaml")):
            yield StudyPaths(spec.parent)

    def all_runs(self, slug: str | None = None) -> Iterator[RunPaths]:
        """Every run that has a frozen config, by competition and run id."""
        for config in sorted(self.runs.glob(f"{slug or '*'}/*/config.yaml")):
            yield RunPaths(config.parent)

    def find_run(self, run_id: str) -> RunPaths:
        """The run with this id, or whose id starts so.

        Raises:
            ConfigError: no run, or several, match.
        """
        found = [run for run in self.all_runs() if run.run_id == run_id]
        found = found or [run for run in self.all_runs() if run.run_id.startswith(run_id)]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(run.run_id for run in found[:8])
            raise ConfigError(f"several runs start with {run_id!r}: {names}", hint="give more of the id")
        raise ConfigError(f"there is no run {run_id!r}", hint="kagglerun runs")

    def config_file(self, name: str) -> Path:
        """The config file the user names: a path, or a name in sweeps/ with or without .yaml.

        Raises:
            ConfigError: there is no such file; the message lists those in sweeps/.
        """
        for candidate in (Path(name), self.sweeps / name, self.sweeps / f"{name}.yaml"):
            if candidate.is_file():
                return candidate.resolve()
        known = ", ".join(sorted(path.name for path in self.sweeps.glob("*.yaml"))) or "none"
        raise ConfigError(f"there is no config {name!r}; in {self.sweeps}: {known}", hint="kagglerun init")

    def current(self) -> str | None:
        """Slug of the current competition: the one fetched last."""
        if not self.current_file.is_file():
            return None
        return self.current_file.read_text("utf-8").strip() or None

    def set_current(self, slug: str) -> None:
        """Make `slug` the current competition."""
        write_text(self.current_file, slug + "\n")

    def resolve_competition(self, name: str | None) -> str:
        """Slug of the competition the user names, or of the current one.

        Raises:
            ConfigError: no name was given and no competition was fetched yet.
        """
        if name:
            return CompetitionRef.parse(name).slug
        current = self.current()
        if current is None:
            raise ConfigError(
                "no competition was named and none was fetched yet",
                hint="kagglerun fetch practice/digits    (or the slug of a competition on Kaggle)",
            )
        return current
