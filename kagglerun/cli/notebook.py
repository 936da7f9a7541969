"""`kagglerun notebook`: a notebook that trains on Colab or Kaggle."""

from __future__ import annotations

import re
import shlex
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kagglerun.cli.console import out
from kagglerun.workspace import Workspace

if TYPE_CHECKING:
    from kagglerun.config.card import Card
    from kagglerun.config.schema import Config
    from kagglerun.notebooks.build import Carried, Notebook
    from kagglerun.notebooks.plan import NotebookPlan

_MOST_MANIFEST_BYTES = 1_000_000
"""A longer one is left out of the notebook, which reads the files there instead."""


def notebook(
    config: Annotated[str, typer.Argument(help="A config: a name in sweeps/, or a path.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value, e.g. optimizer.lr=3e-4")] = None,
    platform: Annotated[str | None, typer.Option("--for", metavar="PLATFORM", help="colab or kaggle.")] = None,
    train: Annotated[bool, typer.Option("--train", help="It trains the config over all folds; the default.")] = False,
    sweep: Annotated[bool, typer.Option("--sweep", help="It sweeps, as the config's sweep section says.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where; by default named after the run, here.")
    ] = None,
    packages: Annotated[
        str,
        typer.Option(
            "--packages",
            help="What it installs there: locked (every version as here), keep-torch (all but the platform's own "
            "torch), platform (kagglerun alone: nothing is downloaded).",
        ),
    ] = "locked",
    gpu: Annotated[
        str | None, typer.Option("--gpu", help="T4, P100, L4, A100 or none; by default T4, none for trees.")
    ] = None,
    hours: Annotated[
        float | None, typer.Option("--hours", min=0.5, help="How long a session lives there; 12 by default.")
    ] = None,
    save_minutes: Annotated[
        float, typer.Option("--save-minutes", min=0.01, help="Least time between two copies to Drive or Kaggle's disk.")
    ] = 2,
    session: Annotated[
        bool, typer.Option("--session", hidden=True, help="Inside such a notebook: be its session.")
    ] = False,
) -> None:
    """Make a notebook that trains this config on Colab or Kaggle, and goes on after each disconnect.

    It carries kagglerun, the config, the card and the hooks. There it installs, mounts Drive (or uses Kaggle's disk),
    fetches, trains, and keeps checkpoints and results. Run again in a new session it goes on where the last one was
    cut off, to the same bits. It stops by itself before the session's time is up. No secret is in it.
    """
    if session:
        _be_session(Path(config))
        return
    from kagglerun.config.load import load_config
    from kagglerun.notebooks.build import dump, make_notebook

    workspace = Workspace.find()
    asked = Asked(platform, _work(train, sweep), packages, gpu, hours, save_minutes)
    parsed = load_config(workspace.config_file(config), overrides or ())
    made = make_notebook(*plan_notebook(workspace, parsed, asked))
    path = output or _usual_place(made.plan)
    dump(path, made.text)
    _say_what_next(made, path)


@dataclass(frozen=True)
class Asked:
    """The options, as they were given.

    Attributes:
        platform: colab or kaggle.
        work: train or sweep.
        packages: what is installed there.
        gpu: which one; None chooses by the model.
        hours: how long a session lives there; None takes the platform's.
        save_minutes: least time between two copies.
        mounted: whether the competition's files are mounted there, so that one that this machine hosts will do.
    """

    platform: str | None
    work: str
    packages: str
    gpu: str | None
    hours: float | None
    save_minutes: float
    mounted: bool = False


def _work(train: bool, sweep: bool) -> str:
    from kagglerun.errors import ConfigError

    if train and sweep:
        raise ConfigError("--train and --sweep are two kinds of work: choose one")
    return "sweep" if sweep else "train"


def plan_notebook(workspace: Workspace, config: Config, asked: Asked) -> tuple[NotebookPlan, Carried]:
    """What the notebook does and carries, checked as far as it can be checked here.

    Raises:
        ConfigError: an option is none of its allowed values, or the config needs what only this machine has.
    """
    from kagglerun.cli.connect import target
    from kagglerun.errors import ConfigError, unknown_name
    from kagglerun.notebooks.build import check_gpu
    from kagglerun.notebooks.plan import PACKAGES, NotebookPlan
    from kagglerun.notebooks.platforms import NAMES, find_platform

    if asked.platform is None:
        raise ConfigError(f"--for is missing: the notebook runs on {' or '.join(NAMES)}", hint="--for colab")
    platform = find_platform(asked.platform)
    if asked.packages not in PACKAGES:
        raise unknown_name("value of --packages", asked.packages, PACKAGES)
    about = target(workspace, config.competition)
    config = config.model_copy(update={"competition": about.name})
    _refuse_what_stays_here(workspace, config, about.name, asked)
    gpu = _gpu(config, about.card, asked.gpu)
    check_gpu(platform.name, gpu)
    carried, data = _carried(workspace, config)
    plan = NotebookPlan(
        run_id=re.sub(r"[^A-Za-z0-9._-]+", "-", config.name or "").strip("-.") or "run",
        platform=platform.name,
        work=asked.work,
        competition=about.name,
        data=data,
        gpu=gpu,
        gpus_at_once=config.training.gpus,
        hours=asked.hours or platform.hours,
        save_seconds=60 * asked.save_minutes,
        packages=asked.packages,
    )
    return plan, carried


