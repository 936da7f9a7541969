"""The pages of a competition, as Markdown."""

from __future__ import annotations

from kagglerun.practice.competitions import Definition, Hosted
from kagglerun.practice.wire import Page


def pages_of(hosted: Hosted) -> tuple[Page, ...]:
    """Description, evaluation, rules and data of a competition, and whatever stands in its folder of pages."""
    pages = _made(hosted.definition)
    if hosted.paths.pages.is_dir():
        pages |= {path.stem: path.read_text("utf-8") for path in sorted(hosted.paths.pages.glob("*.md"))}
    return tuple(Page(name=name, content=content) for name, content in pages.items())


def _made(definition: Definition) -> dict[str, str]:
    pages = _always(definition)
    if definition.notebooks_only:
        pages["code-requirements"] = (
            "This is a code competition: submissions are made through notebooks, with internet access disabled, in at "
            f"most 9 hours. `{definition.sample_submission}` and the test files show a part of the test rows; a "
            "submitted notebook is run again with all of them. It writes `submission.csv`.\n"
        )
    return pages


def _always(definition: Definition) -> dict[str, str]:
    train = "" if definition.train_rows is None else f"{definition.train_rows} training rows and "
    return {
        "description": f"# {definition.title}\n\n{definition.description}\n",
        "evaluation": _evaluation(definition),
        "rules": f"A practice competition on this machine. {definition.max_daily_submissions} submissions a day "
        "(UTC); one that cannot be scored does not count.\n",
        "data-description": f"{train}{definition.test_rows} test rows; {definition.public_rows} of them are public.\n",
    }


def _evaluation(definition: Definition) -> str:
    direction = "higher" if definition.greater_is_better else "lower"
    columns = ", ".join(f"`{name}`" for name in (*definition.ids, *definition.submission_columns))
    parameters = ", ".join(f"{name} = {value}" for name, value in definition.metric_parameters.items())
    return (
        f"Submissions are scored by {definition.evaluation_metric}{f' with {parameters}' if parameters else ''}; "
        f"{direction} is better. `{definition.sample_submission}` shows the shape: {definition.test_rows} rows, "
        f"columns {columns}.\n"
    )
