"""`kagglerun inspect`: what is known of a competition, and why."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kagglerun.cli.console import out
from kagglerun.workspace import Workspace

if TYPE_CHECKING:
    from kagglerun.config.card import Card


def inspect(
    competition: Annotated[
        str | None, typer.Argument(help="The competition, e.g. titanic or practice/digits; by default the current one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the card as JSON.")] = False,
) -> None:
    """Show what is known of a competition, each fact with its evidence.

    Ends with exit code 2 when something must be filled in, naming the line to write.
    """
    from kagglerun.data.understand import current_card

    workspace = Workspace.find()
    paths = workspace.competition(workspace.resolve_competition(competition))
    card = current_card(paths)
    if as_json:
        out.print(json.dumps(card.model_dump(mode="json"), indent=2), markup=False)
    else:
        _print_card(card)
        out.print(f"card: {paths.card}", markup=False)
    card.require_resolved(paths.card)


def _print_card(card: Card) -> None:
    from rich.table import Table
    from rich.text import Text

    out.print(f"{card.ref}{': ' + card.title if card.title else ''}", markup=False)
    table = Table("field", "value", "because", box=None, pad_edge=False)
    for field, value in _facts(card):
        table.add_row(field, Text(_shown(value)), Text(_because(card, field, value)))
    for gap in card.unresolved:
        table.add_row(Text(gap.field, style="bold red"), Text("?"), Text(f"{gap.because}; write `{gap.fill_in}`"))
    out.print(table)


def _facts(card: Card) -> list[tuple[str, Any]]:
    """Fields that hold something, sections by dotted name."""
    skipped = {"slug", "title", "evidence", "unresolved"}
    found: list[tuple[str, Any]] = []
    for name, value in card.model_dump(mode="json", exclude_none=True).items():
        if name in skipped or (isinstance(value, list | dict) and not value):
            continue
        inner = value.items() if name in ("files", "limits") else [(None, value)]
        found += [(name if key is None else f"{name}.{key}", item) for key, item in inner if item is not False]
    return found


def _because(card: Card, field: str, value: Any) -> str:
    """The evidence; a value that differs from the inferred one was written by the user."""
    evidence = card.evidence.get(field) or card.evidence.get(field.rpartition(".")[2])
    if evidence is None:
        return ""
    if evidence.value is not None and _shown(_plain(evidence.value)) != _shown(value):
        return f"written by you (found: {_shown(evidence.value)}, {evidence.because})"
    return evidence.because


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        text = ", ".join(map(str, value[:12]))
        return f"{text}, ... ({len(value)} in all)" if len(value) > 12 else text
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
