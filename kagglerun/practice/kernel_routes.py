"""Calls about notebooks: pushing one, asking how it is, fetching what it wrote, submitting a version of it."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import shutil
from collections.abc import AsyncIterator

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from kagglerun.errors import CompetitionNotFound
from kagglerun.practice import kernel_wire as wire
from kagglerun.practice.answers import page_of
from kagglerun.practice.deposit_routes import check_ref
from kagglerun.practice.deposit_storage import output_address
from kagglerun.practice.deposits import DepositedFile, Kind, list_folder
from kagglerun.practice.host import USER, Host
from kagglerun.practice.kernels import KernelRun, KernelVersion, Rerun, RunState, Settings
from kagglerun.practice.model_names import instance_of
from kagglerun.practice.routes import HostOf, absolute, allowance_used_up, authenticated, opened
from kagglerun.practice.state import Upload
from kagglerun.practice.submission_faults import before_entering, hollow_ref
from kagglerun.practice.wire import ApiError, CreateSubmissionResponse

router = APIRouter(dependencies=[Depends(authenticated)])
_KERNELS = "/kernels.KernelsApiService"
_COMPETITIONS = "/competitions.CompetitionApiService"
_DONE = (RunState.COMPLETE, RunState.ERROR)
_STREAM_SECONDS = 0.2
END_OF_LOG = "END_OF_LOG"
_LANGUAGES = ("python",)


@router.post(_KERNELS + "/SaveKernel")
def save_kernel(message: wire.SaveKernelRequest, host: HostOf) -> wire.SaveKernelResponse:
    """Take a notebook, and run it in the background.

    As on Kaggle sources that are not there are named in the answer, and the notebook runs without them.
    """
    ref = _ref_of(message)
    if (message.language or "") not in _LANGUAGES:
        return wire.SaveKernelResponse(error=f"The practice server runs Python only, not {message.language}")
    if message.kernel_type != "script" and not _is_notebook(message.text or ""):
        return wire.SaveKernelResponse(error="The notebook is not valid JSON with cells")
    invalid = {
        "dataset": [one for one in message.dataset_data_sources if not _has_data_set(host, one)],
        "competition": [one for one in message.competition_data_sources if not _has_competition(host, one)],
        "kernel": [one for one in message.kernel_data_sources if host.kernels.version(_name(one)) is None],
        "model": [one for one in message.model_data_sources if not _has_model(host, one)],
    }
    settings = _settings(message, invalid)
    version, run = host.kernels.push(ref, settings, message.text or "", host.clock())
    host.runner.add(run)
    return wire.SaveKernelResponse(
        ref=f"/code/{ref}",
        url=f"https://www.kaggle.com/code/{ref}",
        version_number=version.number,
        kernel_id=version.kernel_id,
        invalid_dataset_sources=tuple(invalid["dataset"]),
        invalid_competition_sources=tuple(invalid["competition"]),
        invalid_kernel_sources=tuple(invalid["kernel"]),
        invalid_model_sources=tuple(invalid["model"]),
    )


def _settings(message: wire.SaveKernelRequest, invalid: dict[str, list[str]]) -> Settings:
    said = message.model_dump(exclude={"id", "slug", "text"})
    for kind, names in invalid.items():
        said[f"{kind}_data_sources"] = [one for one in said[f"{kind}_data_sources"] if one not in names]
    return Settings.model_validate(said)


def _ref_of(message: wire.SaveKernelRequest) -> str:
    """owner/slug; the slug of a notebook follows from its title."""
    owner, _, slug = (message.slug or "").partition("/")
    if message.new_title and len(message.new_title) < 5:
        raise ApiError(400, "Title must be at least five characters")
    named = re.sub(r"[^a-z0-9]+", "-", (message.new_title or slug).lower()).strip("-")
    return check_ref(owner or USER, named)


def _is_notebook(text: str) -> bool:
    try:
        return isinstance(json.loads(text).get("cells"), list)
    except (ValueError, AttributeError):
        return False


def _has_competition(host: Host, slug: str) -> bool:
    try:
        return host.entered(host.catalogue.get(slug))
    except CompetitionNotFound:
        return False


def _has_data_set(host: Host, source: str) -> bool:
    return host.deposits.find(Kind.DATA_SET, _name(source)) is not None


def _has_model(host: Host, source: str) -> bool:
    return source.count("/") in (3, 4) and host.deposits.find(Kind.INSTANCE, *instance_of(source)) is not None


def _name(source: str) -> str:
    """owner/slug of owner/slug/version."""
    return "/".join(source.split("/")[:2])


def _version(host: Host, message: wire.KernelRequest) -> KernelVersion:
    """A notebook; Kaggle says of one that is not there that it may not be seen."""
    slug, _, number = message.kernel_slug.partition("/")
    number = number or message.version_label or ""
    found = host.kernels.version(f"{message.user_name or USER}/{slug}", int(number) if number.isdigit() else None)
    if found is None:
        raise ApiError(403, "Permission 'kernels.get' was denied")
    return found


@router.post(_KERNELS + "/GetKernel")
def get_kernel(message: wire.KernelRequest, host: HostOf) -> wire.GetKernelResponse:
    """A notebook's source and description."""
    found = _version(host, message)
    settings = found.settings
    blob = wire.KernelBlob(
        source=found.source,
        language=settings.language or "python",
        kernel_type=settings.kernel_type or "notebook",
        slug=found.slug,
    )
    return wire.GetKernelResponse(metadata=_metadata(found), blob=blob)


