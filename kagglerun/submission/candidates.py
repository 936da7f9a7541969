"""Which runs stand for choice, and what is known of each: its score, its reruns, the same config's other seeds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from kagglerun.errors import ConfigError, unknown_name
from kagglerun.experiment.certainty import Evidence
from kagglerun.experiment.runs import RunSummary
from kagglerun.files import sha256_of_json
from kagglerun.workspace import Workspace

_ENSEMBLE, _SINGLE, _STUDY = "ensemble", "single", "study"


@dataclass(frozen=True)
class Among:
    """Of which runs the best is wanted.

    Attributes:
        kind: "ensemble", "single", "study", or None for all of them.
        study: the study's name.
    """

    kind: str | None = None
    study: str | None = None

    @classmethod
    def parse(cls, text: str | None, runs: Sequence[RunSummary]) -> Among:
        """Read "ensemble", "single", "study NAME" or a study's name; see `select_best`.

        Args:
            text: what the user wrote.
            runs: of the competition; they name the studies.

        Raises:
            ConfigError: no study has the name, or several begin so.
        """
        if text is None or text.strip() in (_ENSEMBLE, _SINGLE):
            return cls(text and text.strip())
        word, _, rest = text.strip().replace(":", " ", 1).partition(" ")
        name = rest.strip() if word == _STUDY else text.strip()
        studies = sorted({run.study for run in runs if run.study})
        matches = [one for one in studies if one == name] or [one for one in studies if name and one.startswith(name)]
        if len(matches) == 1:
            return cls(_STUDY, matches[0])
        if matches or not name:
            said = f"several studies begin with {name!r}" if name else "which study is meant is not said"
            raise ConfigError(
                f"{said}; there are: {', '.join(studies) or 'none'}", hint="kagglerun submit best --of NAME"
            )
        raise unknown_name("study", name, [_ENSEMBLE, _SINGLE, *studies], hint="kagglerun runs    (lists them)")

    @property
    def what(self) -> str:
        """In words, for one of them."""
        if self.kind == _STUDY:
            return f"trial of the study {self.study}"
        return {None: "run", _ENSEMBLE: "ensemble", _SINGLE: "run that is no ensemble"}[self.kind]

    @property
    def hint(self) -> str | None:
        """The command that makes one, where it is not the usual one."""
        return "kagglerun ensemble" if self.kind == _ENSEMBLE else None

    def includes(self, workspace: Workspace, run: RunSummary) -> bool:
        """Whether the run is one of them."""
        if self.kind is None:
            return True
        if self.kind == _STUDY:
            return run.study == self.study
        return workspace.run(run.slug, run.run_id).ensemble.is_file() == (self.kind == _ENSEMBLE)


def may_be_chosen(run: RunSummary) -> bool:
    """Whether a run is finished and has what comparing needs."""
    return run.state == "FINISHED" and run.comparable is not None and run.score is not None and math.isfinite(run.score)


def main_group(finished: Sequence[RunSummary]) -> list[RunSummary]:
    """The runs comparable with the newest one.

    Where the newest only repeats an earlier config with another seed, which decides the folds too unless `cv.seed` is
    set, that one's folds count: those that most runs share.

    Args:
        finished: runs that may be chosen, oldest first; at least one.
    """
    newest, recipe = finished[-1], _recipe(finished[-1])
    alike = [run for run in finished if recipe is not None and _recipe(run) == recipe] or [newest]
    sizes = Counter(run.comparable for run in finished)
    folds = max(reversed(alike), key=lambda run: sizes[run.comparable]).comparable
    return [run for run in finished if run.comparable == folds]


def evidence_of(group: Sequence[RunSummary], runs: Sequence[RunSummary]) -> dict[str, Evidence]:
    """What is known of each run of a group: reruns with the same data, folds and metric are of one round.

    Args:
        group: comparable runs, none of them a rerun.
        runs: all runs of the competition, these among them, oldest first.

    Returns:
        Run id to what is known of it.
    """
    reruns = [run for run in runs if run.rerun is not None and may_be_chosen(run)]
    rounds = {
        comparable: number for number, comparable in enumerate(dict.fromkeys(run.comparable for run in reruns), 1)
    }
    repeated: dict[str, dict[int, tuple[float, tuple[float, ...]]]] = {}
    for run in reruns:
        repeated.setdefault(run.original, {})[rounds[run.comparable]] = (run.score or 0.0, _folds(run))
    families = _families([run for run in runs if run.rerun is None and may_be_chosen(run)])
    found = {}
    for run in group:
        name, members = families.get(run.run_id, (None, {}))
        siblings = tuple(score for seeds, score in members.items() if seeds != run.seeds)
        again, recipe = repeated.get(run.run_id, {}), name if siblings else None
        found[run.run_id] = Evidence(run.run_id, run.score or 0.0, _folds(run), again, siblings, recipe)
    return found


def _folds(run: RunSummary) -> tuple[float, ...]:
    return run.fold_scores if all(map(math.isfinite, run.fold_scores)) else ()


def _recipe(run: RunSummary) -> str | None:
    """What a run shares with those that differ from it in nothing but the seed: config, data, metric and hooks."""
    if run.recipe is None:
        return None
    return sha256_of_json([run.recipe, *(run.fingerprint.get(part) for part in ("data", "metric", "hooks"))])


_Members = dict[tuple[int | None, int | None], float]


def _families(runs: Sequence[RunSummary]) -> dict[str, tuple[str, _Members]]:
    """Run id to its family: a name, and the score of each seed in it.

    A run with the seeds and the score of an earlier one is the same run again. One with another score was made by
    other code, and begins a family of its own.
    """
    families: dict[str, list[_Members]] = {}
    found = {}
    for run in runs:
        recipe = _recipe(run)
        if recipe is None:
            continue
        known = families.setdefault(recipe, [])
        score = run.score or 0.0
        number = next((n for n, one in enumerate(known) if one.get(run.seeds, score) == score), len(known))
        if number == len(known):
            known.append({})
        known[number][run.seeds] = score
        found[run.run_id] = (f"{recipe}-{number}", known[number])
    return found
