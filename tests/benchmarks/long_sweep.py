"""A sweep of 2,000 trials of a trivial objective: does memory stay flat, do databases stay small, does nothing lock?

A real job with a coordinator and two worker processes; its runs are tracked in MLflow as all runs are. All the while
two readers ask as a user would, one after the other: `kagglerun jobs` and `kagglerun runs`.

    python tests/benchmarks/long_sweep.py [TRIALS]
"""

from __future__ import annotations

import math
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kagglerun.config.load import dump_yaml, parse_config
from kagglerun.config.schema import Config
from kagglerun.files import write_json, write_text
from kagglerun.sweep.objective import TrialObserver, TrialScore, TrialStopped, TrialTask
from kagglerun.tracking import open_tracker
from kagglerun.workspace import JobPaths, StudyPaths, Workspace

TRIALS = 2000
FOLDS = 3
MARKS = (0.1, 0.5, 1.0)
"""Where memory is stated, as shares of all trials."""
SEARCH = {
    "optimizer.lr": {"low": 1e-5, "high": 1e-1, "log": True},
    "optimizer.weight_decay": {"low": 0.0, "high": 0.5},
    "training.batch_size": {"low": 16, "high": 256, "step": 16},
    "optimizer.name": ["adamw", "sgd"],
    "training.epochs": [4, 8, 16],
}


