"""`kagglerun package`: a run made ready for a competition that takes notebooks only, and rehearsed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kagglerun.cli.console import out
from kagglerun.workspace import RunPaths, Workspace

if TYPE_CHECKING:
    from kagglerun.code_competition.judge import VariantResult
    from kagglerun.code_competition.package import Package
    from kagglerun.code_competition.rehearse import Rehearsal, RehearsalOptions


_Packages = Annotated[
    str,
    typer.Option(
        "--packages",
        help="What runs there: platform (what Kaggle's image has; wheels only for what it lacks), locked (every "
        "version as here), keep-torch (all but torch as here).",
    ),
]
_ImagePackages = Annotated[
    Path | None,
    typer.Option(
        "--image-packages", metavar="FILE", help="What `pip freeze` says in a notebook there, where it changed."
    ),
]
_Environment = Annotated[
    str,
    typer.Option(
        "--environment",
        help="What it is rehearsed in: here (Kaggle's packages in this machine's versions, at once), image (in "
        "Kaggle's own, downloaded once).",
    ),
]
_HiddenRows = Annotated[
    int | None, typer.Option("--hidden-rows", min=1, help="Size of the hidden test set, for the forecast of the time.")
]


def package(
    run: Annotated[str, typer.Argument(metavar="best|RUN", help="The best run, or a run's id; ensembles too.")],
    competition: Annotated[
        str | None, typer.Option("--competition", "-c", help="For best: the competition; by default the current one.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FOLDER", help="Where to; by default in the workspace.")
    ] = None,
    gpu: Annotated[
        str | None, typer.Option("--gpu", help="T4, P100, L4, A100 or none; by default T4, none for trees.")
    ] = None,
    hours: Annotated[float, typer.Option("--hours", min=0.0, help="The competition's limit for a notebook.")] = 9.0,
    memory_gb: Annotated[
        float, typer.Option("--memory-gb", min=0.1, help="Memory of a notebook there, in 10^9 bytes.")
    ] = 29.0,
    packages: _Packages = "platform",
    extra: Annotated[
        list[str] | None, typer.Option("--with", metavar="REQUIREMENT", help="A further package, e.g. 'polars>=1.0'.")
    ] = None,
    image_packages: _ImagePackages = None,
    rehearse: Annotated[
        bool, typer.Option("--rehearse/--no-rehearse", help="Run the notebook here as it will run there.")
    ] = True,
    environment: _Environment = "here",
    hidden_rows: _HiddenRows = None,
) -> None:
    """Make of a run what a code competition takes: weights, wheels and an inference notebook without internet.

    It is then rehearsed: in a fresh environment, without a network, inputs read-only, within the limits of time and
    memory. The file for the public test set must be the one that `kagglerun submit` would send, byte for byte; test
    sets of other sizes, with unseen values and a broken image must get a valid file too.
    """
    from kagglerun.code_competition.package import PackageOptions, make_package
    from kagglerun.code_competition.rehearse import RehearsalOptions

    workspace = Workspace.find()
    found = _find(workspace, run, competition)
    options = PackageOptions(
        packages, gpu, hours, memory_gb, image_packages, extra=tuple(extra or ()), user=_user(), out=output
    )
    made = make_package(workspace, found, options, tell=lambda line: out.print(line, markup=False))
    _show(made, shipped=image_packages is None)
    if rehearse:
        how = RehearsalOptions(environment=environment, image_packages=image_packages, hidden_rows=hidden_rows)
        _rehearse(workspace, made, how)
    out.print(f"next: kagglerun submit {found.run_id}", markup=False)


def _find(workspace: Workspace, what: str, competition: str | None) -> RunPaths:
    if what != "best":
        return workspace.find_run(what)
    from kagglerun.submission.select import select_best

    chosen = select_best(workspace, workspace.resolve_competition(competition)).run
    out.print(f"best: run {chosen.run_id} ({chosen.model})", markup=False)
    return workspace.run(chosen.slug, chosen.run_id)


def _user() -> str | None:
    from kagglerun.errors import CredentialsMissing
    from kagglerun.kaggle_api.credentials import find_credentials

    try:
        return find_credentials().username
    except CredentialsMissing:
        return None


def _show(made: Package, shipped: bool) -> None:
    manifest = made.manifest
    where = f"{manifest.gpu} GPU" if manifest.gpu else "no GPU"
    out.print(
        f"{made.paths.folder}: {manifest.bytes / 1e6:.1f} MB; {where}, internet off, {manifest.hours:g} h", markup=False
    )
    if shipped:
        out.print(f"for Kaggle's image as it was known in June 2026: Python {manifest.python}", markup=False)
    for note in made.notes:
        out.print(f"note: {note}", markup=False)


def _rehearse(workspace: Workspace, made: Package, options: RehearsalOptions) -> None:
    from kagglerun.code_competition.rehearse import rehearse, require_passed

    out.print("rehearsal:")
    rehearsal = rehearse(workspace, made, options, tell=_print_result)
    _print_end(rehearsal)
    require_passed(rehearsal)


def _print_result(result: VariantResult) -> None:
    if result.state == "not tried":
        out.print(f"  {result.name}: not tried ({result.said[0]})", markup=False)
        return
    how = "ok" if result.ok else "FAILED"
    measured = f"{result.seconds:.0f} s, {result.peak_bytes / 1e9:.1f} GB"
    out.print(f"  {result.name}: {how}   {result.rows} rows, {measured}", markup=False)
    for sentence in result.said:
        out.print(f"    {sentence}", markup=False)


def _print_end(rehearsal: Rehearsal) -> None:
    out.print(f"in {rehearsal.environment}", markup=False)
    if rehearsal.forecast is not None:
        out.print(f"forecast: {rehearsal.forecast.line()}", markup=False)
        if not rehearsal.forecast.fits:
            out.print("that is beyond the limit: members and views that do not fit will be left out", markup=False)
