"""What of a workspace, or of a target, is to be carried."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase

from kagglerun.experiment.runs import RunSummary, list_runs
from kagglerun.experiment.sync.items import (
    Item,
    Kind,
    has_ended,
    has_weights,
    run_item,
    study_item,
)
from kagglerun.workspace import Workspace


class Weights(StrEnum):
    """Whose weights are carried."""

    BEST = "best"
    """Those of the best run of each study, and of each group of runs that can be compared."""
    ALL = "all"
    NONE = "none"


@dataclass(frozen=True)
class Selection:
    """What is to be carried.

    Attributes:
        runs: whether runs are, and what belongs to them.
        studies: whether studies are.
        weights: whose weights are; of none where runs are not.
        competition: slug of the only competition; None for all.
        only: shell pattern that the names of runs and studies must match; None for all.
    """

    runs: bool = True
    studies: bool = True
    weights: Weights = Weights.BEST
    competition: str | None = None
    only: str | None = None

    def kinds(self) -> list[Kind]:
        """The kinds that are carried, in the order in which that is best done."""
        wanted = {
            Kind.COMPETITION: self.runs or self.studies,
            Kind.RUN: self.runs,
            Kind.STUDY: self.studies,
            Kind.WEIGHTS: self.runs and self.weights is not Weights.NONE,
        }
        return [kind for kind, is_wanted in wanted.items() if is_wanted]

    def allows(self, item: Item) -> bool:
        """Whether names and competition are asked for."""
        if self.competition is not None and item.slug != self.competition:
            return False
        return self.only is None or item.kind is Kind.COMPETITION or fnmatchcase(item.name, self.only)


@dataclass(frozen=True)
class Here:
    """What of a workspace is to be carried.

    Attributes:
        items: each once.
        unfinished: ids of runs that have not ended, and so stay here.
    """

    items: tuple[Item, ...]
    unfinished: tuple[str, ...] = field(default=())


def items_here(workspace: Workspace, selection: Selection) -> Here:
    """The items of a workspace that a selection asks for."""
    found: dict[Kind, list[Item]] = {kind: [] for kind in selection.kinds()}
    unfinished = []
    if Kind.RUN in found:
        for run in workspace.all_runs(selection.competition):
            if not selection.allows(run_item(run)):
                continue
            if has_ended(run):
                found[Kind.RUN].append(run_item(run))
            else:
                unfinished.append(run.run_id)
    if Kind.WEIGHTS in found:
        found[Kind.WEIGHTS] = _weights(workspace, selection, found[Kind.RUN])
    if Kind.STUDY in found:
        studies = [study_item(study) for study in workspace.all_studies()]
        found[Kind.STUDY] = [item for item in studies if selection.allows(item)]
    if Kind.COMPETITION in found:
        slugs = sorted({item.slug for items in found.values() for item in items})
        cards = [Item(Kind.COMPETITION, slug, slug) for slug in slugs if workspace.competition(slug).card.is_file()]
        found[Kind.COMPETITION] = cards
    return Here(tuple(item for items in found.values() for item in items), tuple(unfinished))


def _weights(workspace: Workspace, selection: Selection, runs: Iterable[Item]) -> list[Item]:
    wanted = {(item.slug, item.name) for item in runs}
    if selection.weights is Weights.BEST:
        wanted &= best_runs(workspace, selection.competition)
    chosen = [run for run in workspace.all_runs(selection.competition) if (run.slug, run.run_id) in wanted]
    return [run_item(run, Kind.WEIGHTS) for run in chosen if has_weights(run)]


def best_runs(workspace: Workspace, slug: str | None = None) -> set[tuple[str, str]]:
    """Competition and id of the best run of each study, and of each group of runs that can be compared, by score."""
    best: dict[tuple[str, ...], RunSummary] = {}
    for run in list_runs(workspace, slug):
        if run.state != "FINISHED" or run.score is None or not math.isfinite(run.score) or run.rerun is not None:
            continue
        for group in (("study", run.slug, run.study or ""), ("comparable", run.slug, str(run.comparable))):
            before = best.get(group)
            if (group[0] != "study" or run.study) and (before is None or _is_better(run, before)):
                best[group] = run
    return {(run.slug, run.run_id) for run in best.values()}


def _is_better(run: RunSummary, other: RunSummary) -> bool:
    sign = 1.0 if run.greater_is_better else -1.0
    return sign * (run.score or 0.0) > sign * (other.score or 0.0)
