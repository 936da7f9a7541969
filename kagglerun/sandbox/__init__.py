"""Notebooks executed apart from the machine: no network, inputs read-only, limits of time and memory.

done = run_notebook(Path("x.ipynb"), python=kaggle_environment(cache), inputs={"titanic": data}, working=folder,
                    seconds=600, memory_bytes=16 << 30)
done.state      # "finished", "failed", "out of time" or "out of memory"
"""

from __future__ import annotations

from kagglerun.sandbox.environment import kaggle_environment
from kagglerun.sandbox.run import NotebookRun, run_notebook

__all__ = ["NotebookRun", "kaggle_environment", "run_notebook"]
