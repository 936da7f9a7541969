"""The places of files within a competition, a run, a fold, a job and a study.

`workspace.py` says where those folders are; nothing else joins paths.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class Entry:
    """A file or folder at a fixed place; read as an attribute of its owner it is the path.

    Args:
        name: its name.
        base: the owner's attribute that holds the folder it is in.
    """

    def __init__(self, name: str, base: str = "folder") -> None:
        self._name, self._base = name, base

    def __get__(self, owner: Any, _type: type | None = None) -> Path:
        folder: Path = getattr(owner, self._base)
        return folder / self._name


@dataclass(frozen=True)
class CompetitionPaths:
    """The files of one competition."""

    folder: Path

    @property
    def slug(self) -> str:
        """The competition's slug."""
        return self.folder.name

    card = Entry("competition.yaml")
    """competition.yaml: what is known of the competition."""
    hooks = Entry("hooks.py")
    """hooks.py: optional code of the user's."""
    data = Entry("data")
    """The unpacked files, as Kaggle serves them."""
    manifest = Entry(".manifest.json", base="data")
    """Size and SHA-256 of every file in data/; written last, so it proves that data/ is whole."""
    downloads = Entry(".download")
    """What is being downloaded and unpacked; data/ is replaced in one step when it is whole."""
    table_copies = Entry(".tables")
    """Parquet copies of large tables, for loading; can be made again."""
    table_copies_list = Entry("copies.json", base="table_copies")
    """What each copy was made from."""
    damage = Entry(".damage.json")
    """Names of the files that the last check found damaged or missing, until they are fetched again."""


@dataclass(frozen=True)
class FoldPaths:
    """The files of one fold of a run."""

    folder: Path

    checkpoints = Entry("checkpoints")
    """Everything needed to go on, while the fold trains: the last two checkpoints."""
    weights = Entry("weights.safetensors")
    """The weights that made the predictions."""

    def model_files(self, others: Iterable[str]) -> list[Path]:
        """The weights and what a model left beside them, by name."""
        return [self.weights, *(self.folder / name for name in others)]

    def booster(self, output: int) -> Path:
        """The trees that predict target number `output`, in LightGBM's text format."""
        return self.folder / f"booster-{output}.txt"

    preprocessing = Entry("preprocessing.json")
    """How its model's input is made of a table or of images, in a packaged fold; see `models.base`."""
    oof = Entry("oof.parquet")
    """Predictions for the fold's validation rows."""
    test = Entry("test.parquet")
    """Predictions for the test rows."""
    digests = Entry("digests.json")
    """Digests of weights and predictions, for `kagglerun reproduce`."""
    result = Entry("result.json")
    """The fold's scores and curves; written last, so it proves that the fold is done."""


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

    config = Entry("config.yaml")
    """The resolved config: all that a rerun needs."""
    fingerprint = Entry("fingerprint.json")
    """What the run depends on, digested."""
    metrics = Entry("metrics.json")
    """Fold and OOF scores; written last, so it proves that the run is finished."""
    pruned = Entry("pruned.json")
    """Why and where the run was stopped early; written before anything is done about it."""
    status = Entry("status.json")
    """RUNNING, FINISHED, PRUNED, FAILED or KILLED, and when it changed."""
    oof = Entry("oof.parquet")
    """Out-of-fold predictions, one row per training row."""
    test = Entry("test.parquet")
    """Test predictions, the mean over folds."""
    postprocess = Entry("postprocess.json")
    """What predictions go through before they are written: cut-offs, thresholds, calibration; fitted on `oof`."""
    ensemble = Entry("ensemble.json")
    """Members and weights of a run that is an ensemble of others."""
    journal = Entry("journal.jsonl")
    """Every tracked value, one JSON object a line, in order."""
    live = Entry("live.json")
    """What its process says of itself while it works; see `experiment.watch`."""
    tracking = Entry("tracking.json")
    """How far MLflow has got with the journal."""
    environment = Entry("environment.json")
    """Machine and package versions."""
    card = Entry("competition.yaml")
    """The competition's card as it was when the run began."""
    hooks = Entry("hooks.py")
    """The competition's hooks as they were when the run began."""
    manifest = Entry("manifest.json.gz")
    """Names, sizes and digests of the competition's files as they were when the run began."""
    record = Entry("record.json")
    """Config, code and commits as they were when the run began."""
    diff = Entry("code.diff")
    """Changes of configs, hooks and the package that no commit held when the run began."""
    submission = Entry("submission.csv")
    """The submission file written from the test predictions."""
    submissions = Entry("submissions.jsonl")
    """What was sent from this run, and the scores that came back, one JSON object a line."""
    weights_deleted = Entry("weights_deleted.json")
    """Why the run has no weights (any more); written before they go."""
    plots = Entry("plots")
    """PNG pictures."""
    drawing = Entry("drawing.npz", base="plots")
    """The numbers that pictures are drawn from, until they are drawn."""

    def fold(self, index: int) -> FoldPaths:
        """The files of fold `index`, counted from 0."""
        return FoldPaths(self.folder / "folds" / str(index))

    def all_folds(self) -> list[FoldPaths]:
        """The folds that have a folder."""
        return [FoldPaths(folder) for folder in sorted(self.folder.glob("folds/*")) if folder.is_dir()]


