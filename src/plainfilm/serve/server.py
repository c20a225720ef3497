"""The routes, what each returns, and the server behind them."""

from __future__ import annotations

import asyncio
import logging
import signal
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any, Protocol

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from plainfilm import __version__
from plainfilm.base.signals import ASKED, Interrupted, handled
from plainfilm.base.terminal import tell_error
from plainfilm.data.image import sandbox
from plainfilm.schemas.documents import RESEARCH_ONLY
from plainfilm.serve.limits import Limits, RefusedError
from plainfilm.serve.memory import Held
from plainfilm.serve.pages import Pages
from plainfilm.serve.predictor import EXTRA_IMAGES, Predictor
from plainfilm.serve.queue import ScoringQueue, SlowImages
from plainfilm.serve.responses import ScoresResponse
from plainfilm.serve.security import SecurityMiddleware
from plainfilm.serve.slow_clients import Clients
from plainfilm.serve.uploads import Upload, drain, read_images, too_large

_QUIET = (
    "uvicorn",
    "uvicorn.error",
    "uvicorn.access",
    "uvicorn.asgi",
    "python_multipart",
    "python_multipart.multipart",
)


class Service:
    """One bundle, its queue, its clients and its counts."""

    def __init__(self, predictor: Predictor, limits: Limits) -> None:
        self.predictor, self.limits, self.clients = predictor, limits, Clients(limits)
        self.queue, self.held = ScoringQueue(limits.queue), Held(limits.held, self.clients.drop_slowest)
        self.slow = SlowImages()
        self.counts: Counter[str] = Counter()  # images scored and refused, requests turned away

    async def predict(self, request: Request) -> Response:
        """POST /predict: the scores of each part, in order."""
        show = frozenset(request.query_params.get("show", "").split(",")) - {""}
        body, sends = request.stream(), "expect" not in request.headers  # else only once its body is asked for
        try:
            upload = self._admitted(request, show)
            sends = True
            return await self._scored(request, upload, body, show)
        except ClientDisconnect:
            self.counts["left"] += 1
            return Response(status_code=400)  # nobody receives it
        except asyncio.CancelledError:  # the server ends; uvicorn would say 500
            self.counts["turned away"] += 1
            return _refused(RefusedError(503, "The server is being stopped. Send this request to it once it is back."))
        except RefusedError as refusal:
            self.counts["turned away"] += 1
            if sends:
                await drain(body, 2 * self.limits.request, self.limits.idle)
            return _refused(refusal)

    def _admitted(self, request: Request, show: frozenset[str]) -> Upload:
        """What takes the body, after refusing what the head already rules out.

        Raises:
            RefusedError: 400, 413, 415, or 503 where the queue is full.
        """
        if show - EXTRA_IMAGES:
            raise RefusedError(400, "?show= takes seen and heat, e.g. ?show=seen,heat.")
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise RefusedError(415, "The body is compressed; expected plain multipart/form-data.")
        if int(request.headers.get("content-length", 0)) > self.limits.request:
            raise too_large(self.limits)
        self.queue.check()
        return Upload(request.headers.get("content-type", ""), self.limits, self.held)

    async def _scored(
        self, request: Request, upload: Upload, body: AsyncIterator[bytes], show: frozenset[str]
    ) -> Response:
        document = {"schema_version": 1, "plainfilm": __version__, "notice": RESEARCH_ONLY,
                    "notes": self.predictor.bundle.card.notes}  # fmt: skip
        response = ScoresResponse(self.held, document)
        try:
            images = await read_images(upload, body)
            with self.queue.slot(len(images)):
                await _unless_left(request, self._score(upload, response, show))
            return response
        except BaseException:
            response.close()
            raise
        finally:
            upload.close()

    async def _score(self, upload: Upload, response: ScoresResponse, show: frozenset[str]) -> None:
        for index, image in enumerate(upload.images):
            decoded = await self._decoded(image)
            upload.forget(index)
            result = await self.queue.work(partial(self.predictor.predict, index, decoded, show))
            self.counts["unreadable" if result["error"] else "scored"] += 1
            await response.add(result)

    async def _decoded(self, image: bytearray) -> Any:
        decode = self.predictor.decode  # the copies are made in a thread: one per lane
        return await self.queue.decoded(
            lambda: self.slow.quickly(bytes(image), partial(decode, quick=True)),
            lambda: decode(bytes(image), quick=False),
        )

    def stop(self) -> None:
        """End what is decoded and scored now, which may take seconds more, and take nothing on."""
        sandbox.stop()
        self.predictor.bundle.stop()
        self.queue.close()

    async def health(self, request: Request) -> Response:
        """GET /healthz: responds even while the model is busy."""
        return JSONResponse({"status": "ok", "plainfilm": __version__, "waiting": self.queue.waiting})


