"""The routes of a board, and what each returns. It reads run folders, and writes nothing."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from plainfilm import __version__
from plainfilm.board.pages import Pages, has_report, static_files
from plainfilm.board.query import Query
from plainfilm.board.rows import Listed, Rows, stamp_of
from plainfilm.board.run_row import MB
from plainfilm.board.verdicts import Verdict, Verdicts, compare_on_valid
from plainfilm.errors import PlainfilmError
from plainfilm.runs.folder import RunDir
from plainfilm.schemas.run_list import RunRow
from plainfilm.serve.limits import Limits
from plainfilm.serve.memory import Held
from plainfilm.serve.slow_clients import Clients

_MOST_REPORT, _PIECE = 256 * MB, 65_536
_WAITING = 32  # requests that wait for the one thread that reads
_HASH = re.compile(rb"'sha256-[A-Za-z0-9+/]{43}='")
_POLICY = re.compile(rb"<meta[^>]*Content-Security-Policy[^>]*>", re.IGNORECASE)
_HEAD = 65_536  # bytes of a report in which its own policy stands
# as if it were opened from the disk: of no origin, so that a report of others reads nothing here, and asks nobody
_OF_REPORT = (
    "sandbox{scripts}; default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {hashes}; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_T = TypeVar("_T")


class Board:
    """A folder of runs, read in one thread."""

    def __init__(self, root: Path, limits: Limits, verdicts: Verdicts | None = None) -> None:
        self.limits, self.clients, self.held = limits, Clients(limits), Held(limits.held)
        self._rows, self._pages, self._verdicts = Rows(root), Pages(root), verdicts or Verdicts(compare_on_valid)
        self._thread, self._waiting = ThreadPoolExecutor(1, thread_name_prefix="board"), 0

    def routes(self) -> list[Route]:
        """All paths."""
        fixed = [Route(path, _fixed(content, kind)) for path, (content, kind) in static_files().items()]
        return [
            Route("/", self.index), Route("/run", self.run), Route("/report", self.report), Route("/healthz", _health), *fixed,
        ]  # fmt: skip

    def stop(self) -> None:
        """Begin nothing more; what compares ends with the process."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def index(self, request: Request) -> Response:
        """GET /: the table; ?run=A&run=B: curves, configs and verdicts of these."""
        return await self._answer(lambda: _html(self._index(request)))

    async def run(self, request: Request) -> Response:
        """GET /run?run=A: one run."""
        return await self._answer(lambda: self._one(request, lambda row: _html(self._pages.run(row))))

    async def report(self, request: Request) -> Response:
        """GET /report?run=A: its report, in pieces, with what its own content policy allows."""
        return await self._answer(lambda: self._one(request, _report_of), "report")

    async def _answer(self, make: Callable[[], Response | None], of: str = "run") -> Response:
        if self._waiting >= _WAITING:
            return _text("Too many requests are waiting. Load the page again.\n", 503)
        try:
            found = await self._work(make)
        except PlainfilmError as error:
            return _text(f"{error}\n", 500)
        return _text(f"There is no such {of} here.\n", 404) if found is None else found

    async def _work(self, task: Callable[[], _T]) -> _T:
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, task)
        finally:
            self._waiting -= 1

    def _index(self, request: Request) -> bytes:
        listed = self._rows.read()
        query = Query.of(request.query_params.multi_items(), listed.rows)
        return self._pages.board(listed, query, self._verdict(listed, query))

    def _verdict(self, listed: Listed, query: Query) -> Verdict | None:
        chosen = [listed.rows[name] for name in query.runs]
        done = [row for row in chosen if row.status == "done"]
        if len(chosen) < 2:
            return None
        if len(done) < 2:
            return Verdict(why="Finished runs are compared, two or more; of the chosen ones there are not as many.")
        done.sort(key=lambda row: row.name)  # the order in which they were chosen changes nothing
        key = tuple((row.name, stamp_of(RunDir(Path(row.path)))) for row in done)
        return self._verdicts.ask(key, [Path(row.path) for row in done])

    def _one(self, request: Request, make: Callable[[RunRow], _T | None]) -> _T | None:
        row = self._rows.read().rows.get(request.query_params.get("run", ""))
        return None if row is None else make(row)


def _report_of(row: RunRow) -> Response | None:
    """The report of a run; None where there is none, or no longer: it may be made again in this moment."""
    path = RunDir(Path(row.path)).report
    try:
        if not has_report(row) or path.stat().st_size > _MOST_REPORT:
            return None
        file = path.open("rb")
        policy = _policy(file.read(_HEAD))
        file.seek(0)
    except OSError:
        return None
    return StreamingResponse(_pieces(file), media_type="text/html", headers={"Content-Security-Policy": policy})


def _policy(head: bytes) -> str:
    """The content policy of a report: scripts only those whose hashes the report's own policy, in its head, names."""
    own = _POLICY.search(head)
    hashes = [found.decode() for found in _HASH.findall(own[0])] if own else []
    return _OF_REPORT.format(scripts=" allow-scripts" if hashes else "", hashes=" ".join(hashes) or "'none'")


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(_PIECE):
            yield piece


def _fixed(content: bytes, kind: str) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return Response(content, media_type=kind)

    return endpoint


async def _health(request: Request) -> Response:
    """GET /healthz: responds even while runs are read."""
    return JSONResponse({"status": "ok", "plainfilm": __version__})


def _html(page: bytes) -> Response:
    return Response(page, media_type="text/html")


def _text(text: str, status: int) -> Response:
    return PlainTextResponse(text, status)
