"""Calls about models: a card, and instances of it with files, one for a framework, in versions."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse

from kagglerun.practice import deposit_wire as wire
from kagglerun.practice.answers import page_of
from kagglerun.practice.deposit_routes import arrived, check_ref, number_of, used_up
from kagglerun.practice.deposits import Deposit, Kind
from kagglerun.practice.host import Host
from kagglerun.practice.model_names import framework_of
from kagglerun.practice.routes import HostOf, absolute, authenticated
from kagglerun.practice.storage import signed_address
from kagglerun.practice.wire import ApiError

router = APIRouter(dependencies=[Depends(authenticated)])
_MODELS = "/models.ModelApiService"


@router.post(_MODELS + "/CreateModel")
def create_model(message: wire.CreateModelRequest, host: HostOf) -> wire.CreateModelResponse:
    """Make a model, which has no files yet."""
    ref = check_ref(message.owner_slug, message.slug)
    if host.deposits.find(Kind.MODEL, ref) is not None:
        return wire.CreateModelResponse(id=0, ref="", url="", error=f"The model {ref} exists already")
    said = message.model_dump(exclude_none=True)
    host.deposits.add(Kind.MODEL, ref, said, (), host.clock())
    return _made(ref)


@router.post(_MODELS + "/GetModel")
def get_model(message: wire.ModelRequest, host: HostOf) -> wire.Model:
    """One model with its instances."""
    return _model_answer(host, _found(host, Kind.MODEL, f"{message.owner_slug}/{message.model_slug}"))


@router.post(_MODELS + "/ListModels")
def list_models(message: wire.ListModelsRequest, host: HostOf) -> wire.ListModelsResponse:
    """One page of models: all are the user's own."""
    searched = (message.search or "").casefold()
    found = [one for one in host.deposits.newest(Kind.MODEL) if searched in one.ref.casefold()]
    page, token = page_of(found, message)
    models = tuple(_model_answer(host, one) for one in page)
    return wire.ListModelsResponse(models=models, next_page_token=token, total_results=len(found))


@router.post(_MODELS + "/DeleteModel")
def delete_model(message: wire.ModelRequest, host: HostOf) -> dict[str, str]:
    """Delete a model with its instances."""
    ref = check_ref(message.owner_slug, message.model_slug)
    for instance in _instances(host, ref):
        host.deposits.remove(Kind.INSTANCE, instance.ref)
    if not host.deposits.remove(Kind.MODEL, ref):
        raise ApiError(404, "Not found")
    return {}


@router.post(_MODELS + "/CreateModelInstance")
def create_model_instance(message: wire.CreateInstanceRequest, host: HostOf) -> wire.CreateModelResponse:
    """Make a model's instance with its first version."""
    _found(host, Kind.MODEL, check_ref(message.owner_slug, message.model_slug))
    body = message.body
    ref = _instance_ref(message, body.framework, body.instance_slug)
    if host.deposits.find(Kind.INSTANCE, ref) is not None:
        return wire.CreateModelResponse(id=0, ref="", url="", error=f"The instance {ref} exists already")
    return _add(host, ref, body, wire.about(body))


@router.post(_MODELS + "/CreateModelInstanceVersion")
def create_version(message: wire.CreateInstanceVersionRequest, host: HostOf) -> wire.CreateModelResponse:
    """Make another version of a model's instance."""
    before = _instance(host, message)
    return _add(host, before.ref, message.body, {**before.about, **wire.about(message.body)})


def _add(host: Host, ref: str, content: wire.Content, said: dict[str, object]) -> wire.CreateModelResponse:
    files = arrived(host, content)
    if not files:
        return wire.CreateModelResponse(id=0, ref="", url="", error="The instance has no files")
    host.deposits.add(Kind.INSTANCE, ref, said, files, host.clock())
    used_up(files)
    return _made(ref)


@router.post(_MODELS + "/GetModelInstance")
def get_model_instance(message: wire.InstanceRequest, host: HostOf) -> wire.Instance:
    """A model's instance, its newest version."""
    return _instance_answer(_instance(host, message))


@router.post(_MODELS + "/ListModelInstances")
def list_model_instances(message: wire.ModelPageRequest, host: HostOf) -> wire.ListInstancesResponse:
    """One page of a model's instances."""
    page, token = page_of(_instances(host, f"{message.owner_slug}/{message.model_slug}"), message)
    return wire.ListInstancesResponse(instances=tuple(map(_instance_answer, page)), next_page_token=token)


@router.post(_MODELS + "/ListModelInstanceVersionFiles")
def list_files(message: wire.InstancePageRequest, host: HostOf) -> wire.ListModelFilesResponse:
    """One page of the files of a version."""
    found = _instance(host, message)
    files = [wire.ModelFile(name=file.name, size=file.bytes, creation_date=found.time) for file in found.files]
    page, token = page_of(files, message)
    return wire.ListModelFilesResponse(files=tuple(page), next_page_token=token)


@router.post(_MODELS + "/DownloadModelInstanceVersion")
def download_version(message: wire.InstanceRequest, host: HostOf, request: Request) -> RedirectResponse:
    """Send the client to the address of a version's files."""
    found = _instance(host, message)
    place = f"/storage/models/{found.ref}/{found.number}/model.tar.gz"
    return RedirectResponse(absolute(request, signed_address(host, place)), 302)


def _instance_ref(message: wire.ModelRequest, framework: str, instance: str) -> str:
    return check_ref(message.owner_slug, message.model_slug, framework_of(framework), instance)


def _instance(host: Host, message: wire.InstanceRequest) -> Deposit:
    ref = _instance_ref(message, message.framework, message.instance_slug)
    return _found(host, Kind.INSTANCE, ref, message.version_number)


def _instances(host: Host, model: str) -> list[Deposit]:
    return [one for one in host.deposits.newest(Kind.INSTANCE) if one.ref.startswith(f"{model}/")]


def _found(host: Host, kind: Kind, ref: str, number: int | None = None) -> Deposit:
    found = host.deposits.find(kind, ref, number)
    if found is None:
        raise ApiError(404, "Not found")
    return found


def _made(ref: str) -> wire.CreateModelResponse:
    return wire.CreateModelResponse(id=number_of(ref), ref=ref, url=f"https://www.kaggle.com/models/{ref}")


def _model_answer(host: Host, found: Deposit) -> wire.Model:
    return wire.Model(
        id=number_of(found.ref),
        ref=found.ref,
        title=str(found.about.get("title", found.slug)),
        subtitle=str(found.about.get("subtitle", "")),
        author=found.owner,
        slug=found.slug,
        is_private=bool(found.about.get("is_private", True)),
        description=str(found.about.get("description", "")),
        instances=tuple(map(_instance_answer, _instances(host, found.ref))),
        url=f"https://www.kaggle.com/models/{found.ref}",
        update_time=found.time,
    )


def _instance_answer(found: Deposit) -> wire.Instance:
    return wire.Instance(
        id=number_of(found.ref),
        slug=found.slug,
        framework=str(found.about["framework"]),
        overview=str(found.about.get("overview", "")),
        usage=str(found.about.get("usage", "")),
        version_id=number_of(f"{found.ref}/{found.number}"),
        version_number=found.number,
        url=f"https://www.kaggle.com/models/{found.ref}/{found.number}",
        license_name=str(found.about.get("license_name", "")),
        total_uncompressed_bytes=sum(file.bytes for file in found.files),
    )