async def _unless_left(request: Request, work: Coroutine[Any, Any, None]) -> None:
    """Do `work`; it is dropped when the client hangs up, also while it waits for the model.

    Raises:
        ClientDisconnect: the client hung up.
    """
    working, left = asyncio.ensure_future(work), asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait({working, left}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        working.result()
    finally:
        working.cancel()
        left.cancel()


async def _left(request: Request) -> None:
    """Returns when the client has hung up."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _refused(refusal: RefusedError) -> Response:
    """The JSON response to a refused request."""
    headers = {"Connection": "close"}
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(refusal.retry_after)
    return JSONResponse({"error": refusal.why}, refusal.status, headers=headers)


async def _plain(request: Request, error: Exception) -> Response:
    status, headers = (error.status_code, error.headers) if isinstance(error, HTTPException) else (500, None)
    texts = {404: "There is no such page here.", 405: "This path does not accept that method."}
    return PlainTextResponse(texts.get(status, "That failed.") + "\n", status, headers=headers)


async def _bug(request: Request, error: Exception) -> Response:
    """A bug: reported on stderr by its type and place, never by its message, which may quote a file."""
    at = traceback.extract_tb(error.__traceback__)[-1]
    tell_error(f"A bug in plainfilm: {type(error).__name__} in {at.name}, line {at.lineno}")
    return JSONResponse({"error": "A bug in plainfilm; the terminal shows where. Please report it."}, 500)


def build_app(service: Service, *, host: str = "127.0.0.1", port: int, token: str | None = None) -> SecurityMiddleware:
    """The ASGI app of a service; `host` and `port` are where it listens, `token` is required on every path."""
    pages = Pages(service.predictor, service.limits, port=port, token=token is not None)
    routes = [
        Route("/predict", service.predict, methods=["POST"]),
        Route("/healthz", service.health),
        *(Route(path, pages.endpoint(path)) for path in pages.paths),
    ]
    return guarded(routes, service.stop, host=host, port=port, token=token)


def guarded(
    routes: Sequence[Route], stop: Callable[[], None], *, host: str, port: int, token: str | None
) -> SecurityMiddleware:
    """An app of these routes behind the check of every request; `stop` is run in a thread when the server ends."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(stop)

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


class _Served(Protocol):
    """What a server needs to know of the service that it runs."""

    limits: Limits
    clients: Clients
    held: Held


def make_server(app: SecurityMiddleware, service: _Served, started: Callable[[], None]) -> uvicorn.Server:
    """A server for `app` that logs nothing and runs `started` once it listens."""
    for name in _QUIET:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate, logger.disabled = [logging.NullHandler()], False, True
    config = uvicorn.Config(
        app, http=service.clients.protocol(), ws="none", loop="asyncio", lifespan="on", log_config=None, access_log=False,
        server_header=False, proxy_headers=False, timeout_keep_alive=5, timeout_graceful_shutdown=1,
        limit_concurrency=service.limits.connections + 1,  # reached only when all of them wait for the model
    )  # fmt: skip
    return _Server(config, service, started)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, service: _Served, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._service, self._on_start = service, started

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Each of ENDING closes the server in order, also SIGHUP, which uvicorn does not handle; but nohup is heeded."""
        found = Interrupted()

        def handle(number: int, frame: Any) -> None:
            if found.note():
                self.should_exit = True

        with handled(handle, lambda now: now is not signal.SIG_IGN), handled(handle, lambda now: True, ASKED):
            yield

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_start()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: drop who is overdue."""
        self._service.clients.drop_overdue()
        if counter % 10 == 0:
            self._service.held.trim()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: Any = None) -> None:
        self._service.clients.drop_unfinished()
        await super().shutdown(sockets)
