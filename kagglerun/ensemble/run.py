"""An ensemble as a run like any other: chosen, judged and fitted first, written in one go when all is known.

Its out-of-fold predictions are the nested ones, so that its scores are as honest as those of the runs beside it, and
`runs`, `best`, `submit`, `show` and `sync` treat it as they treat those.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kagglerun.config.ensemble import EnsembleModelConfig
from kagglerun.config.load import load_config
from kagglerun.config.schema import Config, TabularBoostingConfig
from kagglerun.ensemble.blend import Blend, Values
from kagglerun.ensemble.gains import Gain, Sureness, by_fold, gains, sureness
from kagglerun.ensemble.members import Choice, Loaded, choose, correlations, load, nearly_same, read_test
from kagglerun.ensemble.methods import Method, available, require
from kagglerun.ensemble.nesting import Nested, Tell, best_single, nest
from kagglerun.ensemble.write import Written, write_run
from kagglerun.experiment.fingerprint import Fingerprint
from kagglerun.experiment.predictions import Predictions, names_of
from kagglerun.experiment.prepare import Prepared
from kagglerun.experiment.prepare_again import prepare_again
from kagglerun.experiment.run import new_run_id
from kagglerun.experiment.runs import RunSummary
from kagglerun.files import sha256_of_file, sha256_of_json
from kagglerun.workspace import RunPaths, Workspace

AUTO = "auto"
_MOST_CORRELATED = 60


@dataclass(frozen=True)
class Options:
    """How an ensemble is made.

    Attributes:
        method: "auto" or one of `Method`.
        top: at most so many runs take part in one fit.
        name: what its id begins with.
        seed: what is drawn at random follows from it.
    """

    method: str = AUTO
    top: int = 40
    name: str = "ensemble"
    seed: int = 0


@dataclass(frozen=True)
class Report:
    """A finished ensemble.

    Attributes:
        run: its folder.
        metric: name of the metric.
        greater_is_better: its direction.
        score: nested, over all rows; what the runs table shows.
        fold_scores: nested, of each fold.
        sureness: how sure the score is, and its lead over the best run.
        nested: methods and their scores, weights.
        best: the best run by its own score.
        best_honest: score of choosing the best run on the other folds.
        members: run id to its gain, the heaviest first; None where it was not taken.
        choice: what it was chosen from.
        near: pairs of runs that predict nearly the same.
        seconds: how long it took.
        notes: what the reader should know.
    """

    run: RunPaths
    metric: str
    greater_is_better: bool
    score: float
    fold_scores: tuple[float, ...]
    sureness: Sureness
    nested: Nested
    best: RunSummary
    best_honest: float
    members: dict[str, Gain | None]
    choice: Choice
    near: tuple[tuple[str, str, float], ...]
    seconds: float
    notes: tuple[str, ...]


def make_ensemble(
    workspace: Workspace,
    slug: str,
    named: Sequence[str] = (),
    options: Options | None = None,
    tell: Tell = lambda _: None,
) -> Report:
    """Make a run of the finished runs of a competition.

    Args:
        workspace: whose runs.
        slug: the competition.
        named: ids of the runs to choose from; all that compare with the newest one when left out.
        options: how.
        tell: is told what is being done, a line each.

    Raises:
        ConfigError: runs cannot be joined, each said by name; or the method does not fit.
        DataError: predictions are damaged; data, folds or metric are not what the runs began with.
        DiskFull: there was no room for the run.
    """
    report, written = compute(workspace, slug, named, options or Options(), tell)
    write_run(workspace, written)
    return report


def compute(
    workspace: Workspace, slug: str, named: Sequence[str], options: Options, tell: Tell
) -> tuple[Report, Written]:
    """All of an ensemble, with nothing written; arguments and errors as for `make_ensemble`."""
    started = time.monotonic()
    run = workspace.run(slug, new_run_id(Config(name=options.name)))
    choice = choose(workspace, slug, named)
    newest = choice.runs[-1]
    prepared = prepare_again(workspace, workspace.run(slug, newest.run_id), newest)
    loaded = load(workspace, choice, prepared, options.top, options.seed)
    pool = loaded.pool
    tell(f"{len(choice.runs)} runs to choose from, {len(pool.oof)} of them good enough to be looked at")
    if options.method == AUTO:
        methods = available(pool)
    else:
        methods = (Method(options.method),)
        require(pool, methods[0])
    nested, fits = nest(pool, methods, tell)
    members = nested.blend.members
    tell(f"{nested.method} it is; what each of {len(members)} members adds")
    found = {gain.run: gain for gain in gains(fits, nested.method, members)}
    best, alone = best_single(pool)
    seconds = time.monotonic() - started
    report = Report(
        run=run,
        metric=prepared.metric.name,
        greater_is_better=prepared.metric.greater_is_better,
        score=pool.judge.score(pool.everything, nested.finished),
        fold_scores=tuple(map(float, by_fold(pool, nested.finished))),
        sureness=sureness(pool.judge, nested.finished, alone, options.seed),
        nested=nested,
        best=next(run for run in choice.runs if run.run_id == best),
        best_honest=pool.judge.score(pool.everything, alone),
        members={run: found.get(run) for run in members},
        choice=choice,
        near=_near(loaded),
        seconds=seconds,
        notes=(*loaded.notes, *_note_on_steps(workspace, slug, members)),
    )
    return report, _written(workspace, report, prepared, loaded, options)


def _near(loaded: Loaded) -> tuple[tuple[str, str, float], ...]:
    runs = loaded.pool.candidates(loaded.pool.everything)[:_MOST_CORRELATED]
    return tuple(nearly_same(runs, correlations(loaded.pool, runs)))


def _note_on_steps(workspace: Workspace, slug: str, members: Sequence[str]) -> list[str]:
    """What no nesting here can take away: a step that was chosen by the rows that the run is judged on."""
    choose_steps = sum(_chooses_its_step(load_config(workspace.run(slug, run).config)) for run in members)
    if not choose_steps:
        return []
    return [
        f"{choose_steps} of {len(members)} members took their best epoch or tree by the rows that they are judged on: "
        "their scores, and this one, are a little too good where folds are small "
        "(training.keep=last and model.early_stopping_rounds=0 avoid it)"
    ]


def _chooses_its_step(config: Config) -> bool:
    if isinstance(config.model, TabularBoostingConfig):
        return config.model.early_stopping_rounds > 0
    return config.training.keep == "best"


def _config(prepared: Prepared, choice: Choice, options: Options) -> Config:
    """What the run's config.yaml holds: the folds and hooks of its members, and how it was made."""
    model = EnsembleModelConfig.model_validate(
        {"method": options.method, "top": options.top, "runs": tuple(run.run_id for run in choice.runs)}
    )
    base = prepared.config
    changes = {"name": options.name, "seed": options.seed, "model": model}
    kept = {name: getattr(base, name) for name in ("competition", "cv", "hooks", "postprocess")}
    return Config().model_copy(update={**kept, **changes})


