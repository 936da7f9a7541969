"""The dress rehearsal: a packaged notebook run as on Kaggle, with the public test set and with what may be hidden.

A fresh environment without kagglerun, no network, inputs read-only at Kaggle's paths, limits of time and memory.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from packaging.tags import sys_tags
from packaging.utils import parse_wheel_filename

from kagglerun.code_competition.forecast import Forecast, Measured, forecast
from kagglerun.code_competition.judge import VariantResult, judge
from kagglerun.code_competition.package import Package
from kagglerun.code_competition.variants import NAMES, PUBLIC, Variants
from kagglerun.code_competition.wheels import needs_of
from kagglerun.config.load import load_card
from kagglerun.errors import ConfigError, DataError, RehearsalFailed, unknown_name
from kagglerun.files import write_json
from kagglerun.notebooks.session import gpu_names
from kagglerun.sandbox import kaggle_environment, run_notebook
from kagglerun.sandbox.environment import image_environment
from kagglerun.sandbox.image import read_image
from kagglerun.sandbox.interpreter import describe
from kagglerun.submission.send import file_of_run
from kagglerun.workspace import Workspace

ENVIRONMENTS = ("here", "image")
_OWNER = "rehearsal"
_STAGE = ".stage-"


@dataclass(frozen=True)
class RehearsalOptions:
    """How it is rehearsed.

    Attributes:
        environment: "here" has Kaggle's packages in this machine's versions and Python, without a download; "image" has
            Kaggle's own versions and Python.
        image_packages: what Kaggle's image has; None for the list that is shipped.
        variants: the test sets, by name; the public one is always among them.
        seconds: limit of each; None for the package's hours.
        memory_gb: limit in 10^9 bytes; None for the package's.
        hidden_rows: size of the hidden test set for the forecast; None takes the public one's.
    """

    environment: str = "here"
    image_packages: Path | None = None
    variants: tuple[str, ...] = NAMES
    seconds: float | None = None
    memory_gb: float | None = None
    hidden_rows: int | None = None


@dataclass(frozen=True)
class Rehearsal:
    """How a rehearsal went.

    Attributes:
        package: digest of what was rehearsed; see `Manifest.sha256`.
        environment: what it ran in, in words.
        results: one for each test set.
        forecast: of the time on Kaggle; None where nothing finished.
    """

    package: str
    environment: str
    results: tuple[VariantResult, ...]
    forecast: Forecast | None

    @property
    def passed(self) -> bool:
        """Whether the notebook may be pushed."""
        return all(result.ok for result in self.results)


def rehearse(
    workspace: Workspace,
    package: Package,
    options: RehearsalOptions | None = None,
    tell: Callable[[VariantResult], None] | None = None,
) -> Rehearsal:
    """Rehearse a package.

    Args:
        workspace: where its run and competition are.
        package: what `make_package` made.
        options: see there.
        tell: takes each result when it is there.

    Raises:
        SandboxError: notebooks cannot be run apart from this machine here.
        ConfigError: an option is none of its allowed values.
    """
    options = options or RehearsalOptions()
    for name in options.variants:
        if name not in NAMES:
            raise unknown_name("variant", name, NAMES)
    if options.environment == "here":
        _require_own_wheels(package)
    python, words = _environment(workspace, package, options)
    stage = _Stage(workspace, package, options, python)
    for earlier in (package.paths.rehearsal, *package.paths.folder.glob(f"{_STAGE}*")):
        shutil.rmtree(earlier, ignore_errors=True)
    results = []
    for name in dict.fromkeys((PUBLIC, *options.variants)):
        results.append(stage.perform(name))
        if tell is not None:
            tell(results[-1])
        if name == PUBLIC and not results[-1].ok:
            break  # the others would say the same again
    rehearsal = Rehearsal(package.manifest.sha256, words, tuple(results), _forecast(results, package, options))
    write_json(package.paths.rehearsal_result, asdict(rehearsal) | {"passed": rehearsal.passed})
    return rehearsal


def require_passed(rehearsal: Rehearsal) -> None:
    """Refuse to push what failed.

    Raises:
        RehearsalFailed: names what went wrong with which test set.
    """
    failed = [result for result in rehearsal.results if not result.ok]
    if failed:
        lines = [f"{result.name}: {result.said[0]}" for result in failed[:3]]
        raise RehearsalFailed(
            f"the notebook failed its rehearsal; {'; '.join(lines)}",
            hint="mend hooks.py or the options, then: kagglerun package RUN",
        )


class _Stage:
    """Where the variants of one package are performed."""

    def __init__(self, workspace: Workspace, package: Package, options: RehearsalOptions, python: Path) -> None:
        manifest = package.manifest
        self._package, self._python = package, python
        self._paths = workspace.competition(manifest.competition)
        self._card = load_card(self._paths.card)
        self._local = file_of_run(workspace.run(manifest.competition, manifest.run), self._paths, self._card)
        self._variants = Variants(self._paths, self._card)
        self._seconds = options.seconds or manifest.hours * 3600
        self._memory_bytes = int((options.memory_gb or manifest.memory_gb) * 1e9)

    def perform(self, name: str) -> VariantResult:
        """Run the notebook with one test set, and judge it."""
        with tempfile.TemporaryDirectory(dir=self._package.paths.folder, prefix=_STAGE) as folder:
            try:
                variant = self._variants.make(name, Path(folder))
            except DataError as error:
                return VariantResult(name, True, "not tried", (error.message,))
            working = self._working(name)
            run = run_notebook(
                self._package.paths.notebook_file(self._package.manifest.slug),
                python=self._python,
                inputs=self._inputs(name, variant.paths.data),
                working=working,
                seconds=self._seconds,
                memory_bytes=self._memory_bytes,
            )
            public = self._working(PUBLIC) / self._package.manifest.output
            output = working / self._package.manifest.output
            local = self._local if name == PUBLIC else None
            return judge(variant, run, self._card, output, local, None if name == PUBLIC else public)

    def _working(self, name: str) -> Path:
        return self._package.paths.rehearsal / name.replace(" ", "-")

    def _inputs(self, name: str, data: Path) -> dict[str, Path]:
        """At the places that Kaggle uses now, and for the further test sets at those it used before."""
        manifest, data_set = self._package.manifest, self._package.paths.data_set
        if name == PUBLIC:
            return {f"competitions/{manifest.competition}": data, f"datasets/{_OWNER}/{manifest.slug}": data_set}
        return {manifest.competition: data, manifest.slug: data_set}


def _environment(workspace: Workspace, package: Package, options: RehearsalOptions) -> tuple[Path, str]:
    """The Python to rehearse in, and what it is.

    Raises:
        ConfigError: there is no such kind.
        SandboxError: it could not be made.
    """
    if options.environment not in ENVIRONMENTS:
        raise unknown_name("value of --environment", options.environment, ENVIRONMENTS)
    image = read_image(options.image_packages)
    if options.environment == "image":
        names = needs_of(package.paths.wheels) & set(image.packages)
        python = image_environment(workspace.rehearsals, image, names)
        kind = "Kaggle's versions"
    else:
        python = kaggle_environment(workspace.rehearsals, image)
        kind = "Kaggle's packages in this machine's versions"
    return python, f"{kind}, Python {'.'.join(map(str, describe(python).version))}"


def _require_own_wheels(package: Package) -> None:
    """Refuse to rehearse in this machine's Python what is made for another one.

    Raises:
        ConfigError: one of the wheels does not fit to this Python.
    """
    takes = set(sys_tags())
    for wheel in sorted(package.paths.wheels.glob("*.whl")):
        if not takes & parse_wheel_filename(wheel.name)[3]:
            here = ".".join(map(str, sys.version_info[:2]))
            raise ConfigError(
                f"{wheel.name} is for Kaggle's Python {package.manifest.python}, not for this one ({here})",
                hint="--environment image rehearses with that Python; --no-rehearse leaves it out",
            )


def _forecast(results: Sequence[VariantResult], package: Package, options: RehearsalOptions) -> Forecast | None:
    measured = [
        Measured(result.rows, result.seconds) for result in results if result.state == "finished" and result.rows
    ]
    rows = options.hidden_rows or (results[0].rows if results else 0)
    own = next(iter(gpu_names()), None)
    return forecast(measured, rows, package.manifest.hours * 3600, package.manifest.gpu, own)
