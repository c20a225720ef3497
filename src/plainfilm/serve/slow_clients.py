"""A timeout for connections that are held open and send nothing: uvicorn waits forever for the headers."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


class _SlowClientTimeout(H11Protocol):
    """Drops a connection that sent no complete request within `HEAD_SECONDS` of its start or its first byte."""

    HEAD_SECONDS = 10.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._update_timer()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._update_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timer()
        super().connection_lost(exc)

    def _responding(self) -> bool:
        """Whether the response to a complete request is under way."""
        return self.cycle is not None and not self.cycle.response_complete

    def _update_timer(self) -> None:
        if self._responding():
            self._cancel_timer()
        elif self._timer is None:
            self._timer = self.loop.call_later(self.HEAD_SECONDS, self._give_up)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        if not self._responding() and not self.transport.is_closing():
            self.transport.abort()


def with_slow_client_timeout(seconds: float) -> type[_SlowClientTimeout]:
    """The protocol with a timeout of `seconds`."""
    return type("SlowClientTimeout", (_SlowClientTimeout,), {"HEAD_SECONDS": seconds})
