"""Inference in the notebook of a code competition: from the weights of a packaged run to a submission file.

    python -m kagglerun.code_competition.inference DATA_SET COMPETITION_DATA OUTPUT --hours 9

It imports what a notebook has: NumPy, pandas, and the libraries of the run's own models.
"""

from __future__ import annotations

from kagglerun.code_competition.inference.predict import predict_package
from kagglerun.code_competition.inference.report import InferenceReport

__all__ = ["InferenceReport", "predict_package"]
