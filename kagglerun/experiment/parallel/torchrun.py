"""Several processes that train a fold together, started by torchrun.

`python -m kagglerun.experiment.parallel.torchrun N MODULE ARGUMENTS` does what `torchrun --standalone
--nproc-per-node N -m MODULE` does. It dies with its parent, and its processes with it; how they ended it says in one
JSON object on standard output, which they share.
"""

from __future__ import annotations

import json
import logging
import os
import sys

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import get_args_parser, run

from kagglerun.jobs.child import PARENT, die_with


def main(argv: list[str]) -> int:
    """Start the processes and wait for their end.

    Args:
        argv: their number, the module, its arguments.

    Returns:
        0; 1 where one of them failed.
    """
    die_with(int(os.environ[PARENT]))
    os.environ[PARENT] = str(os.getpid())
    if not os.environ.get("KAGGLERUN_DEBUG"):
        logging.disable(logging.ERROR)  # the processes themselves say what went wrong
    number, module, *arguments = argv
    options = ["--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", number, "--max-restarts", "0"]
    try:
        run(get_args_parser().parse_args([*options, "--module", module, *arguments]))  # type: ignore[no-untyped-call]
    except ChildFailedError as error:
        codes = {str(rank): failure.exitcode for rank, failure in error.failures.items()}
        sys.stdout.write(json.dumps({"event": "ended", "codes": codes}) + "\n")
        sys.stdout.flush()
        return 1
    except SignalException:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
