"""An ensemble made again from its members' predictions, and compared bit for bit with what it gave."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kagglerun.config.ensemble import EnsembleModelConfig
from kagglerun.config.load import load_config
from kagglerun.ensemble.nesting import Tell
from kagglerun.ensemble.run import Options, compute
from kagglerun.ensemble.write import Written
from kagglerun.errors import ConfigError
from kagglerun.experiment.predictions import read_predictions
from kagglerun.files import read_json
from kagglerun.workspace import RunPaths, Workspace

_COMPARED = ("method", "space", "members", "intercept", "methods", "score")


def make_again(workspace: Workspace, run: RunPaths, tell: Tell = lambda _: None) -> tuple[str, ...]:
    """Make an ensemble again, writing nothing.

    Args:
        workspace: where its members are.
        run: the ensemble's run.
        tell: is told what is being done.

    Returns:
        What differs, a sentence each; nothing when every bit is equal.

    Raises:
        ConfigError: a member is not here any more, or the run is no ensemble.
        DataError: data, folds or metric have changed since.
    """
    config = load_config(run.config)
    model = config.model
    if not isinstance(model, EnsembleModelConfig):
        raise ConfigError(f"the run {run.run_id} is no ensemble", hint=f"kagglerun reproduce {run.run_id}")
    missing = [name for name in model.runs if not workspace.run(run.slug, name).oof.is_file()]
    if missing:
        raise ConfigError(
            f"runs that {run.run_id} was chosen from are not here: {', '.join(missing[:5])}"
            + (f" and {len(missing) - 5} more" if len(missing) > 5 else ""),
            hint="kagglerun sync pull    (brings runs that were pushed; the ensemble itself can be submitted as it is)",
        )
    options = Options(model.method, model.top, config.name or "ensemble", config.seed)
    _, written = compute(workspace, run.slug, model.runs, options, tell)
    return tuple(_differences(run, written))


def _differences(run: RunPaths, now: Written) -> Iterator[str]:
    before: dict[str, Any] = read_json(run.ensemble)
    if before["chosen_from"] != now.ensemble["chosen_from"]:
        yield "some of the runs that it was chosen from have the same predictions as others now"
    changed = [name for name in _COMPARED if before.get(name) != now.ensemble[name]]
    if changed:
        yield f"ensemble.json: {', '.join(changed)}"
    for what, path, again in (("OOF", run.oof, now.oof), ("test", run.test, now.test)):
        told = _difference(read_predictions(path).values, again.values)
        if told:
            yield f"{what} predictions: {told}"


def _difference(before: NDArray[np.float64], now: NDArray[np.float64]) -> str | None:
    if before.shape != now.shape:
        return f"{before.shape} in the run, {now.shape} now"
    rows = np.flatnonzero((before != now).any(axis=1))
    if not len(rows):
        return None
    largest = float(np.abs(before - now).max())
    return f"{len(rows)} of {len(before)} rows differ, the first is row {rows[0]} (largest difference {largest:.3g})"
