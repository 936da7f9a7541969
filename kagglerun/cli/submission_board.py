"""What `kagglerun scores` and `kagglerun final` share: options, and what they ask the server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from kagglerun.cli.console import err
from kagglerun.workspace import Workspace

if TYPE_CHECKING:
    from kagglerun.config.card import Card
    from kagglerun.kaggle_api.records import SubmissionRecord

CompetitionArgument = Annotated[
    str | None, typer.Argument(help="The competition, e.g. titanic or practice/digits; by default the current one.")
]
PublicShareOption = Annotated[
    float | None, typer.Option("--public-share", help="Share of the test rows behind the public score, e.g. 0.3.")
]
OfflineOption = Annotated[
    bool, typer.Option("--offline", help="Do not ask the server: what this workspace sent and remembers.")
]
AsJsonOption = Annotated[bool, typer.Option("--json", help="As one JSON object.")]


@dataclass(frozen=True)
class Asked:
    """What is known of a competition's submissions.

    Attributes:
        card: the competition.
        listed: the server's list; None where it was not asked, or did not answer.
        pages: name of a page of the competition to its text.
    """

    card: Card
    listed: tuple[SubmissionRecord, ...] | None
    pages: Mapping[str, str]


def ask(workspace: Workspace, competition: str | None, offline: bool) -> Asked:
    """Ask the server for the submissions; where it cannot be reached, what this workspace remembers has to do.

    Raises:
        ConfigError: no competition is meant, or its data was not fetched.
        KaggleError: the server refuses.
    """
    from kagglerun.cli.connect import client_for, target
    from kagglerun.data.understand import current_card
    from kagglerun.errors import ConnectionFailed, CredentialsMissing

    about = target(workspace, competition)
    card = about.card or current_card(about.paths)
    if offline:
        return Asked(card, None, {})
    client = client_for(workspace, card.source)
    try:
        return Asked(card, tuple(client.submissions(card.slug)), client.facts(card.slug).pages)
    except (ConnectionFailed, CredentialsMissing) as error:
        err.print(f"[bold yellow]warning:[/] {escape(error.message)}; this is what the workspace remembers")
        return Asked(card, None, {})