@router.post(_KERNELS + "/ListKernels")
def list_kernels(message: wire.ListKernelsRequest, host: HostOf) -> wire.ListKernelsResponse:
    """One page of notebooks: all are the user's own."""
    searched = (message.search or "").casefold()
    found = [
        one
        for one in host.kernels.newest()
        if searched in f"{one.ref} {one.title}".casefold()
        and message.competition in (None, "", *one.settings.competition_data_sources)
    ]
    page, token = page_of(found, message)
    return wire.ListKernelsResponse(kernels=tuple(map(_metadata, page)), next_page_token=token)


@router.post(_KERNELS + "/GetKernelSessionStatus")
def get_status(message: wire.KernelRequest, host: HostOf) -> wire.KernelStatus:
    """How far the run of a notebook's newest version is."""
    run = host.kernels.run_of(_version(host, message))
    return wire.KernelStatus(status=run.state.value, failure_message=run.failure)


@router.post(_KERNELS + "/ListKernelSessionOutput")
def list_output(message: wire.KernelPageRequest, host: HostOf, request: Request) -> wire.ListOutputResponse:
    """One page of the files that a notebook's newest version wrote, and its log."""
    run = host.kernels.run_of(_version(host, message))
    page, token = page_of(_written(host, run), message)
    files = tuple(
        wire.OutputFile(url=absolute(request, output_address(host, run, file.name)), file_name=file.name)
        for file in page
    )
    return wire.ListOutputResponse(files=files, log=json.dumps(host.runner.events(run)), next_page_token=token)


@router.post(_KERNELS + "/ListKernelFiles")
def list_files(message: wire.KernelPageRequest, host: HostOf) -> wire.ListKernelFilesResponse:
    """Names and sizes of the files that a notebook's newest version wrote."""
    version = _version(host, message)
    page, token = page_of(_written(host, host.kernels.run_of(version)), message)
    files = tuple(
        wire.KernelFile(name=file.name, size=file.bytes, creation_date=version.time.isoformat()) for file in page
    )
    return wire.ListKernelFilesResponse(files=files, next_page_token=token)


@router.get("/kernels/logs/stream/{owner}/{slug}")
def stream_log(owner: str, slug: str, host: HostOf) -> Response:
    """A notebook's log: line by line while it runs (server-sent events), at once when it is done."""
    run = host.kernels.run_of(_version(host, wire.KernelRequest(user_name=owner, kernel_slug=slug)))
    if run.state in _DONE:
        return JSONResponse(host.runner.events(run))
    return StreamingResponse(_live(host, run), media_type="text/event-stream")


