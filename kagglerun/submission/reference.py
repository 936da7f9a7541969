"""What the newest finished run would submit: something to hold a file of the user's against."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pandas as pd

from kagglerun.config.card import Card
from kagglerun.errors import DataError
from kagglerun.experiment.postprocess import read as read_postprocess
from kagglerun.experiment.predictions import read_predictions
from kagglerun.experiment.runs import list_runs
from kagglerun.submission.write import predicted_cells
from kagglerun.workspace import CompetitionPaths, Workspace


@dataclass(frozen=True)
class Reference:
    """A run's submission.

    Attributes:
        run_id: the run.
        cells: (n, columns), the predicted columns in the rows of the sample submission.
    """

    run_id: str
    cells: pd.DataFrame


def newest_reference(workspace: Workspace, paths: CompetitionPaths, card: Card) -> Reference | None:
    """The newest finished run's submission; None where there is no run, or its predictions do not fit any more.

    Args:
        workspace: whose runs.
        paths: the competition's files.
        card: what is known of it.
    """
    finished = [run for run in list_runs(workspace, card.slug) if run.state == "FINISHED"]
    if not finished:
        return None
    run = workspace.run(card.slug, finished[-1].run_id)
    try:
        predictions, postprocess = read_predictions(run.test), read_postprocess(run)
        if postprocess is not None:
            predictions = replace(predictions, values=postprocess.apply(predictions.values))
        cells = predicted_cells(paths, card, predictions)
    except DataError:  # made with other data; submitting that run says so
        return None
    return None if cells is None else Reference(run.run_id, cells)
