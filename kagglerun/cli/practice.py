"""`kagglerun practice`: a local Kaggle to practise on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from kagglerun.cli.console import out
from kagglerun.cli.practice_server import add_server_commands

if TYPE_CHECKING:
    from rich.table import Table

    from kagglerun.practice.competitions import Definition
    from kagglerun.practice.paths import PracticePaths
    from kagglerun.workspace import Workspace

practice = typer.Typer(
    name="practice",
    help="A local Kaggle: competitions, submissions and scores on this machine, without an account.",
    no_args_is_help=True,
)

Slug = Annotated[str, typer.Argument(help="The competition's slug, e.g. digits or practice/digits.")]
Metric = Annotated[
    str,
    typer.Option(
        "--metric",
        help="Our name of the metric or Kaggle's, e.g. auc; a dotted path; or FILE.py:FUNCTION, which is copied.",
    ),
]
Parameters = Annotated[
    list[str] | None,
    typer.Option("--metric-parameter", metavar="NAME=VALUE", help="Parameter of the metric, e.g. k=3; may repeat."),
]
Direction = Annotated[
    bool | None,
    typer.Option("--greater-is-better/--lower-is-better", help="Direction of a metric of your own that does not tell."),
]
Title = Annotated[str | None, typer.Option("--title", help="Its title; by default made from the slug.")]
Daily = Annotated[int, typer.Option("--daily", min=1, help="Submissions a day (UTC).")]
Rules = Annotated[bool, typer.Option("--rules", help="Ask for the rules to be accepted before files are given.")]
Seed = Annotated[int, typer.Option("--seed", help="Decides which rows are chosen.")]


@practice.command("list")
def list_() -> None:
    """List the competitions: task, metric, rows, submissions left today (UTC), best private score and its rank.

    Those marked with * are built in and made on first use. Other commands call them practice/SLUG.
    """
    from kagglerun.practice.competitions import Catalogue
    from kagglerun.practice.overview import overview

    paths = _paths()
    table = _table("competition", "task", "metric", "train", "test", "today", "best", "rank")
    for line in overview(paths, Catalogue(paths)):
        table.add_row(
            line.slug + ("*" if line.is_built_in else ""),
            line.task,
            line.metric,
            "-" if line.train_rows is None else str(line.train_rows),
            str(line.test_rows),
            f"{line.left_today}/{line.daily}",
            line.best,
            line.rank,
        )
    out.print(table)


add_server_commands(practice)


@practice.command()
def create(
    slug: Slug,
    train: Annotated[Path, typer.Option("--train", help="CSV with all rows and their targets.")],
    target: Annotated[list[str], typer.Option("--target", help="Column to predict; may be repeated.")],
    metric: Metric,
    metric_parameter: Parameters = None,
    greater_is_better: Direction = None,
    id_: Annotated[str | None, typer.Option("--id", help="Column that names a row; without it ids are made.")] = None,
    images: Annotated[
        Path | None, typer.Option("--images", help="Folder with the images; the id column holds their file names.")
    ] = None,
    test_share: Annotated[float, typer.Option("--test-share", help="Share of the rows that become test rows.")] = 0.3,
    daily: Daily = 10,
    seed: Seed = 0,
    title: Title = None,
    rules: Rules = False,
    notebooks_only: Annotated[
        bool,
        typer.Option(
            "--notebooks-only", help="A code competition: it takes notebooks and hides most of its test rows."
        ),
    ] = False,
) -> None:
    """Make a competition from a labelled table: part of the rows lose their targets and become the test rows.

    For example: kagglerun practice create titanic --train train.csv --target Survived --metric accuracy
    """
    from kagglerun.practice.create import TableCompetition, create
    from kagglerun.practice.labelled import find_images, read_labelled_table
    from kagglerun.practice.measure import find_measure, read_parameters

    slug = _slug(slug)
    scored_by = find_measure(metric, greater_is_better, makes_sample=True)
    table = read_labelled_table(train)
    found = None if images is None else find_images(images, table, id_)
    source = TableCompetition(
        slug=slug,
        title=title or _title(slug),
        description=f"Made from {train.name}.",
        table=table,
        targets=tuple(target),
        metric=scored_by.metric,
        parameters=read_parameters(metric_parameter or []),
        code=scored_by.code,
        id_column=id_,
        images=found,
        test_share=test_share,
        daily=daily,
        rules_required=rules,
        notebooks_only=notebooks_only,
        seed=seed,
    )
    _print_hosted(create(_paths(), source))


@practice.command()
def add(
    slug: Slug,
    bundle: Annotated[
        Path, typer.Option("--bundle", help="The competition's files as one zip, as Kaggle serves them.")
    ],
    solution: Annotated[
        Path, typer.Option("--solution", help="CSV with the sample submission's ids, the truths, and Usage if known.")
    ],
    metric: Metric,
    metric_parameter: Parameters = None,
    greater_is_better: Direction = None,
    leaderboard: Annotated[
        Path | None, typer.Option("--leaderboard", help="CSV with the final scores of other teams (column Score).")
    ] = None,
    public_leaderboard: Annotated[
        Path | None, typer.Option("--public-leaderboard", help="The same with their public scores.")
    ] = None,
    sample: Annotated[str | None, typer.Option("--sample", help="Name of the sample submission in the zip.")] = None,
    id_: Annotated[
        list[str] | None, typer.Option("--id", help="Column that names a row; by default the sample's first.")
    ] = None,
    daily: Daily = 10,
    seed: Seed = 0,
    title: Title = None,
    rules: Rules = False,
) -> None:
    """Host a competition's own bundle with known truth, and rank submissions on its leaderboard.

    For example: kagglerun practice add titanic --bundle titanic.zip --solution truth.csv --metric accuracy
    """
    from kagglerun.practice.hosted import BundleCompetition, add
    from kagglerun.practice.measure import find_measure, read_parameters

    slug = _slug(slug)
    scored_by = find_measure(metric, greater_is_better)
    source = BundleCompetition(
        slug=slug,
        title=title or _title(slug),
        description=f"Hosted from {bundle.name}.",
        bundle=bundle,
        solution=solution,
        metric=scored_by.metric,
        parameters=read_parameters(metric_parameter or []),
        code=scored_by.code,
        sample=sample,
        ids=tuple(id_) if id_ else None,
        leaderboard=leaderboard,
        public_leaderboard=public_leaderboard,
        daily=daily,
        rules_required=rules,
        seed=seed,
    )
    _print_hosted(add(_paths(), source))


@practice.command()
def show(slug: Slug) -> None:
    """Show a competition and its submissions: scores on the public and private rows, and ranks."""
    from kagglerun.practice.competitions import Catalogue
    from kagglerun.practice.overview import results

    paths = _paths()
    hosted = Catalogue(paths).get(_slug(slug))
    _print_facts(hosted.definition)
    found = results(paths, hosted)
    if not found:
        out.print("no submissions yet")
        return
    table = _table("no.", "time (UTC)", "status", "public", "private", "rank", "file", "message")
    for line in found:
        scores = (line.public, line.private, line.rank)
        table.add_row(str(line.ref), line.time, line.status, *scores, escape(line.file_name), escape(line.message))
    out.print(table)
    for line in found:
        if line.error:
            out.print(f"  {line.ref}: {escape(line.error)}")


@practice.command()
def accept(slug: Slug) -> None:
    """Accept the rules of a competition made with `--rules`, as one does on Kaggle's page."""
    from datetime import UTC, datetime

    from kagglerun.practice.competitions import Catalogue
    from kagglerun.practice.state import Store

    paths = _paths()
    definition = Catalogue(paths).get(_slug(slug)).definition
    Store(paths.database).accept_rules(definition.slug, datetime.now(UTC))
    out.print(f"the rules of practice/{definition.slug} are accepted")


