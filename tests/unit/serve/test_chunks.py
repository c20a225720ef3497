"""A body in chunks is refused before it is parsed: a chunk of one byte costs the event loop as much as one of 64 KB."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from plainfilm.serve.limits import Limits
from plainfilm.serve.slow_clients import Clients

CHUNKED = b"POST /predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


class Transport:
    """What is written to it, and how it ended."""

    max_size = 0

    def __init__(self) -> None:
        self.written, self.ended = b"", ""

    def write(self, data: bytes) -> None:
        self.written += data

    def __getattr__(self, name: str) -> Any:
        return {
            "get_write_buffer_size": lambda: 0,
            "can_write_eof": lambda: True,
            "is_closing": lambda: bool(self.ended),
            "abort": lambda: setattr(self, "ended", "aborted"),
            "write_eof": lambda: setattr(self, "ended", "written"),
        }.get(name, lambda *_: None)


async def app(scope: Any, receive: Any, send: Any) -> None:
    pytest.fail("it was taken on")


def heard(*sent: bytes) -> tuple[Transport, Any]:
    async def talk() -> tuple[Transport, Any]:
        config = uvicorn.Config(app, ws="none", lifespan="off", log_config=None)
        client, transport = Clients(Limits(request=2_000_000)).protocol()(config, ServerState(), {}), Transport()
        client.connection_made(transport)  # type: ignore[arg-type]
        for data in sent:
            client.data_received(data)
        return transport, client

    return asyncio.run(talk())


def test_its_head_is_answered_and_nothing_behind_it_is_parsed() -> None:
    transport, client = heard(CHUNKED + b"1\r\na\r\n" * 5_000, b"1\r\na\r\n" * 5_000)
    assert transport.written.startswith(b"HTTP/1.1 411 ") and b"connection: close" in transport.written.lower()
    assert transport.written.endswith(b"Send it with Content-Length, as browsers and curl -F do.\n")
    assert transport.ended == "written" and client.cycle is None
    assert client.conn.trailing_data[0] == b"1\r\na\r\n" * 5_000  # the first read's, as it came


def test_whoever_goes_on_sending_is_dropped() -> None:
    assert heard(CHUNKED, bytes(1_000_000), bytes(1_000_001))[0].ended == "aborted"
