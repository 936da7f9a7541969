"""The databases of MLflow and of the studies."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from kagglerun.environment.doctor.finding import Finding, Subject
from kagglerun.environment.doctor.probe import DatabaseState, Probe

_REBUILD = {
    "MLflow": "mv {path} {path}.broken && kagglerun track sync --all    (the runs' journals hold every value)",
    "studies": "mv {path} {path}.broken    (the studies are their trials.jsonl; the next sweep copies them again)",
}


def check_databases(probe: Probe) -> Iterator[Finding]:
    """Each database is whole, free to be written and of a schema that the installed library knows."""
    for state in probe.databases:
        if state.role == "settings":
            subject = Subject("settings", "settings.yaml, which names the databases")
            yield subject.error(state.failure or state.label, f"mend or remove {shlex.quote(state.label)}")
        else:
            yield _of_one(state)


def _of_one(state: DatabaseState) -> Finding:
    subject = Subject(f"{state.role} database", "a database that is whole, unlocked and of the installed schema")
    if not state.exists:
        return subject.ok(f"{state.label}: none yet, it is made when needed")
    if state.failure is not None:
        return subject.error(f"{state.label}: {state.failure}", _reach(state))
    if state.damage is not None:
        return subject.error(
            f"{state.label} is damaged: {state.damage}", _REBUILD[state.role].format(path=shlex.quote(state.label))
        )
    if state.locked:
        return subject.warning(
            f"{state.label} is locked: a write had to wait in vain; trainings go on, their values come later",
            f"fuser -v {shlex.quote(state.label)}    (who holds it); then kagglerun track sync --all",
        )
    return _schema(subject, state)


def _schema(subject: Subject, state: DatabaseState) -> Finding:
    if state.schema is None or state.schema_wanted is None or state.schema == state.schema_wanted:
        return subject.ok(state.label)
    pair = f"{state.label} has schema {state.schema}, the installed library {state.schema_wanted}"
    if state.is_newer:
        return subject.error(
            f"{pair}: a newer library wrote it, this one cannot read it",
            "make setup    (or install the versions of whoever wrote it)",
        )
    if state.role == "MLflow":
        return subject.warning(f"{pair}: it is brought up to date, after a copy, when it is next used", "kagglerun ui")
    return subject.warning(f"{pair}: Optuna's own tools refuse it", "optuna storage upgrade --storage sqlite:///PATH")


def _reach(state: DatabaseState) -> str:
    if state.role == "MLflow":
        return "kagglerun ui    (or mlflow_uri in .kagglerun/settings.yaml; training goes on without)"
    return "studies_uri in .kagglerun/settings.yaml, or KAGGLERUN_STUDIES_URL; sweeps go on without"
