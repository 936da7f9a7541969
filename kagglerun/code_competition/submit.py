"""Submitting a run to a competition that takes notebooks only.

Package, rehearse, push data set and notebook, wait until the notebook has run there, enter its version as a
submission. Each step that was done is found again when the same command is typed again, so that what was cut off goes
on where it stopped; the slot is spent by the same means as for a file, at most once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from kagglerun.code_competition.judge import VariantResult
from kagglerun.code_competition.package import Package, find_package, give_to, make_package
from kagglerun.code_competition.package_files import PackagePaths
from kagglerun.code_competition.rehearse import RehearsalOptions, rehearse, require_passed
from kagglerun.config.card import Card, CompetitionFacts
from kagglerun.errors import KernelFailed, PackageError
from kagglerun.files import read_json, sha256_of_file, sha256_of_json
from kagglerun.kaggle_api.client import KaggleClient
from kagglerun.kaggle_api.data_sets import push_data_set
from kagglerun.kaggle_api.kernel_output import kernel_output
from kagglerun.kaggle_api.kernel_push import push_kernel
from kagglerun.kaggle_api.kernels import (
    KernelState,
    KernelVersion,
    require_complete,
    submit_kernel,
    wait_for_kernel,
)
from kagglerun.kaggle_api.limits import read_allowance
from kagglerun.kaggle_api.owned import user_of
from kagglerun.kaggle_api.records import SubmissionRecord
from kagglerun.kaggle_api.submit import describe
from kagglerun.submission.attempts import Waiting, look_for_attempts
from kagglerun.submission.eligibility import check_allowance
from kagglerun.submission.guard import CheckedFile, check_file
from kagglerun.submission.send import Prepared, file_of_run, send_prepared
from kagglerun.workspace import RunPaths, Workspace

_QUEUE_HOURS = 1.0
"""A notebook may wait for a machine before it runs."""


@dataclass(frozen=True)
class NotebookSubmission:
    """A run that is ready to be pushed and submitted as a notebook.

    Attributes:
        prepared: the submission; its file is the local one, its digest that of the run's predictions.
        package: what is pushed.
        rehearsed: how the rehearsal went, in words.
    """

    prepared: Prepared
    package: Package
    rehearsed: str


class _Door(KaggleClient):
    """See `by_notebook`."""

    def __init__(self, client: KaggleClient, kernel: KernelVersion, output: str) -> None:
        super().__init__(client.endpoint, client.credentials)
        self._kernel, self._output = kernel, output

    def submit(self, slug: str, file: Path, description: str, before_entering: Callable[[], None] | None = None) -> int:
        """Enter the notebook's version; see `KaggleClient.submit`."""
        del file
        if before_entering:
            before_entering()
        return submit_kernel(self, slug, self._kernel, self._output, description)


def by_notebook(client: KaggleClient, kernel: KernelVersion, output: str) -> KaggleClient:
    """The server, where a submission is a version of a notebook instead of a file.

    Args:
        client: where the competition is.
        kernel: the notebook's version, whose run is complete.
        output: the file that it writes.
    """
    return _Door(client, kernel, output)


def prepare_run(
    workspace: Workspace,
    client: KaggleClient,
    card: Card,
    facts: CompetitionFacts,
    run: RunPaths,
    *,
    message: str = "",
    waiting: Waiting | None = None,
    tell: Callable[[str], None] | None = None,
    rehearsal: RehearsalOptions | None = None,
) -> NotebookSubmission:
    """Package and rehearse a run, and check everything that can be checked before anything is pushed.

    A package that is whole and not older than the run is taken as it is, and so is its rehearsal.

    Args:
        workspace: where the run is.
        client: where the competition is.
        card: what is known of it.
        facts: from `read_facts(..., notebook=True)`.
        run: a finished run, or an ensemble.
        message: the user's words for the description.
        waiting: see `prepare`.
        tell: takes one line for each step.
        rehearsal: how it is rehearsed.

    Raises:
        SubmissionRefused: AllowanceUsedUp, AlreadySubmitted, SubmissionInvalid.
        PackageError, RehearsalFailed, SandboxError: the notebook would not do.
        KaggleError: the server could not be asked.
    """
    say = tell or (lambda _: None)
    allowance = read_allowance(client, facts)
    package = package_of(workspace, run, say)
    checked = _checked(workspace, card, run)
    earlier = look_for_attempts(workspace, client, card, checked, waiting)
    description = describe(message or "", checked.sha256, run.run_id)
    prepared = Prepared(
        card, facts, checked, run, description, allowance, earlier.listed, earlier.team, earlier.taken_up
    )
    if earlier.taken_up is not None:
        return NotebookSubmission(replace(prepared, description=earlier.taken_up.description), package, "")
    check_allowance(allowance, card.ref)
    return NotebookSubmission(prepared, package, rehearsed(workspace, package, say, rehearsal))


def package_of(workspace: Workspace, run: RunPaths, tell: Callable[[str], None]) -> Package:
    """The run's package: the one that is there, unless the run is newer, or it is damaged.

    Raises:
        PackageError: the run cannot be packaged.
    """
    paths = PackagePaths.of(workspace, run)
    if paths.manifest.is_file() and _newest(run) <= paths.manifest.stat().st_mtime:
        try:
            package = find_package(paths)
        except PackageError:
            tell("the package is damaged and is made again")
        else:
            tell(f"package: {paths.folder} ({package.manifest.bytes / 1e6:.1f} MB)")
            return package
    tell(f"packaging {run.run_id}")
    return make_package(workspace, run, tell=tell)


