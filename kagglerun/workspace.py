"""Every path of a workspace.

    competitions/<slug>/competition.yaml  hooks.py  data/
    sweeps/<name>.yaml
    runs/<slug>/<run id>/   config.yaml fingerprint.json metrics.json oof.parquet test.parquet
                            journal.jsonl environment.json submission.csv folds/<k>/ plots/
    .kagglerun/             mlflow.db studies.db jobs/<id>/ studies/<slug>/<name>/ cache/ practice/
                            current settings.yaml

Nothing else joins paths.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kagglerun.errors import ConfigError, WorkspaceError
from kagglerun.files import write_text

PRACTICE_PREFIX = "practice/"
_SLUG = re.compile(r"[a-z0-9][a-z0-9._-]*", re.IGNORECASE)


@dataclass(frozen=True)
class CompetitionRef:
    """A competition as the user names it: `titanic` on Kaggle, `practice/digits` on the practice server.

    Attributes:
        slug: the competition's slug, and the name of its folder.
        source: "kaggle" or "practice"; None when the name does not say, so that the card decides.
    """

    slug: str
    source: str | None

    @classmethod
    def parse(cls, name: str) -> CompetitionRef:
        """Read `slug`, `practice/slug`, `kaggle/slug` or a competition's address.

        Raises:
            ConfigError: the name is not a slug.
        """
        text = name.strip().rstrip("/")
        address = re.fullmatch(r"https?://(?:www\.)?kaggle\.com/(?:c|competitions)/([^/?#]+).*", text)
        if address:
            return cls(address.group(1), "kaggle")
        source, _, slug = text.rpartition("/")
        if not _SLUG.fullmatch(slug) or source not in ("", "kaggle", "practice"):
            raise ConfigError(
                f"{name!r} is not a competition's name",
                hint="use the slug from its address, e.g. `titanic`, or `practice/digits`",
            )
        return cls(slug, source or None)

    def __str__(self) -> str:
        return f"{PRACTICE_PREFIX}{self.slug}" if self.source == "practice" else self.slug


@dataclass(frozen=True)
class CompetitionPaths:
    """The files of one competition."""

    folder: Path

    @property
    def slug(self) -> str:
        """The competition's slug."""
        return self.folder.name

    @property
    def card(self) -> Path:
        """competition.yaml: what is known of the competition."""
        return self.folder / "competition.yaml"

    @property
    def hooks(self) -> Path:
        """hooks.py: optional code of the user's."""
        return self.folder / "hooks.py"

    @property
    def data(self) -> Path:
        """The unpacked files, as Kaggle serves them."""
        return self.folder / "data"

    @property
    def manifest(self) -> Path:
        """Size and SHA-256 of every file in data/; written last, so it proves that data/ is whole."""
        return self.data / ".manifest.json"

    @property
    def downloads(self) -> Path:
        """What is being downloaded and unpacked; data/ is replaced in one step when it is whole."""
        return self.folder / ".download"


@dataclass(frozen=True)
class FoldPaths:
    """The files of one fold of a run."""

    folder: Path

    @property
    def checkpoint(self) -> Path:
        """Everything needed to go on, while the fold trains."""
        return self.folder / "checkpoint.pt"

    @property
    def previous_checkpoint(self) -> Path:
        """The checkpoint before the last one."""
        return self.folder / "checkpoint.previous.pt"

    @property
    def weights(self) -> Path:
        """The weights that made the predictions."""
        return self.folder / "weights.safetensors"

    def booster(self, output: int) -> Path:
        """The trees that predict target number `output`, in LightGBM's text format."""
        return self.folder / f"booster-{output}.txt"

    @property
    def oof(self) -> Path:
        """Predictions for the fold's validation rows."""
        return self.folder / "oof.parquet"

    @property
    def test(self) -> Path:
        """Predictions for the test rows."""
        return self.folder / "test.parquet"

    @property
    def result(self) -> Path:
        """The fold's scores and curves; written last, so it proves that the fold is done."""
        return self.folder / "result.json"


@dataclass(frozen=True)
class RunPaths:
    """The files of one run."""

    folder: Path

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.folder.name

    @property
    def slug(self) -> str:
        """The slug of the run's competition."""
        return self.folder.parent.name

    @property
    def config(self) -> Path:
        """The resolved config: all that a rerun needs."""
        return self.folder / "config.yaml"

    @property
    def fingerprint(self) -> Path:
        """What the run depends on, digested."""
        return self.folder / "fingerprint.json"

    @property
    def metrics(self) -> Path:
        """Fold and OOF scores; written last, so it proves that the run is finished."""
        return self.folder / "metrics.json"

    @property
    def status(self) -> Path:
        """RUNNING, FINISHED, FAILED or KILLED, and when it changed."""
        return self.folder / "status.json"

    @property
    def oof(self) -> Path:
        """Out-of-fold predictions, one row per training row."""
        return self.folder / "oof.parquet"

    @property
    def test(self) -> Path:
        """Test predictions, the mean over folds."""
        return self.folder / "test.parquet"

    @property
    def journal(self) -> Path:
        """Every tracked value, one JSON object a line, in order."""
        return self.folder / "journal.jsonl"

    @property
    def tracking(self) -> Path:
        """How far MLflow has got with the journal."""
        return self.folder / "tracking.json"

    @property
    def environment(self) -> Path:
        """Machine and package versions."""
        return self.folder / "environment.json"

    @property
    def submission(self) -> Path:
        """The submission file written from the test predictions."""
        return self.folder / "submission.csv"

    @property
    def submissions(self) -> Path:
        """What was sent from this run, and the scores that came back, one JSON object a line."""
        return self.folder / "submissions.jsonl"

    @property
    def plots(self) -> Path:
        """PNG pictures."""
        return self.folder / "plots"

    def fold(self, index: int) -> FoldPaths:
        """The files of fold `index`, counted from 0."""
        return FoldPaths(self.folder / "folds" / str(index))