@dataclass(frozen=True)
class JobPaths:
    """The files of one job."""

    folder: Path

    @property
    def job_id(self) -> str:
        """The job's id."""
        return self.folder.name

    spec = Entry("spec.json")
    """argv, working folder and names of environment variables."""
    pid = Entry("pid.json")
    """Process id and start time."""
    status = Entry("status.json")
    """State, progress and heartbeat, written by the job itself."""
    stop = Entry("stop")
    """Exists when somebody asked the job to stop."""
    log = Entry("log.txt")
    """What the job printed last; see `earlier_logs`."""
    lock = Entry("lock")
    """Locked by the job's process, so that a job runs once."""
    cluster = Entry("cluster.json")
    """The Ray cluster that its process runs on; not there for a process of this machine."""

    def earlier_logs(self) -> list[Path]:
        """The files of the log that are full, oldest first."""
        return sorted(self.folder.glob("log-*.txt"))

    def next_earlier_log(self, earlier: list[Path]) -> Path:
        """The name that the log gets when it is full, behind `earlier`."""
        number = int(earlier[-1].stem.partition("-")[2]) + 1 if earlier else 1
        return self.folder / f"log-{number:06d}.txt"


@dataclass(frozen=True)
class KernelPaths:
    """What is kept of a notebook that was pushed to Kaggle."""

    folder: Path

    pushed = Entry("pushed.json")
    """Which version was pushed, written before and after."""
    remote = Entry("remote.json")
    """Of a notebook that trains there: what it trains, and how far it has come."""
    notebook = Entry("notebook")
    """Of a notebook that trains there: what is pushed."""
    output = Entry("output")
    """What it wrote, as far as it was fetched."""


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

    spec = Entry("spec.yaml")
    """What the study is: resolved base config, search space, lag, direction."""
    trials = Entry("trials.jsonl")
    """Every trial as it was proposed and as it ended, one JSON object a line, in order."""
    earlier = Entry("earlier.json")
    """Trials of earlier studies that its sampler knows; see `sweep.warm_start`."""
    plots = Entry("plots")
    """PNG pictures, and the page that holds them all."""
    study_page = Entry("study.html", base="plots")
    """The study as one HTML page."""
    spent = Entry("spent.json")
    """Time that it has taken, over all attempts."""
    finalists = Entry("finalists.json")
    """How the race of its best trials stands."""
    workers = Entry("workers.json")
    """The Ray cluster that executes its trials; not there when this machine does."""
    token = Entry("token")
    """By which a node of the cluster sees that it shares this folder."""
    workers_log = Entry("workers.log")
    """What the workers of a sweep in the foreground printed."""
    lock = Entry("lock")
    """Locked by the study's one coordinator and its workers."""
