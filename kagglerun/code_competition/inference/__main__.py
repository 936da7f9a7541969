"""`python -m kagglerun.code_competition.inference DATA_SET COMPETITION_DATA OUTPUT`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from kagglerun.errors import KagglerunError

_SECONDS_PER_HOUR = 3600


def main(argv: Sequence[str] | None = None) -> int:
    """Predict and write the submission file.

    Returns:
        0 when a submission file was written, else the error's exit code.
    """
    given = _parser().parse_args(argv)
    from kagglerun.code_competition.inference.predict import predict_package
    from kagglerun.files import write_json

    try:
        report = predict_package(
            given.data_set,
            given.data,
            given.output,
            seconds=None if given.hours is None else given.hours * _SECONDS_PER_HOUR,
            memory_bytes=None if given.memory_gb is None else int(given.memory_gb * 1e9),
            tell=_say,
        )
        if given.report is not None:
            write_json(given.report, report.to_dict())
    except KagglerunError as error:
        sys.stderr.write(f"error: {error.message}\n" + (f"→ {error.hint}\n" if error.hint else ""))
        return error.exit_code
    for line in report.lines():
        _say(line)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m kagglerun.code_competition.inference", description=__doc__)
    parser.add_argument("data_set", type=Path, metavar="DATA_SET", help="the packaged run")
    parser.add_argument("data", type=Path, metavar="COMPETITION_DATA", help="the competition's files")
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="the submission file, or a folder for it")
    parser.add_argument("--hours", type=float, help="members and views that do not fit into this time are left out")
    parser.add_argument("--memory-gb", type=float, help="rows are predicted in pieces that fit into this memory")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write what was done as JSON")
    return parser


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
