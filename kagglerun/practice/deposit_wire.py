"""The JSON of Kaggle's API about data sets, models and their files; see `wire`."""

from __future__ import annotations

from typing import Any

from kagglerun.practice.wire import Message, Moment, PagedRequest


class StartBlobUploadRequest(Message):
    """Announces a file of a data set or model."""

    name: str = ""
    content_length: int = 0


class NewFile(Message):
    """An uploaded file that becomes part of a data set or model."""

    token: str | None = None


class Directory(Message):
    """Uploaded files in a folder, and folders in it."""

    name: str = ""
    directories: tuple[Directory, ...] = ()
    files: tuple[NewFile, ...] = ()


class Content(Message):
    """What a version consists of, and what is said of it."""

    files: tuple[NewFile, ...] = ()
    directories: tuple[Directory, ...] = ()
    title: str | None = None
    subtitle: str | None = None
    description: str | None = None
    license_name: str | None = None
    is_private: bool = True
    version_notes: str | None = None
    category_ids: tuple[str, ...] = ()


class CreateDatasetRequest(Content):
    """A new data set."""

    owner_slug: str | None = None
    slug: str | None = None


class DatasetRequest(Message):
    """Names a data set, and maybe a version or a file of it."""

    owner_slug: str = ""
    dataset_slug: str = ""
    dataset_version_number: int | None = None
    file_name: str | None = None


class CreateDatasetVersionRequest(DatasetRequest):
    """A new version of a data set."""

    body: Content = Content()


class DatasetPageRequest(DatasetRequest, PagedRequest):
    """A request for one page of a data set's files."""


class ListDatasetsRequest(PagedRequest):
    """Which data sets to list."""

    search: str | None = None
    user: str | None = None


class CreateDatasetResponse(Message):
    """What became of a data set that was sent."""

    ref: str = ""
    url: str = ""
    status: str = "ok"
    error: str | None = None
    invalid_tags: tuple[str, ...] = ()


class DatasetStatus(Message):
    """How far a data set is; READY when it can be used."""

    status: str


class DatasetFile(Message):
    """A file of a data set."""

    name: str
    creation_date: Moment
    total_bytes: int
    url: str = ""


class ListDatasetFilesResponse(Message):
    """One page of a data set's files."""

    dataset_files: tuple[DatasetFile, ...]
    next_page_token: str = ""


class DatasetVersion(Message):
    """A version of a data set."""

    version_number: int
    creation_date: Moment
    creator_name: str
    version_notes: str
    status: str = "Ready"


class Dataset(Message):
    """A data set."""

    id: int
    ref: str
    title: str
    subtitle: str = ""
    description: str = ""
    creator_name: str
    owner_name: str
    owner_ref: str
    total_bytes: int
    url: str
    last_updated: Moment
    is_private: bool
    license_name: str
    current_version_number: int
    versions: tuple[DatasetVersion, ...]
    files: tuple[DatasetFile, ...] = ()


class ListDatasetsResponse(Message):
    """One page of data sets."""

    datasets: tuple[Dataset, ...]
    next_page_token: str = ""


class License(Message):
    """A data set's licence."""

    name: str


class DatasetInfo(Message):
    """What is said of a data set."""

    dataset_id: int
    dataset_slug: str
    owner_user: str
    title: str
    subtitle: str = ""
    description: str = ""
    is_private: bool
    keywords: tuple[str, ...] = ()
    licenses: tuple[License, ...]


class DatasetMetadataResponse(Message):
    """What is said of a data set."""

    info: DatasetInfo


class ModelRequest(Message):
    """Names a model."""

    owner_slug: str = ""
    model_slug: str = ""


class ModelPageRequest(ModelRequest, PagedRequest):
    """A request for one page of a model's instances."""


class ListModelsRequest(PagedRequest):
    """Which models to list."""

    search: str | None = None
    owner: str | None = None


class CreateModelRequest(Message):
    """A new model; its files come with its instances."""

    owner_slug: str = ""
    slug: str = ""
    title: str = ""
    subtitle: str | None = None
    is_private: bool | None = None
    description: str | None = None


class InstanceContent(Content):
    """What a model's instance is."""

    instance_slug: str = ""
    framework: str = ""
    overview: str = ""
    usage: str = ""
    fine_tunable: bool | None = None


class CreateInstanceRequest(ModelRequest):
    """A model's files for a framework."""

    body: InstanceContent = InstanceContent()


class InstanceRequest(ModelRequest):
    """Names a model's instance, and maybe a version of it."""

    framework: str = ""
    instance_slug: str = ""
    version_number: int | None = None


class CreateInstanceVersionRequest(InstanceRequest):
    """A new version of a model's instance."""

    body: Content = Content()


class InstancePageRequest(InstanceRequest, PagedRequest):
    """A request for one page of an instance's files or versions."""


class CreateModelResponse(Message):
    """What became of a model that was sent."""

    id: int
    ref: str
    url: str
    error: str | None = None


class Instance(Message):
    """A model's instance."""

    id: int
    slug: str
    framework: str
    fine_tunable: bool = False
    overview: str = ""
    usage: str = ""
    download_url: str = ""
    version_id: int
    version_number: int
    url: str
    license_name: str = ""
    total_uncompressed_bytes: int


class Model(Message):
    """A model."""

    id: int
    ref: str
    title: str
    subtitle: str = ""
    author: str
    slug: str
    is_private: bool
    description: str = ""
    instances: tuple[Instance, ...] = ()
    url: str
    update_time: Moment


class ListModelsResponse(Message):
    """One page of models."""

    models: tuple[Model, ...]
    next_page_token: str = ""
    total_results: int = 0


class ListInstancesResponse(Message):
    """One page of a model's instances."""

    instances: tuple[Instance, ...]
    next_page_token: str = ""


class ModelFile(Message):
    """A file of a model."""

    name: str
    size: int
    creation_date: Moment


class ListModelFilesResponse(Message):
    """One page of a model's files."""

    files: tuple[ModelFile, ...]
    next_page_token: str = ""


def about(content: Content) -> dict[str, Any]:
    """What is said of a version, without its files."""
    said = content.model_dump(exclude={"files", "directories"})
    return {name: value for name, value in said.items() if value is not None}
