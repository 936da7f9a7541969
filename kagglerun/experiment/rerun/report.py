"""What came of making a run again, in lines for people."""

from __future__ import annotations

from kagglerun.experiment.rerun.reproduce import Reproduction

EQUAL, NOT_EQUAL = "equal", "not equal"
_PARTS = {"history": "curves", "weights": "weights", "oof": "OOF predictions", "test": "test predictions"}


def report_lines(found: Reproduction) -> list[str]:
    """Fold by fold, then EQUAL or NOT_EQUAL as a line of its own, then what differs, by how much, and why."""
    lines = [f"fold {fold.fold}: {'equal' if fold.equal else 'differs'}   {fold.compared}" for fold in found.folds]
    lines.append(EQUAL if found.equal else NOT_EQUAL)
    if not found.equal:
        lines.append(f"first difference: {found.first}")
        for part, largest in found.largest.items():
            lines.append(f"largest difference of the {_PARTS.get(part, part)}: {largest:.3g}")
    for position, cause in enumerate(found.causes):
        lead = "changed since, without effect" if found.equal else "likely cause" if position == 0 else "or"
        lines.append(f"{lead}: {cause}")
    if not found.equal:
        lines.append(f"to be expected here: {found.expectation}")
    lines += [f"note: {note}" for note in found.notes]
    if found.kept is not None:
        lines.append(f"the rerun is in {found.kept}")
    return lines
