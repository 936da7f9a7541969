"""What predictions go through before they are scored and written: cut-offs, thresholds, calibration.

Fitted on out-of-fold predictions, and judged nested: each fold's rows by what was fitted on the others. The stored
predictions stay as the models gave them; whoever writes a submission of a run applies what `read` gives.
"""

from __future__ import annotations

from kagglerun.experiment.postprocess.stored import Postprocess, read

__all__ = ["Postprocess", "read"]
