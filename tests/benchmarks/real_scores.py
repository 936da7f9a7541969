"""The main job on real competition data: fetch, sweep, submit, score.

    python tests/benchmarks/real_scores.py /path/to/bundles [--only NAME] [--trials 5]

Each bundle's labelled rows are split into a practice competition (its own test labels are Kaggle's), which is
then fetched, swept and submitted to by the command line alone. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

COMMAND = [sys.executable, "-m", "kagglerun"]


@dataclass(frozen=True)
class Job:
    """One bundle and how it is run.

    Attributes:
        bundle: file name of the bundle, without .zip; also the slug.
        create: options of `practice create` besides --train.
        config: the config of the sweep.
        overrides: key=value for the sweep.
    """

    bundle: str
    create: tuple[str, ...]
    config: str
    overrides: tuple[str, ...] = ()


JOBS = (
    Job(
        "titanic",
        ("--target", "Survived", "--id", "PassengerId", "--metric", "accuracy"),
        "titanic.yaml",
    ),
    Job(
        "house-prices-advanced-regression-techniques",
        ("--target", "SalePrice", "--id", "Id", "--metric", "rmsle"),
        "house-prices.yaml",
    ),
    Job(
        "sign-language-digits",
        ("--target", "label", "--id", "id", "--metric", "accuracy", "--images", "train"),
        "baseline.yaml",
        (
            "model.kind=image", "model.name=resnet10t", "model.image_size=64", "model.pretrained=false",
            "cv.n_splits=3", "training.epochs=8",
        ),
    ),
)  # fmt: skip


def report(data: Path, trials: int, only: str | None = None) -> str:
    """Run the jobs in one fresh workspace; a Markdown table of their scores."""
    rows = [
        "### The main job on real data: fetch, sweep, submit best",
        "",
        "| competition | labelled rows | config | trials | best OOF | public | private | seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory(prefix="kagglerun-bench-") as folder:
        workspace = Path(folder) / "workspace"
        call("init", str(workspace), cwd=Path(folder))
        try:
            rows += [run_job(job, data, workspace, trials) for job in JOBS if only in (None, job.bundle)]
        finally:
            call("practice", "stop", cwd=workspace)
    return "\n".join(rows)


def main() -> None:
    """Run the chosen jobs and print their table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", choices=[job.bundle for job in JOBS])
    parser.add_argument("--trials", type=int, default=5)
    chosen = parser.parse_args()
    print(report(chosen.data, chosen.trials, chosen.only))


def run_job(job: Job, data: Path, workspace: Path, trials: int) -> str:
    """Host, fetch, sweep and submit one bundle; return its row of the table."""
    unpacked = workspace.parent / job.bundle
    with zipfile.ZipFile(data / f"{job.bundle}.zip") as archive:
        archive.extractall(unpacked)
    options = [str(unpacked / part) if part == "train" else part for part in job.create]
    call("practice", "create", job.bundle, "--train", str(unpacked / "train.csv"), *options, cwd=workspace)
    started = time.monotonic()
    call("fetch", f"practice/{job.bundle}", cwd=workspace)
    overrides = [f"competition=practice/{job.bundle}", f"sweep.trials={trials}", *job.overrides]
    call("sweep", job.config, *overrides, "--follow", cwd=workspace)
    call("submit", "best", "--competition", f"practice/{job.bundle}", "--yes", cwd=workspace)
    seconds = time.monotonic() - started
    runs = json.loads(call("runs", job.bundle, "--json", cwd=workspace))
    [best] = [run for run in runs if run["public_score"] is not None]
    sent = [json.loads(line) for line in submissions(workspace, job.bundle, best["run_id"])]
    rows = len((unpacked / "train.csv").read_text().splitlines()) - 1
    private = next((line["private_score"] for line in reversed(sent) if line.get("private_score") is not None), None)
    return (
        f"| {job.bundle} | {rows} | {job.config} | {trials} | {best['score']:.5f} | {best['public_score']:.5f} "
        f"| {private if private is None else f'{private:.5f}'} | {seconds:.0f} |"
    )


def submissions(workspace: Path, slug: str, run_id: str) -> list[str]:
    """Lines of a run's submissions.jsonl."""
    return (workspace / "runs" / slug / run_id / "submissions.jsonl").read_text().splitlines()


def call(*arguments: str, cwd: Path) -> str:
    """Run the command line; its standard output. Progress goes to our standard error."""
    print("$ kagglerun", *arguments, file=sys.stderr, flush=True)
    done = subprocess.run([*COMMAND, *arguments], cwd=cwd, stdout=subprocess.PIPE, text=True, check=False)
    print(re.sub(r"(?m)^", "  ", done.stdout.rstrip()), file=sys.stderr, flush=True)
    if done.returncode:
        raise SystemExit(f"kagglerun {' '.join(arguments)} ended with {done.returncode}")
    return done.stdout


if __name__ == "__main__":
    main()
