"""The JSON of Kaggle's API about notebooks, as kagglesdk's `kernels_api_service` has it; see `wire`."""

from __future__ import annotations

from kagglerun.practice.kernels import Settings
from kagglerun.practice.wire import Message, Moment, PagedRequest


class SaveKernelRequest(Settings):
    """A notebook that is pushed."""

    id: int | None = None
    slug: str | None = None
    """owner/slug."""
    text: str | None = None


class SaveKernelResponse(Message):
    """The version that a push made, or why it made none; the official client shows `error`."""

    ref: str = ""
    url: str = ""
    version_number: int | None = None
    error: str | None = None
    invalid_tags: tuple[str, ...] = ()
    invalid_dataset_sources: tuple[str, ...] = ()
    invalid_competition_sources: tuple[str, ...] = ()
    invalid_kernel_sources: tuple[str, ...] = ()
    invalid_model_sources: tuple[str, ...] = ()
    kernel_id: int = 0


class KernelRequest(Message):
    """Names a notebook, and maybe one of its versions."""

    user_name: str = ""
    kernel_slug: str = ""
    """The slug, or slug/version."""
    version_label: str | None = None


class KernelPageRequest(KernelRequest, PagedRequest):
    """A request for one page of a notebook's list."""


class ListKernelsRequest(PagedRequest):
    """Which notebooks to list."""

    search: str | None = None
    user: str | None = None
    competition: str | None = None
    dataset: str | None = None


class KernelMetadata(Message):
    """A notebook's description."""

    id: int
    ref: str
    title: str
    author: str
    slug: str
    last_run_time: Moment
    language: str
    kernel_type: str
    is_private: bool
    enable_gpu: bool
    enable_tpu: bool
    enable_internet: bool
    category_ids: tuple[str, ...] = ()
    dataset_data_sources: tuple[str, ...] = ()
    kernel_data_sources: tuple[str, ...] = ()
    competition_data_sources: tuple[str, ...] = ()
    model_data_sources: tuple[str, ...] = ()
    total_votes: int = 0
    current_version_number: int
    docker_image: str | None = None
    machine_shape: str | None = None


class ListKernelsResponse(Message):
    """One page of notebooks."""

    kernels: tuple[KernelMetadata, ...]
    next_page_token: str = ""


class KernelBlob(Message):
    """A notebook's source."""

    source: str
    language: str
    kernel_type: str
    slug: str


class GetKernelResponse(Message):
    """A notebook."""

    metadata: KernelMetadata
    blob: KernelBlob


class KernelStatus(Message):
    """How far a notebook's run is."""

    status: str
    failure_message: str | None = None


class OutputFile(Message):
    """A file that a notebook wrote, and where it can be fetched."""

    url: str
    file_name: str


class ListOutputResponse(Message):
    """One page of what a notebook wrote, and what it printed."""

    files: tuple[OutputFile, ...]
    log: str = ""
    next_page_token: str = ""


class KernelFile(Message):
    """A file that a notebook wrote."""

    name: str
    size: int
    creation_date: str


class ListKernelFilesResponse(Message):
    """One page of what a notebook wrote."""

    files: tuple[KernelFile, ...]
    next_page_token: str = ""


class Done(Message):
    """The answer to a deletion."""

    error_message: str | None = None


class CreateCodeSubmissionRequest(Message):
    """Enters a file that a version of a notebook writes as a submission."""

    competition_name: str = ""
    kernel_owner: str = ""
    kernel_slug: str = ""
    kernel_version: int | None = None
    file_name: str | None = None
    submission_description: str | None = None