class Trivial:
    """An objective that takes no time and leaves behind what every run leaves behind, but for predictions."""

    is_tracked = True

    def resolve(self, workspace: Workspace, config: Config) -> Config:
        """There is nothing to fill in."""
        return config

    def greater_is_better(self, workspace: Workspace, config: Config) -> bool:
        """It is."""
        return True

    def run(self, workspace: Workspace, task: TrialTask, observer: TrialObserver) -> TrialScore:
        """Score the config by a formula."""
        run = workspace.run("made", task.run_id)
        content = task.config.model_dump(mode="json")
        write_text(run.config, dump_yaml(task.config))
        write_json(run.fingerprint, {"comparable": "all"})
        status = {"study": task.tags["study"], "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        write_json(run.status, {**status, "state": "RUNNING"})
        tracker = open_tracker(
            workspace, run, name=task.run_id, params=content, tags=dict(task.tags), parent=task.parent
        )
        score = formula(task.config)
        for fold in range(FOLDS):
            if observer.should_stop():
                tracker.end("KILLED")
                raise TrialStopped
            tracker.log({"valid_score": score + fold / 1000}, fold)
            observer.fold(fold, FOLDS, score)
        tracker.log({"oof_score": score}, 0)
        tracker.artifact(run.config)
        scores = [score] * FOLDS
        write_json(
            run.metrics,
            {"score": score, "fold_scores": scores, "seconds": 0.0, "metric": "accuracy", "greater_is_better": True},
        )
        write_json(run.status, {**status, "state": "FINISHED"})
        tracker.end("FINISHED")
        return TrialScore(score, tuple(scores), 0.01)


def formula(config: Config) -> float:
    """Best at lr = 1e-3 and weight_decay = 0.1."""
    return -((math.log10(config.optimizer.lr) + 3) ** 2) - (config.optimizer.weight_decay - 0.1) ** 2


@dataclass
class Reader:
    """What a user who asks again and again saw.

    Attributes:
        command: what is asked.
        seconds: of each answer.
        problems: what was said beyond the answer, and answers with an exit code.
    """

    command: str
    seconds: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def ask_until(self, ended: threading.Event, workspace: Workspace) -> None:
        """Ask, and ask again."""
        while not ended.is_set():
            started = time.perf_counter()
            asked = [sys.executable, "-m", "kagglerun", self.command]
            answer = subprocess.run(asked, cwd=workspace.root, capture_output=True, text=True, check=False)
            self.seconds.append(time.perf_counter() - started)
            if answer.returncode or answer.stderr:
                self.problems.append(f"exit {answer.returncode}: {answer.stderr.strip()[-300:]}")
            ended.wait(0.2)


@dataclass(frozen=True)
class Sample:
    """Resident memory at a moment, in bytes.

    Attributes:
        trials: done so far.
        seconds: since the start.
        coordinator: of the coordinator.
        worker: of its largest worker.
    """

    trials: int
    seconds: float
    coordinator: int
    worker: int


@dataclass
class Outcome:
    """What the sweep showed."""

    trials: int
    samples: list[Sample]
    readers: list[Reader]
    sizes: dict[str, int]
    in_mlflow: int
    in_database: int
    complaints: list[str]


def measure(trials: int = TRIALS) -> Outcome:
    """Run the sweep, in a workspace of its own."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("KAGGLERUN_BENCHMARK_FOLDER")) as folder:
        workspace = Workspace(Path(folder) / "workspace")
        workspace.competitions.mkdir(parents=True)
        workspace.sweeps.mkdir()
        os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
        job, study = _start(workspace, trials)
        ended = threading.Event()
        readers = [Reader("jobs"), Reader("runs")]
        threads = [threading.Thread(target=reader.ask_until, args=(ended, workspace)) for reader in readers]
        for thread in threads:
            thread.start()
        try:
            samples = _watch(job)
        finally:
            ended.set()
            for thread in threads:
                thread.join()
        return _outcome(workspace, job, study, trials, samples, readers)


def _start(workspace: Workspace, trials: int) -> tuple[JobPaths, StudyPaths]:
    from kagglerun.jobs.launch import launch
    from kagglerun.sweep.study import coordinator_argv, prepare_study

    sweep = {"trials": trials, "workers": 2, "lag": 4, "prune": "none", "search": SEARCH}
    config = parse_config({"competition": "made", "name": "long", "sweep": sweep}, "the benchmark's config")
    study, _ = prepare_study(workspace, config, objective="long_sweep:Trivial")
    return launch(workspace, "sweep", coordinator_argv(study), what="a long sweep"), study


def _watch(job: JobPaths) -> list[Sample]:
    import psutil

    from kagglerun.jobs.control import job_info

    samples, started = [], time.perf_counter()
    while (info := job_info(job)).state.is_alive:
        try:
            coordinator = psutil.Process(info.pid)
            workers = [child.memory_info().rss for child in coordinator.children()]
            done = int((info.numbers or {}).get("trials_done", 0))
            took = time.perf_counter() - started
            samples.append(Sample(done, took, coordinator.memory_info().rss, max(workers, default=0)))
        except psutil.NoSuchProcess:
            pass
        time.sleep(0.5)
    return samples


def _outcome(
    workspace: Workspace,
    job: JobPaths,
    study: StudyPaths,
    trials: int,
    samples: list[Sample],
    readers: list[Reader],
) -> Outcome:
    log = job.log.read_text("utf-8")
    complaints = [
        line for line in log.splitlines() if any(word in line.lower() for word in ("lock", "behind", "cannot"))
    ]
    sizes = {
        "trials.jsonl": study.trials,
        "studies.db": workspace.studies_db,
        "mlflow.db": workspace.mlflow_db,
        "MLflow's artifacts": workspace.mlflow_artifacts,
        "runs/": workspace.runs,
    }
    return Outcome(
        trials,
        samples,
        readers,
        {name: _bytes(path) for name, path in sizes.items()},
        _in_mlflow(workspace),
        _in_database(workspace),
        complaints,
    )


def _bytes(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def _in_mlflow(workspace: Workspace) -> int:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(workspace.mlflow_db)) as database:
        count = "SELECT count(*) FROM runs JOIN tags USING (run_uuid) WHERE key = 'mlflow.parentRunId' AND status = ?"
        return int(database.execute(count, ("FINISHED",)).fetchone()[0])


def _in_database(workspace: Workspace) -> int:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(workspace.studies_db)) as database:
        return int(database.execute("SELECT count(*) FROM trials WHERE state = 'COMPLETE'").fetchone()[0])


def report(trials: int = TRIALS) -> str:
    """A Markdown section: memory, sizes, answers of the readers, complaints."""
    seen = measure(trials)
    return "\n\n".join([_heading(seen), _memory(seen), _sizes(seen), _answers(seen)])


def _heading(seen: Outcome) -> str:
    took = seen.samples[-1].seconds
    complaints = "; ".join(seen.complaints[:3]) or "none"
    return (
        f"### A sweep of {seen.trials:,} trials\n\n"
        f"A trivial tracked objective, TPE over {len(SEARCH)} parameters, two worker processes, two readers: "
        f"{took:.0f} s, {took / seen.trials * 1000:.0f} ms a trial. In MLflow: {seen.in_mlflow:,} finished runs; in "
        f"Optuna's database: {seen.in_database:,} trials. Complaints in the job's log of locks or of a database that "
        f"is behind: {complaints}."
    )


def _memory(seen: Outcome) -> str:
    rows = ["| trials | coordinator, MB | larger worker, MB | ms a trial since the line above |", "|---|---|---|---|"]
    before = Sample(0, 0.0, 0, 0)
    for mark in MARKS:
        there = min(seen.samples, key=lambda sample: abs(sample.trials - mark * seen.trials))
        pace = (there.seconds - before.seconds) / max(1, there.trials - before.trials) * 1000
        rows.append(f"| {there.trials:,} | {there.coordinator / 1e6:.0f} | {there.worker / 1e6:.0f} | {pace:.0f} |")
        before = there
    return "\n".join(rows)


def _sizes(seen: Outcome) -> str:
    rows = ["| files | MB | kB a trial |", "|---|---|---|"]
    rows += [f"| {name} | {size / 1e6:.1f} | {size / 1e3 / seen.trials:.1f} |" for name, size in seen.sizes.items()]
    return "\n".join(rows)


def _answers(seen: Outcome) -> str:
    rows = ["| reader | answers | median s | last s | with an error |", "|---|---|---|---|---|"]
    for reader in seen.readers:
        row = (len(reader.seconds), statistics.median(reader.seconds), reader.seconds[-1], len(reader.problems))
        rows.append("| `kagglerun {}` | {} | {:.2f} | {:.2f} | {} |".format(reader.command, *row))
    rows += [f"\nFirst error of `kagglerun {r.command}`: {r.problems[0]}" for r in seen.readers if r.problems]
    return "\n".join(rows)


def main(argv: Sequence[str]) -> None:
    """Print the report of a sweep of so many trials."""
    print(report(int(argv[0]) if argv else TRIALS))


if __name__ == "__main__":
    main(sys.argv[1:])