def _newest(run: RunPaths) -> float:
    """When what the package is made of changed last, in seconds since 1970."""
    files = (run.test, run.metrics, run.postprocess, run.ensemble, run.config)
    return max(path.stat().st_mtime for path in files if path.is_file())


def _checked(workspace: Workspace, card: Card, run: RunPaths) -> CheckedFile:
    """The local file's checks, under a digest of the run that it comes from.

    Two runs may agree on the few rows of a public test set, and a package is made anew with each version of
    kagglerun; a run's own predictions tell it from others and stay what they are.
    """
    paths = workspace.competition(card.slug)
    checked = check_file(file_of_run(run, paths, card), paths, card, run=run, workspace=workspace)
    digests = [sha256_of_file(path) for path in (run.oof, run.test, run.submission) if path.is_file()]
    return replace(checked, sha256=sha256_of_json(["notebook", *digests]))


def rehearsed(
    workspace: Workspace, package: Package, tell: Callable[[str], None], options: RehearsalOptions | None = None
) -> str:
    """Rehearse a package that has not passed yet.

    Returns:
        How it went, in words.

    Raises:
        RehearsalFailed: it would fail there.
    """
    result = package.paths.rehearsal_result
    if result.is_file():
        kept = read_json(result)
        if kept.get("passed") and kept.get("package") == package.manifest.sha256:
            return "passed before, and nothing has changed since"
    tell("rehearsing the notebook without a network")
    done = rehearse(workspace, package, options, tell=lambda one: tell(f"  {_in_words(one)}"))
    require_passed(done)
    return f"passed with {len(done.results)} test sets"


def _in_words(result: VariantResult) -> str:
    """How the notebook did with one test set."""
    how = result.state if result.state == "not tried" else f"{result.state}, {result.rows} rows, {result.seconds:.0f} s"
    return "; ".join((f"{result.name}: {how}", *result.said))


def submit_run(
    workspace: Workspace,
    client: KaggleClient,
    submission: NotebookSubmission,
    tell: Callable[[str], None] | None = None,
    waiting: Callable[[float, KernelState], None] | None = None,
) -> SubmissionRecord:
    """Push a prepared run, wait until its notebook has run, and spend the slot.

    Args:
        workspace: whose ledger.
        client: where the competition is.
        submission: from `prepare_run`.
        tell: takes one line for each step.
        waiting: told the seconds that the notebook has been waited for, and how far it is.

    Returns:
        The submission, which was seen on the server.

    Raises:
        KernelFailed: the notebook failed there; no submission was made.
        UploadFailed, AlreadySubmitted, KaggleError: no submission was made.
        OutcomeUnknown: it could not be found out whether one was made; the next command looks.
    """
    say, prepared, package = tell or (lambda _: None), submission.prepared, submission.package
    if prepared.taken_up is not None:
        return send_prepared(workspace, client, prepared)
    kernel = push_package(workspace, client, package, say, waiting)
    _compare_output(workspace, client, prepared, package, kernel, say)
    return send_prepared(workspace, by_notebook(client, kernel, package.manifest.output), prepared)


def push_package(
    workspace: Workspace,
    client: KaggleClient,
    package: Package,
    tell: Callable[[str], None],
    waiting: Callable[[float, KernelState], None] | None = None,
) -> KernelVersion:
    """Push a package's data set and notebook, and wait until the notebook has run with the public test set.

    Raises:
        KernelFailed: it failed; with the end of its log.
        KaggleError: the server refused, or could not be reached.
    """
    manifest = package.manifest
    give_to(package, user_of(client))
    data_set = push_data_set(client, package.paths.data_set, tell)
    how = "uploaded" if data_set.uploaded else "is there already"
    tell(f"data set {data_set.ref}, version {data_set.version}: {how}")
    memory = workspace.kernel(manifest.slug).pushed
    depends = f"{data_set.ref} {data_set.version} {manifest.sha256}"
    kernel = push_kernel(client, package.paths.notebook, memory=memory, depends=depends)
    tell(f"notebook {kernel.ref}, version {kernel.version}: {'pushed' if kernel.pushed else 'is there already'}")
    status = wait_for_kernel(client, kernel.ref, (manifest.hours + _QUEUE_HOURS) * 3600, waiting)
    if status.state is KernelState.FAILED:
        memory.unlink(missing_ok=True)  # the same command pushes it anew: it may have been the machine
    require_complete(client, kernel, status)
    return kernel


def _compare_output(
    workspace: Workspace,
    client: KaggleClient,
    prepared: Prepared,
    package: Package,
    kernel: KernelVersion,
    tell: Callable[[str], None],
) -> None:
    """Fetch what the notebook wrote for the public test set, and hold it against the local file."""
    output = package.manifest.output
    place = workspace.kernel(package.manifest.slug).output
    fetched = kernel_output(client, kernel.ref, place, wanted=lambda name: name == output)
    if not fetched:
        raise KernelFailed(
            f"the notebook {kernel.ref}, version {kernel.version}, is complete and wrote no {output}",
            hint=f"its log: kaggle kernels logs {kernel.ref}",
        )
    same = fetched[0].read_bytes() == prepared.file.path.read_bytes()
    told = "the bytes of the local file" if same else "not the local file's bytes: other hardware rounds otherwise"
    tell(f"its {output} for the public test set has {told}")
