"""The response with the scores: sent at the client's pace, counted in memory until it is sent."""

from __future__ import annotations

import json
from collections import deque
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from plainfilm.serve.memory import Held

_PIECE = 65_536  # bytes; uvicorn waits before the next one once as many are unsent


class ScoresResponse(Response):
    """A JSON document with one list, `results`, which grows by `add` before the document is sent.

    Args:
        document: the rest of it.
    """

    def __init__(self, held: Held, document: dict[str, Any]) -> None:
        self.status_code, self.background = 200, None
        self._held, self._size, self._kept = held, 0, 0
        self._pieces: deque[bytes] = deque()
        self._last, self._tail, self._comma = bytearray(), b"]}", b""
        self._write(_json({**document, "results": []}).removesuffix(self._tail))

    async def add(self, result: dict[str, Any]) -> None:
        """The next entry of `results`.

        Raises:
            RefusedError: 503, there is no room for it.
        """
        text = self._comma + _json(result)
        await self._held.make_room(len(text))
        self._held.take(len(text))
        self._kept += len(text)
        self._comma = b","
        self._write(text)

    def close(self) -> None:
        """Forget what was not sent."""
        self._pieces.clear()
        self._last.clear()
        self._held.give_back(self._kept)
        self._kept = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the document; each piece is forgotten once the client's connection took it."""
        try:
            self._write(self._tail)
            self._pieces.append(bytes(self._last))
            headers = [(b"content-type", b"application/json"), (b"content-length", str(self._size).encode())]
            await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
            while self._pieces:
                piece = self._pieces.popleft()
                await send({"type": "http.response.body", "body": piece, "more_body": bool(self._pieces)})
                self._give_back(len(piece))
        finally:
            self.close()

    def _write(self, text: bytes) -> None:
        self._size += len(text)
        self._last += text
        whole = len(self._last) // _PIECE * _PIECE
        self._pieces.extend(bytes(self._last[start : start + _PIECE]) for start in range(0, whole, _PIECE))
        del self._last[:whole]

    def _give_back(self, n: int) -> None:
        n = min(n, self._kept)
        self._held.give_back(n)
        self._kept -= n


def _json(value: Any) -> bytes:
    """As starlette writes it."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
