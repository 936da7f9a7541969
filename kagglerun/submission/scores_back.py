"""What comes back from a competition, to where it is looked for: the ledger, the run's folder and its tracking."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kagglerun.config.card import Card
from kagglerun.errors import KaggleError
from kagglerun.files import disk_full_named
from kagglerun.kaggle_api.client import KaggleClient
from kagglerun.kaggle_api.records import SubmissionRecord, SubmissionState
from kagglerun.kaggle_api.standing import Leaderboard, Standing, read_leaderboard, standing_of
from kagglerun.kaggle_api.submit import attempt_of, run_of
from kagglerun.submission.ledger import LedgerEntry, add_entry, read_ledger
from kagglerun.tracking import add_values
from kagglerun.workspace import RunPaths, Workspace


@dataclass(frozen=True)
class Synced:
    """A submission whose state was not known here before.

    Attributes:
        record: as the server has it.
        run_id: the run that it came from; None for a file of the user's.
        standing: where its score stands; None without a score or a leaderboard.
        from_elsewhere: it was sent from another workspace.
    """

    record: SubmissionRecord
    run_id: str | None
    standing: Standing | None
    from_elsewhere: bool


def write_down(
    workspace: Workspace,
    run: RunPaths | None,
    entry: LedgerEntry,
    record: SubmissionRecord,
    standing: Standing | None = None,
) -> LedgerEntry:
    """Write what is known of a submission into the ledger and into the run's own list, once.

    Returns:
        The entry that tells it.

    Raises:
        DiskFull: there was no room.
    """
    after = with_standing(entry.after(record), standing)
    for path in (workspace.ledger, *((run.submissions,) if run else ())):
        about = [known for known in read_ledger(path) if known.attempt == after.attempt]
        if not about or not _tells_the_same(about[-1], after):
            add_entry(path, after)
    return after


def track(workspace: Workspace, run: RunPaths, record: SubmissionRecord, standing: Standing | None) -> None:
    """Give the scores and the place to the run's tracking: its journal first, then MLflow.

    Raises:
        DiskFull: the journal could not be written.
    """
    given: dict[str, float | None] = {"public_score": record.public_score, "private_score": record.private_score}
    tags = {"submission": str(record.ref)}
    if standing is not None:
        given |= {f"{standing.board}_rank": standing.rank, "teams": standing.teams}
        tags |= {"medal": standing.medal} if standing.medal else {}
    with disk_full_named(run.journal):
        add_values(workspace, run, {name: value for name, value in given.items() if value is not None}, tags)


def with_standing(entry: LedgerEntry, standing: Standing | None) -> LedgerEntry:
    """The entry with where its score stands; an earlier standing stays where none is known."""
    if standing is None:
        return entry
    return replace(entry, rank=standing.rank, teams=standing.teams, medal=standing.medal)


def leaderboard_if_shown(client: KaggleClient, slug: str) -> Leaderboard | None:
    """The competition's leaderboard; None when the server does not give it."""
    try:
        return read_leaderboard(client.leaderboard_archive(slug))
    except KaggleError:
        return None


def sync_scores(workspace: Workspace, client: KaggleClient, card: Card) -> tuple[Synced, ...]:
    """Bring ledger, runs and tracking up to what the server's list says, also of what was sent from elsewhere.

    Args:
        workspace: where to write.
        client: where the competition is.
        card: the competition.

    Returns:
        What was new, the oldest first.

    Raises:
        KaggleError: the list could not be read.
        DiskFull: there was no room.
    """
    facts = client.facts(card.slug, brief=True)
    listed = client.submissions(card.slug)
    known = [entry for entry in read_ledger(workspace.ledger) if entry.competition == card.ref]
    leaderboard = leaderboard_if_shown(client, card.slug) if listed else None
    found = []
    for record in reversed(listed):
        if attempt_of(record.description) is None:
            continue  # sent by other means: there is no run that it could be told to
        standing = _standing(leaderboard, record, bool(card.greater_is_better), facts.awards_points)
        if (new := _sync_one(workspace, card, record, standing, _about(known, record))) is not None:
            found.append(new)
    return tuple(found)


def _about(known: list[LedgerEntry], record: SubmissionRecord) -> LedgerEntry | None:
    """The ledger's last line about a submission."""
    attempt = attempt_of(record.description)
    found = [entry for entry in known if entry.attempt == attempt]
    return found[-1] if found else None


def _sync_one(
    workspace: Workspace, card: Card, record: SubmissionRecord, standing: Standing | None, last: LedgerEntry | None
) -> Synced | None:
    """Write down what is new about one submission; None when nothing is."""
    entry = last or _entry_of(card, record)
    run = _run_here(workspace, card, entry.run_id)
    told = entry.after(record)
    missing = run is not None and not any(_tells_the_same(one, told) for one in read_ledger(run.submissions))
    ranked = standing is None or entry.rank is not None  # places move from day to day; the one of its day is kept
    if last is not None and _tells_the_same(last, told) and ranked and not missing:
        return None
    write_down(workspace, run, entry, record, standing)
    if run is not None and record.state is SubmissionState.COMPLETE:
        track(workspace, run, record, standing)
    return Synced(record, entry.run_id, standing, from_elsewhere=last is None)


def _entry_of(card: Card, record: SubmissionRecord) -> LedgerEntry:
    """The entry for a submission that was sent from elsewhere; of its file the start of the digest is known."""
    mark = record.description.rpartition("sha256:")[2][:16]
    return LedgerEntry(card.ref, mark, record.file_name, run_of(record.description), record.description, "sent")


def _run_here(workspace: Workspace, card: Card, run_id: str | None) -> RunPaths | None:
    if run_id is None:
        return None
    run = workspace.run(card.slug, run_id)
    return run if run.config.is_file() else None


def _standing(
    leaderboard: Leaderboard | None, record: SubmissionRecord, greater_is_better: bool, awarded: bool
) -> Standing | None:
    if leaderboard is None or record.state is not SubmissionState.COMPLETE:
        return None
    return standing_of(leaderboard, record, greater_is_better, awarded)


def _tells_the_same(one: LedgerEntry, other: LedgerEntry) -> bool:
    """Whether two entries differ in their time at most."""
    return replace(one, time="") == replace(other, time="")