@practice.command()
def reset(slug: Slug) -> None:
    """Forget a competition's submissions, so that today's allowance is whole again. Its files stay."""
    from kagglerun.practice.competitions import Catalogue
    from kagglerun.practice.state import forget_submissions

    paths = _paths()
    definition = Catalogue(paths).get(_slug(slug)).definition
    count = forget_submissions(paths, definition.slug)
    out.print(f"practice/{definition.slug}: {count} submissions forgotten")


@practice.command()
def remove(slug: Slug) -> None:
    """Remove a competition's files and submissions. A built-in one is made again when it is next asked for."""
    from kagglerun.practice.competitions import remove_competition
    from kagglerun.practice.state import forget_submissions

    paths = _paths()
    name = _slug(slug)
    remove_competition(paths, name)
    forget_submissions(paths, name)
    out.print(f"practice/{name} removed")


def _table(*names: str) -> Table:
    from rich.table import Column, Table

    return Table(*(Column(name, no_wrap=True) for name in names), box=None, pad_edge=False, header_style="bold")


def _workspace() -> Workspace:
    from kagglerun.workspace import Workspace

    return Workspace.find()


def _paths() -> PracticePaths:
    from kagglerun.practice.paths import PracticePaths

    return PracticePaths(_workspace().practice)


def _slug(name: str) -> str:
    """`practice/digits` and `digits` are the same here."""
    return name.removeprefix("practice/")


def _title(slug: str) -> str:
    return slug.replace("-", " ").capitalize()


def _print_facts(definition: Definition) -> None:
    direction = "higher" if definition.greater_is_better else "lower"
    train = "" if definition.train_rows is None else f"{definition.train_rows} train rows, "
    out.print(f"[bold]practice/{definition.slug}[/]  {escape(definition.title)}")
    out.print(f"  {definition.task}, scored by {definition.evaluation_metric} ({direction} is better)")
    out.print(f"  {train}{definition.test_rows} test rows, {definition.public_rows} of them public")
    if definition.notebooks_only:
        out.print("  takes notebooks only; they are run again with the hidden test rows")
    out.print(f"  submission columns: {escape(', '.join((*definition.ids, *definition.submission_columns)))}")


def _print_hosted(definition: Definition) -> None:
    _print_facts(definition)
    if definition.rules_required:
        out.print(f"  rules: kagglerun practice accept {definition.slug}")
    out.print(f"[bold]  →[/] kagglerun fetch practice/{definition.slug}")
