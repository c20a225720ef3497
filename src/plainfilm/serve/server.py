"""The routes, what each returns, and the server behind them."""

from __future__ import annotations

import asyncio
import logging
import sys
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from plainfilm import __version__
from plainfilm.data.image import sandbox
from plainfilm.schemas.documents import RESEARCH_ONLY
from plainfilm.serve.limits import Limits, RefusedError
from plainfilm.serve.pages import Pages
from plainfilm.serve.predictor import EXTRA_IMAGES, Predictor
from plainfilm.serve.queue import ScoringQueue
from plainfilm.serve.security import SecurityMiddleware
from plainfilm.serve.slow_clients import with_slow_client_timeout
from plainfilm.serve.uploads import Held, Upload, drain, read_images

_QUIET = (
    "uvicorn",
    "uvicorn.error",
    "uvicorn.access",
    "uvicorn.asgi",
    "python_multipart",
    "python_multipart.multipart",
)


class Service:
    """One bundle, its queue and its counts."""

    def __init__(self, predictor: Predictor, limits: Limits) -> None:
        self.predictor, self.limits = predictor, limits
        self.queue, self.held = ScoringQueue(limits.queue), Held(limits.held)
        self.counts: Counter[str] = Counter()  # images scored and refused, requests turned away

    async def predict(self, request: Request) -> Response:
        """POST /predict: the scores of each part, in order."""
        show = frozenset(request.query_params.get("show", "").split(",")) - {""}
        body = request.stream()
        try:
            if show - EXTRA_IMAGES:
                raise RefusedError(400, "?show= takes seen and heat, e.g. ?show=seen,heat.")
            with self.queue.slot():
                results = await self._results(request, body, show)
        except ClientDisconnect:
            self.counts["left"] += 1
            return Response(status_code=400)  # nobody receives it
        except RefusedError as refusal:
            self.counts["turned away"] += 1
            await drain(body, self.limits.request, self.limits.idle)
            return _refused(refusal)
        document = {"schema_version": 1, "plainfilm": __version__, "notice": RESEARCH_ONLY, "results": results,
                    "notes": self.predictor.bundle.card.notes}  # fmt: skip
        return JSONResponse(document)

    async def _results(
        self, request: Request, body: AsyncIterator[bytes], show: frozenset[str]
    ) -> list[dict[str, Any]]:
        upload = Upload(request.headers.get("content-type", ""), self.limits, self.held)
        try:
            images, results = await read_images(upload, body), []
            for index, image in enumerate(images):
                if await request.is_disconnected():
                    raise ClientDisconnect
                result = await self.queue.work(lambda i=index, data=image: self.predictor.predict(i, data, show))  # type: ignore[misc]
                self.counts["unreadable" if result["error"] else "scored"] += 1
                results.append(result)
            return results
        finally:
            upload.close()

    async def health(self, request: Request) -> Response:
        """GET /healthz: responds even while the model is busy."""
        return JSONResponse({"status": "ok", "plainfilm": __version__, "waiting": self.queue.waiting})


def _refused(refusal: RefusedError) -> Response:
    """The JSON response to a refused request."""
    headers = {"Connection": "close"}
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(refusal.retry_after)
    return JSONResponse({"error": refusal.why}, refusal.status, headers=headers)


async def _plain(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    texts = {404: "There is no such page here.", 405: "This path does not accept that method."}
    return PlainTextResponse(texts.get(status, "That failed.") + "\n", status)


async def _bug(request: Request, error: Exception) -> Response:
    """A bug: reported on stderr by its type and place, never by its message, which may quote a file."""
    at = traceback.extract_tb(error.__traceback__)[-1]
    print(f"plainfilm: A bug in plainfilm: {type(error).__name__} in {at.name}, line {at.lineno}", file=sys.stderr)
    return JSONResponse({"error": "A bug in plainfilm; the terminal shows where. Please report it."}, 500)


def build_app(service: Service, *, host: str = "127.0.0.1", port: int, token: str | None = None) -> SecurityMiddleware:
    """The ASGI app of a service; `host` and `port` are where it listens, `token` is required on every path."""
    pages = Pages(service.predictor, service.limits, port=port, token=token is not None)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        sandbox.stop()  # an image may take seconds more
        await asyncio.to_thread(service.queue.close)

    routes = [
        Route("/predict", service.predict, methods=["POST"]),
        Route("/healthz", service.health),
        *(Route(path, pages.endpoint(path)) for path in pages.paths),
    ]
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: _plain, Exception: _bug})
    return SecurityMiddleware(_Silent(app), host=host, port=port, token=token)


class _Silent:
    """Starlette sends 500 and raises the error again, for a log that would quote it; _bug has reported it already."""

    def __init__(self, app: Starlette) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self.app(scope, receive, send)
        except Exception:
            if scope["type"] != "http":
                raise


def make_server(app: SecurityMiddleware, limits: Limits, started: Callable[[], None]) -> uvicorn.Server:
    """A server for `app` that logs nothing and runs `started` once it listens."""
    for name in _QUIET:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate, logger.disabled = [logging.NullHandler()], False, True
    config = uvicorn.Config(
        app, http=with_slow_client_timeout(limits.head), ws="none", loop="asyncio", lifespan="on", log_config=None, access_log=False,
        server_header=False, proxy_headers=False, timeout_keep_alive=5, timeout_graceful_shutdown=1,
        limit_concurrency=limits.connections,
    )  # fmt: skip
    return _Server(config, started)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = started

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_start()
