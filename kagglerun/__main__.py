"""`python -m kagglerun` is the `kagglerun` command."""

from kagglerun.cli.main import main

if __name__ == "__main__":
    main()
