"""Clients that send or read too slowly: none of them is waited for, or keeps others out, for long.

uvicorn waits forever for headers, and for a client to read what is written to it.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from plainfilm.serve.limits import Limits

_READ = 131_072  # bytes at most of one read: what a connection can hold beyond what is counted
_PROBE, _INTERIM = 1.0, b"HTTP/1.1 100 Continue\r\n\r\n"  # seconds between two
_MOST_HEAD = 65_536  # bytes
_CHUNKED = b"A body in chunks is not taken. Send it with Content-Length, as browsers and curl -F do.\n"
_STALLED = 2.0  # seconds without progress after which a transfer may be dropped for others


class _Wait(Enum):
    """What a connection is waiting for."""

    HEAD = "a request, or the rest of its headers"
    BODY = "the rest of a body"
    MODEL = "our own work"
    SEND = "the client to read"


class Clients:
    """All connections of one server, used by one event loop."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._connections: set[_Client] = set()

    def joined(self, client: _Client) -> None:
        """A new connection; beyond the limit the slowest other one is dropped for it."""
        self._connections.add(client)
        if len(self._connections) > self.limits.connections:
            self.drop_slowest(heads=True)

    def parted(self, client: _Client) -> None:
        """A connection that is gone."""
        self._connections.discard(client)

    def drop_slowest(self, *, heads: bool = False) -> bool:
        """Drop the transfer that is stalled the longest, or with `heads` also a connection without a request; whether there was one."""
        waited = {client: client.dispensable(heads=heads) for client in self._connections}
        slowest = max(waited, key=waited.__getitem__, default=None)
        if slowest is None or not waited[slowest]:
            return False
        slowest.drop()
        return True

    def drop_overdue(self) -> None:
        """Drop every connection whose client let its deadline pass."""
        for client in list(self._connections):
            client.drop_overdue()

    def drop_unfinished(self) -> None:
        """Drop those who have not sent a whole request, for the end of the server."""
        for client in list(self._connections):
            client.drop_unfinished()

    def protocol(self) -> type[H11Protocol]:
        """uvicorn's protocol for these connections."""
        return type("Client", (_Client,), {"clients": self})


class _Parser(h11.Connection):
    """Refuses a body in chunks once its head is read: one byte a chunk, 3 MB took 3.4 s of the event loop."""

    refused = False

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        event = super().next_event()
        if isinstance(event, h11.Request) and any(name == b"transfer-encoding" for name, _ in event.headers):
            self.refused = True
            raise h11.RemoteProtocolError("a body in chunks")
        return event


class _Client(H11Protocol):
    """One connection, which knows since when its client has made no progress."""

    clients: Clients

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn = self._parser = _Parser(h11.SERVER, _MOST_HEAD)
        self._wait, self._since, self._received = _Wait.HEAD, self.loop.time(), 0
        self._dropped = False
        self._half_closed, self._probed = False, 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if hasattr(transport, "max_size"):  # of asyncio's selector transports: 256 KiB
            transport.max_size = _READ
        self.clients.joined(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.clients.parted(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if self._parser.refused:  # read on, unparsed: closed with bytes unread, the client would not get the response
            if self._received > self.clients.limits.request:
                self.drop()
            return
        super().data_received(data)
        self._update()

    def eof_received(self) -> bool:  # type: ignore[override] # uvicorn closes, though the client may wait for its response
        """The client sends no more: it is gone, or it has closed its side only and reads on. Whether to stay open."""
        self._half_closed = self.cycle is not None and not self.cycle.more_body and not self.cycle.response_complete
        self._probe()
        return self._half_closed

    def send_400_response(self, msg: str) -> None:
        if self._parser.refused:
            self._send_411()
        elif self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.drop()  # uvicorn would begin a second response within the first, and fail
        else:
            super().send_400_response(msg)

    def _send_411(self) -> None:
        headers = [("content-type", "text/plain; charset=utf-8"), ("content-length", str(len(_CHUNKED)))]
        parts = h11.Response(status_code=411, headers=[*headers, ("connection", "close")], reason=b"Length Required")
        for event in (parts, h11.Data(data=_CHUNKED), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._since = self.loop.time()

    def on_response_complete(self) -> None:
        self._since = self.loop.time()
        super().on_response_complete()
        if self._half_closed and self.cycle.response_complete:  # else the next one of a pipeline has begun
            self.transport.close()

    def dispensable(self, *, heads: bool) -> float:
        """Seconds without progress, if that is a reason to drop this connection for others, else 0."""
        self._update()
        if self._dropped or self._wait is _Wait.MODEL:
            return 0.0
        seconds = self.loop.time() - self._since
        if self._wait is _Wait.HEAD:
            return seconds if heads else 0.0
        return seconds if seconds >= _STALLED else 0.0

    def drop_overdue(self) -> None:
        """Drop the connection if its client let the deadline pass; that of a body is kept by the app, which says why."""
        self._update()
        self._probe()
        limits = self.clients.limits
        seconds = {_Wait.HEAD: limits.head, _Wait.SEND: limits.idle}.get(self._wait)
        if seconds is not None and self.loop.time() - self._since > seconds:
            self.drop()

    def drop_unfinished(self) -> None:
        """Drop the connection if its request is not whole."""
        self._update()
        if self._wait in (_Wait.HEAD, _Wait.BODY):
            self.drop()

    def drop(self) -> None:
        """Close at once; what was not sent is forgotten."""
        self._dropped = True
        self.transport.abort()

    def _probe(self) -> None:
        """Send an interim response to a client that sends no more: where it is gone, the second one fails and ends its work.

        TCP tells both cases apart in no other way. Clients skip interim responses; those of HTTP/1.0 know none.
        """
        now = self.loop.time()
        if not self._half_closed or self.cycle.response_started or now - self._probed < _PROBE:
            return
        if self.scope["http_version"] == "1.1" and not self.transport.is_closing():
            self._probed = now
            self.transport.write(_INTERIM)

    def _waiting_for(self) -> _Wait:
        if self.transport.get_write_buffer_size():
            return _Wait.SEND
        if self.cycle is None or self.cycle.response_complete:
            return _Wait.HEAD
        return _Wait.BODY if self.cycle.more_body else _Wait.MODEL

    def _update(self) -> None:
        """Note progress: another state, or enough bytes of a body. Bytes of a header are none, nor are a few of a body."""
        now = self._waiting_for()
        moved = now is _Wait.BODY and self._received >= self.clients.limits.least
        if now is not self._wait or moved:
            self._wait, self._since, self._received = now, self.loop.time(), 0