async def _live(host: Host, run: KernelRun) -> AsyncIterator[str]:
    sent = 0
    while True:
        now = await asyncio.to_thread(host.kernels.run, run.number)
        events = host.runner.events(run)
        for event in events[sent:]:
            yield f"data: {json.dumps(event)}\n\n"
        sent = len(events)
        if now is None or now.state in _DONE:
            break
        await asyncio.sleep(_STREAM_SECONDS)
    yield f"data: {END_OF_LOG}\n\n"


@router.post(_KERNELS + "/DeleteKernel")
def delete_kernel(message: wire.KernelRequest, host: HostOf) -> wire.Done:
    """Delete a notebook with all its versions."""
    ref = check_ref(message.user_name or USER, message.kernel_slug)
    runs = host.kernels.runs(ref)
    if not host.kernels.remove(ref):
        raise ApiError(404, "Not found")
    for run in runs:
        shutil.rmtree(host.paths.kernel_run(run.number).folder, ignore_errors=True)
    return wire.Done()


@router.post(_COMPETITIONS + "/CreateCodeSubmission")
def create_code_submission(message: wire.CreateCodeSubmissionRequest, host: HostOf) -> CreateSubmissionResponse:
    """Enter a version of a notebook: it is run again with the hidden test set, and the file it writes is scored."""
    hosted = opened(host, message.competition_name, "make submissions")
    definition, version = hosted.definition, _submitted(host, message)
    now, file_name = host.clock(), message.file_name or "submission.csv"
    before_entering(host, definition, now)
    done = f"Successfully submitted to {definition.title}"
    if (told := hollow_ref(host)) is not None:
        return CreateSubmissionResponse(message=done, ref=told)
    upload = Upload(secrets.token_urlsafe(24), definition.slug, file_name, 0)
    host.store.add_upload(upload, now)
    run = host.kernels.rerun(version, Rerun(upload.token, definition.slug, file_name), now)
    submission = host.store.add_submission(
        upload, message.submission_description or "", now, definition.max_daily_submissions
    )
    if submission is None:
        host.kernels.drop_run(run)
        raise ApiError(400, allowance_used_up(definition.max_daily_submissions, now))
    host.runner.add(run)
    return CreateSubmissionResponse(message=done, ref=submission.ref)


def _submitted(host: Host, message: wire.CreateCodeSubmissionRequest) -> KernelVersion:
    """The version that is submitted, when it may be."""
    found = host.kernels.version(f"{message.kernel_owner}/{message.kernel_slug}", message.kernel_version)
    if found is None:
        raise ApiError(400, "Submission not allowed: Could not find provided notebook")
    run = host.kernels.run_of(found)
    if run.state is not RunState.COMPLETE:
        raise ApiError(400, "Submission not allowed: The notebook version has not completed successfully")
    if found.settings.enable_internet:
        raise ApiError(400, "Submission not allowed: Your Notebook cannot use internet access in this competition")
    if message.competition_name not in found.settings.competition_data_sources:
        raise ApiError(400, "Submission not allowed: The competition is not among the notebook's data sources")
    if (message.file_name or "submission.csv") not in {file.name for file in _written(host, run)}:
        raise ApiError(400, f"Submission not allowed: The notebook has no output file {message.file_name!r}")
    return found


def _written(host: Host, run: KernelRun) -> list[DepositedFile]:
    working = host.paths.kernel_run(run.number).working
    return list(list_folder(working)) if working.is_dir() else []


def _metadata(found: KernelVersion) -> wire.KernelMetadata:
    settings = found.settings
    return wire.KernelMetadata(
        id=found.kernel_id,
        ref=found.ref,
        title=found.title,
        author=USER,
        slug=found.slug,
        last_run_time=found.time,
        language=settings.language or "python",
        kernel_type=settings.kernel_type or "notebook",
        is_private=settings.is_private is not False,
        enable_gpu=bool(settings.enable_gpu),
        enable_tpu=bool(settings.enable_tpu),
        enable_internet=bool(settings.enable_internet),
        category_ids=settings.category_ids,
        dataset_data_sources=settings.dataset_data_sources,
        kernel_data_sources=settings.kernel_data_sources,
        competition_data_sources=settings.competition_data_sources,
        model_data_sources=settings.model_data_sources,
        current_version_number=found.number,
        docker_image=settings.docker_image,
        machine_shape=settings.machine_shape,
    )
