"""Finished trials as rows of Optuna's database, many statements fewer than its storage needs.

`create_new_trial` looks the trial up again before each parameter and attribute: 45 statements for a trial that has
eight of them. Here it is one insert a table. A test holds that both read back the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from optuna.distributions import distribution_to_json
from optuna.storages._rdb import models
from sqlalchemy.orm import Session


def insert_trial(storage: Any, study: int, number: int, trial: Any) -> None:
    """Insert a finished trial, in one transaction.

    Args:
        storage: Optuna's RDBStorage.
        study: its number of the study, to which nobody else writes.
        number: of the trial in the study.
        trial: an `optuna.trial.FrozenTrial`.
    """
    row = models.TrialModel(
        number=number,
        study_id=study,
        state=trial.state,
        datetime_start=trial.datetime_start,
        datetime_complete=trial.datetime_complete,
    )
    with Session(storage.engine) as session, session.begin():
        session.add(row)
        session.flush()
        session.add_all(_rows(row.trial_id, trial))


def _rows(trial_id: int, trial: Any) -> Iterator[Any]:
    """Everything of a trial but the trial itself."""
    yield from _values(trial_id, trial.values or ())
    for name, value in trial.params.items():
        distribution = trial.distributions[name]
        yield models.TrialParamModel(
            trial_id=trial_id,
            param_name=name,
            param_value=distribution.to_internal_repr(value),
            distribution_json=distribution_to_json(distribution),
        )
    for step, score in trial.intermediate_values.items():
        stored, kind = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr(score)
        yield models.TrialIntermediateValueModel(
            trial_id=trial_id, step=step, intermediate_value=stored, intermediate_value_type=kind
        )
    for key, attribute in trial.user_attrs.items():
        yield models.TrialUserAttributeModel(trial_id=trial_id, key=key, value_json=json.dumps(attribute))


def _values(trial_id: int, values: Sequence[float]) -> Iterator[Any]:
    for objective, value in enumerate(values):
        stored, kind = models.TrialValueModel.value_to_stored_repr(value)
        yield models.TrialValueModel(trial_id=trial_id, objective=objective, value=stored, value_type=kind)