def _fingerprint(workspace: Workspace, prepared: Prepared, config: Config, runs: Sequence[str]) -> Fingerprint:
    """That of the runs, but for its config: it depends on the members' predictions too."""
    slug = prepared.card.slug
    paths = [workspace.run(slug, run) for run in runs]
    digests = [[sha256_of_file(path.oof), sha256_of_file(path.test)] for path in paths]
    said = config.model_dump(mode="json", include={"cv", "hooks", "model", "postprocess", "seed"})
    return replace(prepared.fingerprint, config=sha256_of_json([said, digests]))


def _written(workspace: Workspace, report: Report, prepared: Prepared, loaded: Loaded, options: Options) -> Written:
    config = _config(prepared, report.choice, options)
    blend, members, step = report.nested.blend, list(report.members), report.nested.postprocess
    first, values = read_test(workspace, report.run.slug, members)
    test = blend.combine(values)
    decided = test if step is None else step.apply(test)
    oof = replace(loaded.oof, values=report.nested.values, names=names_of(prepared.card, report.nested.values))
    return Written(
        run=report.run,
        config=config,
        fingerprint=_fingerprint(workspace, prepared, config, [run.run_id for run in report.choice.runs]),
        prepared=prepared,
        oof=oof,
        test=Predictions(first.ids, test, first.names, cells=prepared.cells(decided, prepared.data.test)),
        postprocess=step,
        ensemble=_told(report, blend, options),
        metrics=_metrics(report, loaded),
        members=members,
        correlations=correlations(loaded.pool, members),
        gains=list(report.members.values()),
    )


def _told(report: Report, blend: Blend, options: Options) -> dict[str, Any]:
    """ensemble.json: the blend, and where its figures come from."""
    saved = blend.to_dict()
    for member in saved["members"]:
        gain = report.members[member["run"]]
        member["gain"], member["gain_error"] = (gain.gain, gain.error) if gain else (None, None)
    return {
        "method": str(report.nested.method),
        "asked": options.method,
        **saved,
        "methods": {str(method): _number(score) for method, score in report.nested.scores.items()},
        "methods_of_blocks": [str(method) for method in report.nested.chosen],
        "score": report.score,
        "score_error": _number(report.sureness.error),
        "best_run": report.best.run_id,
        "best_run_score": report.best.score,
        "best_run_chosen_honestly": report.best_honest,
        "lead": _lead(report),
        "lead_error": _number(report.sureness.error_over),
        "chosen_from": [run.run_id for run in report.choice.runs],
        "same_predictions": dict(report.choice.same),
        "nearly_same": [list(pair) for pair in report.near],
    }


def _lead(report: Report) -> float:
    """By how much the ensemble is better than the best run, both chosen honestly."""
    difference = report.score - report.best_honest
    return difference if report.greater_is_better else -difference


def _metrics(report: Report, loaded: Loaded) -> dict[str, Any]:
    """metrics.json, as a run has it."""
    scores, pool, step = np.asarray(report.fold_scores), loaded.pool, report.nested.postprocess
    raw: dict[str, Any] = {}
    if step is not None:
        raw = {
            "raw_score": pool.judge.score(pool.everything, report.nested.values),
            "raw_fold_scores": list(map(float, by_fold(pool, report.nested.values))),
            "postprocess": str(step),
        }
    return {
        "score": report.score,
        "fold_score_mean": float(scores.mean()),
        "fold_score_std": float(scores.std()),
        "seconds": report.seconds,
        "fold_scores": list(report.fold_scores),
        **raw,
        "folds": list(pool.fold_numbers),
        "metric": report.metric,
        "greater_is_better": report.greater_is_better,
        "rows": len(loaded.oof.values),
        "model": "ensemble",
        "notes": list(report.notes),
    }


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return float(value) if np.isfinite(value) else None


__all__ = ["AUTO", "Options", "Report", "Values", "make_ensemble"]
