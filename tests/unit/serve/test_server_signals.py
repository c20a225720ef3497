"""Each signal that asks for the end closes the server in order."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Any

import pytest
import uvicorn
from starlette.requests import Request

from plainfilm.base.signals import ENDING
from plainfilm.data.image import sandbox
from plainfilm.serve.limits import Limits
from plainfilm.serve.predictor import Predictor
from plainfilm.serve.server import Service, _Server

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of a POSIX system")


class _Bundle:
    stopped = False

    def stop(self) -> None:
        self.stopped = True


@pytest.fixture
def service() -> Any:
    yield Service(Predictor(_Bundle(), None), Limits())  # type: ignore[arg-type]
    sandbox.use("auto")


@pytest.mark.parametrize("number", ENDING)
def test_each_asks_the_server_to_end(service: Service, number: int):
    before = [signal.signal(one, lambda *_: pytest.fail("not the server's")) for one in ENDING]
    server = _Server(uvicorn.Config("none"), service, lambda: None)
    try:
        with server.capture_signals():
            signal.raise_signal(number)
            assert server.should_exit
    finally:
        for one, handler in zip(ENDING, before, strict=True):
            signal.signal(one, handler)


def test_nohup_is_heeded(service: Service):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    server = _Server(uvicorn.Config("none"), service, lambda: None)
    try:
        with server.capture_signals():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert not server.should_exit


def test_a_second_one_ends_the_process(service: Service, monkeypatch: pytest.MonkeyPatch):
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    server = _Server(uvicorn.Config("none"), service, lambda: None)
    with server.capture_signals():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert codes == []
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now + 1)
        signal.raise_signal(signal.SIGHUP)
    assert codes == [130]


def test_stopping_ends_decoding_and_the_network(service: Service):
    service.stop()
    assert service.predictor.bundle.stopped and sandbox._stopped  # type: ignore[attr-defined]


def test_a_request_in_progress_is_told_that_the_server_ends(service: Service, monkeypatch: pytest.MonkeyPatch):
    """uvicorn cancels it, and would respond with 500 itself."""

    async def ended() -> Any:
        begun = asyncio.Event()

        async def scored(*_: Any) -> None:
            begun.set()
            await asyncio.sleep(30)

        monkeypatch.setattr(service, "_scored", scored)
        kind = (b"content-type", b"multipart/form-data; boundary=cut")
        request = Request({"type": "http", "method": "POST", "query_string": b"", "headers": [kind]})
        task = asyncio.ensure_future(service.predict(request))
        await begun.wait()
        task.cancel()
        return await task

    response = asyncio.run(ended())
    assert response.status_code == 503 and b"being stopped" in response.body
    assert service.counts["turned away"] == 1
