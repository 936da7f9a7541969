"""The web application: routes, errors in Kaggle's shape, requests in absolute form, one log line a request."""

from __future__ import annotations

import errno
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kagglerun.errors import CompetitionNotFound, DiskFull
from kagglerun.practice import (
    control,
    deposit_routes,
    deposit_storage,
    kernel_routes,
    model_routes,
    routes,
    storage,
)
from kagglerun.practice.host import Host
from kagglerun.practice.interference import ApiFaults
from kagglerun.practice.kernel_runs import tokens_that_wait
from kagglerun.practice.wire import ApiError

_log = logging.getLogger("kagglerun.practice")


def create_app(host: Host) -> FastAPI:
    """Build the application around the server's parts."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        host.scorer.start(but_not=tokens_that_wait(host.kernels.unfinished()))
        host.runner.start()
        yield
        host.runner.close()
        host.scorer.close()

    app = FastAPI(title="kagglerun practice", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.host = host
    # Kaggle serves the calls under /v1 on its API's own host and under /api/v1 elsewhere.
    for prefix in ("/api/v1", "/v1"):
        for part in (routes, deposit_routes, model_routes, kernel_routes):
            app.include_router(part.router, prefix=prefix)
        app.include_router(routes.open_router, prefix=prefix)
    app.include_router(storage.router)
    app.include_router(deposit_storage.router)
    app.include_router(control.router)
    app.add_api_route("/ping", lambda: {"server": "kagglerun practice"}, methods=["GET"])
    _answer_errors(app)
    app.add_middleware(ApiFaults, faults=host.faults)
    app.add_middleware(_RequestForm)
    return app


def _answer_errors(app: FastAPI) -> None:
    @app.exception_handler(ApiError)
    async def api_error(_request: Request, error: ApiError) -> JSONResponse:
        return _error(error.code, error.message, error.headers)

    @app.exception_handler(CompetitionNotFound)
    async def not_found(_request: Request, _absent: CompetitionNotFound) -> JSONResponse:
        return _error(404, "Not found")

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return _error(400, f"{'.'.join(map(str, first['loc']))}: {first['msg']}")

    @app.exception_handler(HTTPException)
    async def no_route(request: Request, error: HTTPException) -> JSONResponse:
        return _error(error.status_code, f"The practice server does not have {request.method} {request.url.path}")

    @app.exception_handler(DiskFull)
    async def disk_full(_request: Request, error: DiskFull) -> JSONResponse:
        return _error(507, f"The practice server: {error.message}")

    @app.exception_handler(OSError)
    async def system_error(_request: Request, error: OSError) -> JSONResponse:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return _error(507, "The practice server's disk is full")
        _log.error("request failed", exc_info=error)
        return _error(500, "Internal server error")

    @app.exception_handler(Exception)
    async def unexpected(_request: Request, _failure: Exception) -> JSONResponse:
        return _error(500, "Internal server error")


def _error(code: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"code": code, "message": message}, code, headers)


class _RequestForm:
    """Takes requests in absolute form (`POST http://localhost/api/...`), as a client sends them to a proxy.

    So the official client reaches this server with `http_proxy` and its own LOCALHOST environment.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"].lower().startswith(("http://", "https://")):
            scope = {
                **scope,
                "path": _origin_form(scope["path"]),
                "raw_path": _origin_form(scope["raw_path"].decode("ascii")).encode("ascii"),
            }

        async def logged(message: Message) -> None:
            if message["type"] == "http.response.start":
                _log.info("%s %s %d", scope["method"], _without_token(scope["path"]), message["status"])
            await send(message)

        await self._app(scope, receive, logged)


def _without_token(path: str) -> str:
    """An upload's address lets whoever knows it send the file, so it is not written down."""
    head, separator, _ = path.partition("/uploads/")
    return head + separator + "..." if separator else path


def _origin_form(target: str) -> str:
    """`http://localhost/a/b` becomes `/a/b`."""
    return "/" + target.partition("://")[2].partition("/")[2]
