"""The `kagglerun` command, also as `python -m kagglerun`."""

from __future__ import annotations

import signal


def main() -> None:
    """Run the command line; Ctrl-C while its modules are imported ends it without a traceback."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from kagglerun.cli.main import main as command

    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, handler)
    command()


if __name__ == "__main__":
    main()
