"""Connections that are held open and say nothing: uvicorn waits for ever for the lines before a body."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


class _SlowClientTimeout(H11Protocol):
    """Drops a connection that sent no whole request within `HEAD_SECONDS`, counted from its first byte or its start."""

    HEAD_SECONDS = 10.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._calm()
        super().connection_lost(exc)

    def _asking(self) -> bool:
        """Whether a whole request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def _watch(self) -> None:
        if self._asking():
            self._calm()
        elif self._patience is None:
            self._patience = self.loop.call_later(self.HEAD_SECONDS, self._give_up)

    def _calm(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        self._patience = None
        if not self._asking() and not self.transport.is_closing():
            self.transport.abort()


def with_slow_client_timeout(seconds: float) -> type[_SlowClientTimeout]:
    """The protocol with another patience."""
    return type("Impatient", (_SlowClientTimeout,), {"HEAD_SECONDS": seconds})