def _refuse_what_stays_here(workspace: Workspace, config: Config, competition: str, asked: Asked) -> None:
    """What a notebook cannot have.

    Raises:
        ConfigError: weights in a file of this machine, a practice competition that only this machine hosts, or no
            search space.
    """
    from kagglerun.errors import ConfigError
    from kagglerun.practice.builtin import BUILT_IN

    weights = getattr(config.model, "weights", None)
    if weights is not None and not str(weights).startswith(("/content/", "/kaggle/")):
        raise ConfigError(
            f"model.weights is {str(weights)!r}, a file of this machine, which a notebook cannot carry",
            hint="model.weights=null model.pretrained=true, or a path there: /content/drive/..., /kaggle/input/...",
        )
    slug = workspace.resolve_competition(competition)
    if competition.startswith("practice/") and slug not in BUILT_IN and not asked.mounted:
        known = ", ".join(f"practice/{name}" for name in BUILT_IN)
        raise ConfigError(f"{competition} is hosted by this machine alone", hint=f"in a notebook there are {known}")
    if asked.work == "sweep" and not config.sweep.search:
        raise ConfigError("the config has no sweep.search, so there is nothing to vary", hint="--train")


def _gpu(config: Config, card: Card | None, wanted: str | None) -> str | None:
    if wanted is not None:
        return None if wanted.lower() == "none" else wanted.upper()
    trees = config.model.kind == "tabular_boosting"
    trees = trees or (config.model.kind == "auto" and card is not None and card.modality == "table")
    return None if trees or config.training.device == "cpu" else "T4"


def _carried(workspace: Workspace, config: Config) -> tuple[Carried, str | None]:
    """What goes into the notebook, and the digest of the data as it is here."""
    from kagglerun.config.load import dump_yaml
    from kagglerun.errors import DataError
    from kagglerun.kaggle_api.manifest import read_manifest
    from kagglerun.notebooks.build import Carried

    paths = workspace.competition(workspace.resolve_competition(config.competition))
    try:
        data = read_manifest(paths).sha256
        manifest = paths.manifest.read_text("utf-8")
    except DataError:
        data, manifest = None, ""
    small = 0 < len(manifest) <= _MOST_MANIFEST_BYTES
    card, hooks = _text(paths.card), _text(paths.hooks)
    return Carried(dump_yaml(config), card, hooks, manifest if small else None, _lock()), data


def _text(path: Path) -> str | None:
    return path.read_text("utf-8") if path.is_file() else None


def _lock() -> str:
    import kagglerun

    return (Path(kagglerun.__file__).parent / "environment" / "requirements.lock").read_text("utf-8")


def _usual_place(plan: NotebookPlan) -> Path:
    """Kaggle's stands in a folder of its own, which is what `kaggle kernels push` takes."""
    name = f"{plan.run_id}.ipynb"
    return Path(plan.run_id) / name if plan.platform == "kaggle" else Path(name)


def _say_what_next(made: Notebook, path: Path) -> None:
    plan, size = made.plan, len(made.text) / 1e6
    out.print(f"{path}: {plan.work}s {plan.competition} on {_where(plan)}; {size:.1f} MB", markup=False)
    if plan.platform == "colab":
        out.print("next: open it at https://colab.research.google.com (File > Upload notebook), then Run all")
    else:
        _describe_for_kaggle(made, path)


def _describe_for_kaggle(made: Notebook, path: Path) -> None:
    """Write what the official client reads, and say its commands."""
    from kagglerun.notebooks.attached import write_data_set
    from kagglerun.notebooks.build import KERNEL_METADATA, write_kernel_metadata

    user, folder = _user(), path.parent
    if not write_kernel_metadata(folder / KERNEL_METADATA, path.name, made, user):
        out.print(f"{folder / KERNEL_METADATA} describes another notebook and stays as it is", markup=False)
        return
    commands = [shlex.join(["kaggle", "kernels", "push", "-p", str(folder)])]
    if made.attached is not None:
        write_data_set(folder / "data-set", made.attached, user)
        out.print("too large for a notebook on Kaggle: kagglerun itself is a data set beside it")
        commands.insert(0, shlex.join(["kaggle", "datasets", "create", "-p", str(folder / "data-set")]))
    if user is None:
        out.print(f"first: put your user name into the metadata files in {folder}", markup=False)
    out.print(f"next: {'    then: '.join(commands)}", markup=False)


def _user() -> str | None:
    from kagglerun.errors import CredentialsMissing
    from kagglerun.kaggle_api.credentials import find_credentials

    try:
        return find_credentials().username
    except CredentialsMissing:
        return None


def _where(plan: NotebookPlan) -> str:
    from kagglerun.notebooks.platforms import find_platform

    return f"{find_platform(plan.platform).title} ({plan.gpu or 'no'} GPU)"


def _be_session(folder: Path) -> None:
    """What a notebook's last cell runs: its session, which ends when the notebook's kernel does."""
    from kagglerun.notebooks.plan import PlanFiles
    from kagglerun.notebooks.session import End, Session

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=_set_at_end_of_input, args=(stop,), name="kernel", daemon=True).start()
    end = Session(PlanFiles(folder), lambda line: out.print(line, markup=False), stop).run()
    if end is End.STOPPED:
        raise typer.Exit(130)


def _set_at_end_of_input(stop: threading.Event) -> None:
    """The kernel holds the other end and sends nothing; when it dies, the input ends."""
    sys.stdin.read()
    stop.set()
