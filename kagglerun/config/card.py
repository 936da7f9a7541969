"""The card: what is known of a competition, each fact with its evidence.

It lives in competitions/<slug>/competition.yaml. `fetch` fills in what it can prove; a value the user wrote is
never changed.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from kagglerun.config.schema import Section
from kagglerun.errors import UnresolvedCard


class Task(StrEnum):
    """What is predicted for a row."""

    BINARY = "binary"
    """One of two classes; predictions have one column, the probability of `classes[1]`."""
    MULTICLASS = "multiclass"
    """One of several classes; predictions have one probability column a class, in the order of `classes`."""
    MULTILABEL = "multilabel"
    """Several yes/no targets; predictions have one probability column a target."""
    REGRESSION = "regression"
    """One or more numbers; predictions have one value column a target."""
    RANKING = "ranking"
    """An ordered list of items, the best first."""
    SEGMENTATION = "segmentation"
    """Pixels of an image, as run lengths."""
    DETECTION = "detection"
    """Boxes in an image, each with a label and a confidence."""
    TEXT = "text"
    """Free text."""


SubmissionLayout = Literal["columns", "wide", "long", "label_list", "ranked_list", "run_lengths", "boxes", "text"]
"""What a submission's cells hold.

columns: one column a target. wide: one probability column a class of one target. long: one row for each pair of a
row and a class, target, pixel or point in time, its id composed of both. label_list: the labels of a row, separated
as in the sample. ranked_list: items of a row, the best first. run_lengths: a mask, or masks, as pairs of start and
length. boxes: label, confidence and corners of each box. text: free text.
"""


class CompetitionFacts(Section):
    """What the competition's server says about it; a source of the card."""

    slug: str
    """The competition's slug."""
    url: str | None = None
    """Its page."""
    title: str | None = None
    """Its title."""
    evaluation_metric: str | None = None
    """Kaggle's name of the metric."""
    max_daily_submissions: int | None = None
    """Submissions a day (UTC)."""
    deadline: str | None = None
    """ISO 8601, UTC."""
    notebooks_only: bool = False
    """Only notebooks may be submitted (`is_kernels_submissions_only`)."""
    submissions_disabled: bool = False
    """Nothing may be submitted any more."""
    user_has_entered: bool = False
    """The user accepted the rules."""
    awards_points: bool = False
    """It counts for Kaggle's ranking, and gives medals."""
    pages: dict[str, str] = Field(default_factory=dict)
    """Name of a page (`evaluation`, `description`, `data-description` ...) to its plain text; empty when refused."""
    leaderboard_first: float | None = None
    """Score of the first place; None when there is none, or it was not shown."""
    leaderboard_last: float | None = None
    """A score below it: the last one of the leaderboard's first page."""


class CardFiles(Section):
    """Files of the competition, relative to its data/ folder."""

    train_table: str | None = None
    """Table with the training rows and their targets."""
    train_labels: str | None = None
    """Table with the targets, where these are not in the training table; joined to it by the ids."""
    test_table: str | None = None
    """Table with the test rows; none when the sample submission alone lists them."""
    sample_submission: str | None = None
    """Gives the submission's rows, order and columns."""
    train_files: str | None = None
    """Pattern from a row to its file, e.g. `train/{id}.png`. A place with a target's name (`train/{breed}/{id}.jpg`)
    reads the label from the file's name; without a training table the files are the training rows."""
    test_files: str | None = None
    """The same for test rows."""


class CardLimits(Section):
    """What the competition allows."""

    max_daily_submissions: int | None = None
    """Submissions a day (UTC)."""
    deadline: str | None = None
    """ISO 8601, UTC."""
    notebooks_only: bool = False
    """Only notebooks may be submitted."""
    submissions_disabled: bool = False
    """Nothing may be submitted any more."""


class Leak(Section):
    """A hint that columns tell more about the target than they will on rows that are new."""

    columns: tuple[str, ...]
    """Columns of the training table."""
    because: str
    """What was seen, in one sentence."""


class Evidence(Section):
    """Why a field of the card holds what it holds."""

    value: Any = None
    """The value that was inferred; when the card holds another one, the user wrote it."""
    because: str
    """The reason in one sentence, naming the source."""


class Unresolved(Section):
    """A field that could not be inferred."""

    field: str
    """Name of the card's field."""
    because: str
    """What is missing, or which rules disagree."""
    fill_in: str
    """The line to write into the card."""


class Hint(Section):
    """Something plausible but not certain; it changes nothing until the user writes the line."""

    field: str
    """Name of the card's field that it is about."""
    because: str
    """What was seen, in one sentence."""
    fill_in: str
    """The line that would follow it."""


class Card(Section):
    """What is known of a competition."""

    slug: str
    """The competition's slug."""
    source: Literal["kaggle", "practice"] = "kaggle"
    """Where it was fetched from and where submissions go."""
    title: str | None = None
    """The competition's title."""
    ids: tuple[str, ...] = ()
    """Columns that name a row of the submission."""
    targets: tuple[str, ...] = ()
    """Columns of the training table that are predicted."""
    submission_columns: tuple[str, ...] = ()
    """Columns of the sample submission that are predicted, in its order; class names for wide probabilities."""
    submission_layout: SubmissionLayout | None = None
    """What the submission's cells hold; see `SubmissionLayout`."""
    id_format: str | None = None
    """How the ids are composed, e.g. `{image}_{row}_{col}`; None for ids that are one thing."""
    task: Task | None = None
    """What is predicted for a row."""
    classes: tuple[str | int | float | bool, ...] | None = None
    """Class labels as the training table has them, in the order of the prediction columns."""
    modality: Literal["table", "image", "text", "audio", "video"] | None = None
    """What a row is."""
    metric: str | None = None
    """Our name of the metric; see `kagglerun.metrics`."""
    metric_parameters: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of the metric."""
    greater_is_better: bool | None = None
    """Direction of the metric."""
    group: str | None = None
    """Column whose values must not be in both training and validation rows."""
    time: str | None = None
    """Column that orders rows in time."""
    leaks: tuple[Leak, ...] = ()
    """Hints of leaks, for the reader; nothing is left out because of them."""
    files: CardFiles = CardFiles()
    limits: CardLimits = CardLimits()
    evidence: dict[str, Evidence] = Field(default_factory=dict)
    """Field name to the reason for its value."""
    unresolved: tuple[Unresolved, ...] = ()
    """What only the user can fill in."""
    hints: tuple[Hint, ...] = ()
    """What the user may want to look at; training does not wait for it."""

    @property
    def ref(self) -> str:
        """The competition as the user names it: `titanic` or `practice/digits`."""
        return f"practice/{self.slug}" if self.source == "practice" else self.slug

    @property
    def learnt_task(self) -> Task | None:
        """What a model learns: a ranking of known classes is learnt as their probabilities."""
        ranks_classes = self.task is Task.RANKING and bool(self.classes) and len(self.targets) == 1
        return Task.MULTICLASS if ranks_classes else self.task

    def require_resolved(self, path: Path) -> None:
        """Stop and ask when something needed for training is not known.

        Args:
            path: the card's file, for the message.

        Raises:
            UnresolvedCard: names the first open field and the line to fill in.
        """
        if self.unresolved:
            first = self.unresolved[0]
            others = f" (and {len(self.unresolved) - 1} more)" if len(self.unresolved) > 1 else ""
            raise UnresolvedCard(
                f"{self.slug}: {first.field} is not known: {first.because}{others}",
                hint=f"write `{first.fill_in}` into {path}, then run the same command again",
            )