@dataclass(frozen=True)
class JobPaths:
    """The files of one job."""

    folder: Path

    @property
    def job_id(self) -> str:
        """The job's id."""
        return self.folder.name

    @property
    def spec(self) -> Path:
        """argv, working folder and names of environment variables."""
        return self.folder / "spec.json"

    @property
    def pid(self) -> Path:
        """Process id and start time."""
        return self.folder / "pid.json"

    @property
    def status(self) -> Path:
        """State, progress and heartbeat, written by the job itself."""
        return self.folder / "status.json"

    @property
    def stop(self) -> Path:
        """Exists when somebody asked the job to stop."""
        return self.folder / "stop"

    @property
    def log(self) -> Path:
        """Everything the job printed."""
        return self.folder / "log.txt"

    @property
    def lock(self) -> Path:
        """Locked by the job's process, so that a job runs once."""
        return self.folder / "lock"


@dataclass(frozen=True)
class StudyPaths:
    """The files of one study."""

    folder: Path

    @property
    def name(self) -> str:
        """The study's name."""
        return self.folder.name

    @property
    def slug(self) -> str:
        """The slug of the study's competition."""
        return self.folder.parent.name

    @property
    def spec(self) -> Path:
        """What the study is: resolved base config, search space, lag, direction."""
        return self.folder / "spec.yaml"

    @property
    def trials(self) -> Path:
        """One JSON file a trial."""
        return self.folder / "trials"

    @property
    def plots(self) -> Path:
        """PNG pictures."""
        return self.folder / "plots"

    @property
    def workers_log(self) -> Path:
        """What the workers of a sweep in the foreground printed."""
        return self.folder / "workers.log"

    @property
    def lock(self) -> Path:
        """Locked by the study's one coordinator and its workers."""
        return self.folder / "lock"

    def trial(self, number: int) -> Path:
        """The file of trial `number`, counted from 0."""
        return self.trials / f"{number:04d}.json"


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

    @property
    def competitions(self) -> Path:
        """One folder a competition."""
        return self.root / "competitions"

    @property
    def sweeps(self) -> Path:
        """The configs."""
        return self.root / "sweeps"

    @property
    def runs(self) -> Path:
        """One folder a competition, in it one folder a run."""
        return self.root / "runs"

    @property
    def state(self) -> Path:
        """.kagglerun/: databases, jobs, caches."""
        return self.root / ".kagglerun"

    @property
    def mlflow_db(self) -> Path:
        """MLflow's SQLite database."""
        return self.state / "mlflow.db"

    @property
    def mlflow_artifacts(self) -> Path:
        """MLflow's artifacts."""
        return self.state / "mlartifacts"

    @property
    def mlflow_lock(self) -> Path:
        """Held while a process of this workspace writes to MLflow's database."""
        return self.state / "mlflow.lock"

    @property
    def mlflow_log(self) -> Path:
        """What MLflow's server printed last."""
        return self.state / "mlflow.log"

    @property
    def study_journals(self) -> Path:
        """Journals of the studies' parent runs: one folder a competition, in it one folder a study."""
        return self.state / "studies"

    @property
    def studies_db(self) -> Path:
        """Optuna's SQLite database."""
        return self.state / "studies.db"

    @property
    def cache(self) -> Path:
        """What can be made again: decoded images and the like."""
        return self.state / "cache"

    @property
    def practice(self) -> Path:
        """State of the practice server."""
        return self.state / "practice"

    @property
    def settings(self) -> Path:
        """Settings of this workspace, e.g. `mlflow_uri`."""
        return self.state / "settings.yaml"

    @property
    def jobs(self) -> Path:
        """One folder a job."""
        return self.state / "jobs"

    @property
    def studies(self) -> Path:
        """One folder a competition, in it one folder a study."""
        return self.state / "studies"

    @property
    def ledger(self) -> Path:
        """Every submission sent from this workspace, one JSON object a line."""
        return self.state / "submissions.jsonl"

    @property
    def current_file(self) -> Path:
        """Holds the name of the competition fetched last."""
        return self.state / "current"

    def competition(self, slug: str) -> CompetitionPaths:
        """The files of the competition `slug`."""
        return CompetitionPaths(self.competitions / slug)

    def run(self, slug: str, run_id: str) -> RunPaths:
        """The files of a run."""
        return RunPaths(self.runs / slug / run_id)

    def job(self, job_id: str) -> JobPaths:
        """The files of a job."""
        return JobPaths(self.jobs / job_id)

    def all_jobs(self) -> Iterator[JobPaths]:
        """Every job that has a spec, by id."""
        for spec in sorted(self.jobs.glob("*/spec.json")):
            yield JobPaths(spec.parent)

    def study(self, slug: str, name: str) -> StudyPaths:
        """The files of a study."""
        return StudyPaths(self.studies / slug / name)

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
