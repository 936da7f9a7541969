"""`--on kaggle`: training in a notebook on Kaggle's machines, or on the practice server for a competition of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from kagglerun.cli.console import err, out
from kagglerun.workspace import Workspace

if TYPE_CHECKING:
    from kagglerun.config.schema import Config
    from kagglerun.experiment.sync.outcome import Outcome
    from kagglerun.kaggle_api.kernels import KernelState

PLACES = ("kaggle",)
On = Annotated[
    str | None,
    typer.Option("--on", metavar="PLACE", help="Where it runs: kaggle, as a notebook; the runs come here afterwards."),
]
RemoteGpu = Annotated[
    str | None,
    typer.Option("--gpu", help="With --on: T4, P100, L4, A100 or none; by default T4, none for trees."),
]
RemotePackages = Annotated[
    str, typer.Option("--packages", help="With --on: locked, keep-torch or platform; see `kagglerun notebook --help`.")
]


def train_on(
    place: str, workspace: Workspace, config: Config, work: str, gpu: str | None = None, packages: str = "locked"
) -> None:
    """Push a training notebook, wait for it, and bring its runs here; the same command goes on with it.

    Args:
        place: one of PLACES.
        workspace: to where the runs come.
        config: what is trained.
        work: "train" or "sweep".
        gpu: which one; None chooses by the model.
        packages: what is installed there.
    """
    from kagglerun.cli.connect import client_for, target
    from kagglerun.cli.notebook import Asked, plan_notebook
    from kagglerun.code_competition.remote_training import begin_training, train_there
    from kagglerun.errors import unknown_name
    from kagglerun.notebooks.build import make_notebook

    if place not in PLACES:
        raise unknown_name("place", place, PLACES)
    about = target(workspace, config.competition)
    asked = Asked("kaggle", work, packages, gpu, hours=None, save_minutes=2, mounted=True)
    notebook = make_notebook(*plan_notebook(workspace, config, asked))
    client = client_for(workspace, about.source)
    training = begin_training(workspace, client, notebook, about.slug)
    out.print(f"{notebook.plan.run_id}: {work} of {about.name} as a notebook", markup=False)
    try:
        with err.status("pushing") as status:

            def waiting(seconds: float, state: KernelState) -> None:
                status.update(f"the notebook is {state}, {seconds / 60:.0f} min; Ctrl-C leaves it running")

            outcomes = train_there(
                workspace, client, training, lambda line: out.print(f"  {line}", markup=False), waiting
            )
    except KeyboardInterrupt:
        err.print("it runs on there; the same command waits for it and brings its runs here")
        raise
    _tell(outcomes)


def _tell(outcomes: list[Outcome]) -> None:
    from kagglerun.experiment.sync.items import Kind

    runs = [one for one in outcomes if one.item.kind is Kind.RUN]
    for one in runs:
        why = f" ({one.why})" if one.why else ""
        out.print(f"  {one.item.name}: {one.result.value}{why}", markup=False)
    out.print(f"{len(runs)} runs are here; next: kagglerun runs", markup=False)
