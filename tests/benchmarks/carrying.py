"""What `kagglerun sync` costs: many small runs, and one of large weights, to a folder, a real S3 API and a real sshd.

All servers run on the machine that is measured, so the figures are those of the work on both sides, without a network.
Copying the same files with `cp -r` and a sync to the disk is the measure.
"""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from kagglerun.experiment.sync.pull import pull
from kagglerun.experiment.sync.push import push
from kagglerun.experiment.sync.selection import Selection, Weights
from kagglerun.experiment.sync.target import opened
from kagglerun.workspace import Workspace
from tests.experiment.sync.made_runs import make_run, make_workspace
from tests.experiment.sync.servers import s3_server, ssh_server

RUNS = 200
WEIGHTS_MB = 512
ALL = Selection(weights=Weights.ALL)


def report(runs: int = RUNS, weights_mb: int = WEIGHTS_MB) -> str:
    """Markdown: seconds to push and pull, and to find that nothing is new."""
    with tempfile.TemporaryDirectory() as folder, targets(Path(folder)) as addresses:
        root = Path(folder)
        small, large = make_workspace(root / "small"), make_workspace(root / "large")
        for number in range(runs):
            make_run(small, f"run-{number:04d}", score=number / runs, weights=0, folds=5)
        run = make_run(large, "run", folds=2)
        for fold in run.all_folds():
            fold.weights.write_bytes(os.urandom(weights_mb << 19))
        lines = [
            "### Runs pushed and pulled",
            "",
            f"{runs} runs ({len(list(small.runs.rglob('*')))} files and folders); one with weights of {weights_mb} MB.",
            "",
            "| target | push the runs | again | pull them | again | push the weights | pull them |",
            "|---|---|---|---|---|---|---|",
            f"| `cp -r`, `sync` | {copied(small):.1f} s | | | | {copied(large):.1f} s | |",
        ]
        for name, address in addresses.items():
            figures = [*there_and_back(small, f"{address}-small"), *there_and_back(large, f"{address}-large")]
            shown = [figures[index] for index in (0, 1, 2, 3, 4, 6)]
            lines.append(f"| {name} | " + " | ".join(f"{seconds:.1f} s" for seconds in shown) + " |")
    return "\n".join(lines)


@contextmanager
def targets(root: Path) -> Iterator[dict[str, str]]:
    """Name to address of each target; servers run as long."""
    with pytest.MonkeyPatch.context() as patch, ExitStack() as servers:
        servers.enter_context(s3_server(patch))
        ssh = servers.enter_context(ssh_server(root / "server", patch))
        yield {
            "a folder": str(root / "target"),
            "S3 (moto)": "s3://my-bucket/target",
            "ssh": f"ssh://{getpass.getuser()}@127.0.0.1:{ssh.port}{root}/at-home",
        }


def there_and_back(workspace: Workspace, address: str) -> list[float]:
    """Seconds of: push, push again, pull into an empty workspace, pull again."""
    with opened(workspace, address) as store, tempfile.TemporaryDirectory() as folder:
        other = make_workspace(Path(folder) / "other")
        return [
            timed(lambda: push(workspace, store, ALL)),
            timed(lambda: push(workspace, store, ALL)),
            timed(lambda: pull(other, store, ALL)),
            timed(lambda: pull(other, store, ALL)),
        ]


def copied(workspace: Workspace) -> float:
    """Seconds that copying the runs takes."""
    with tempfile.TemporaryDirectory() as folder:

        def copy() -> None:
            subprocess.run(["cp", "-r", str(workspace.runs), folder], check=True)
            os.sync()

        return timed(copy)


def timed(work: Callable[[], object]) -> float:
    """Seconds that something takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    print(report(*map(int, sys.argv[1:])))
