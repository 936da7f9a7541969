"""The pages of a competition, as Markdown."""

from __future__ import annotations

from kagglerun.practice.competitions import Definition
from kagglerun.practice.wire import Page


def pages_of(definition: Definition) -> tuple[Page, ...]:
    """Description, evaluation, rules and data of a competition."""
    direction = "higher" if definition.greater_is_better else "lower"
    columns = ", ".join(f"`{name}`" for name in (*definition.ids, *definition.submission_columns))
    train = "" if definition.train_rows is None else f"{definition.train_rows} training rows and "
    return (
        Page(name="description", content=f"# {definition.title}\n\n{definition.description}\n"),
        Page(
            name="evaluation",
            content=f"Submissions are scored by {definition.evaluation_metric}; {direction} is better. "
            f"`{definition.sample_submission}` shows the shape: {definition.test_rows} rows, columns {columns}.\n",
        ),
        Page(
            name="rules",
            content=f"A practice competition on this machine. {definition.max_daily_submissions} submissions a day "
            "(UTC); one that cannot be scored does not count.\n",
        ),
        Page(
            name="data-description",
            content=f"{train}{definition.test_rows} test rows; {definition.public_rows} of them are public.\n",
        ),
    )
