"""The document in pieces is the document, and its bytes are counted until they are sent."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from plainfilm.serve.limits import RefusedError
from plainfilm.serve.memory import Held
from plainfilm.serve.responses import ScoresResponse


def sent(response: ScoresResponse, held: Held) -> tuple[dict[bytes, bytes], bytes, list[int]]:
    """The headers, the body, and what is held at the time of each piece."""
    messages: list[dict[str, Any]] = []
    counts: list[int] = []

    async def send(message: Any) -> None:
        messages.append(dict(message))
        counts.append(held.bytes)

    async def receive() -> Any:
        raise AssertionError

    asyncio.run(response({}, receive, send))
    assert [message.get("more_body") for message in messages[1:]] == [True] * (len(messages) - 2) + [False]
    return dict(messages[0]["headers"]), b"".join(message["body"] for message in messages[1:]), counts[1:]


@pytest.mark.parametrize("length", [0, 10, 65_000, 65_536, 200_000])
def test_the_pieces_are_the_document(length: int):
    held = Held(10**6)
    response = ScoresResponse(held, {"notice": "é", "notes": ["]}"]})
    results = [{"index": i, "seen": "ü" + "x" * length} for i in range(3)]
    for result in results:
        asyncio.run(response.add(result))
    assert 3 * length < held.bytes < 3 * (length + 40)
    headers, body, counts = sent(response, held)
    assert json.loads(body) == {"notice": "é", "notes": ["]}"], "results": results}
    assert headers[b"content-length"] == str(len(body)).encode() and headers[b"content-type"] == b"application/json"
    assert counts == sorted(counts, reverse=True)
    assert held.bytes == 0
    if length == 200_000:
        assert counts[-1] < 65_536  # all but the last piece were given back


def test_a_response_beyond_the_cap_is_refused_and_forgotten():
    held = Held(1000)
    response = ScoresResponse(held, {})
    asyncio.run(response.add({"seen": "x" * 900}))
    with pytest.raises(RefusedError) as caught:
        asyncio.run(response.add({"seen": "x" * 100}))
    assert caught.value.status == 503
    response.close()
    assert held.bytes == 0


def test_stalled_clients_make_room_as_long_as_there_are_any():
    stalled = [600, 300]

    def drop() -> bool:
        if stalled:
            held.give_back(stalled.pop(0))
            return True
        return False

    held = Held(1000, drop)
    held.take(950)
    asyncio.run(held.make_room(40))
    assert held.bytes == 950  # there was room
    asyncio.run(held.make_room(100))
    assert held.bytes == 350 and stalled == [300]
    asyncio.run(held.make_room(10_000))
    assert held.bytes == 50


def test_memory_is_returned_once_much_is_free_again():
    held = Held(10**9)
    held.take(100_000_000)
    assert not held.trim()  # all in use
    held.give_back(90_000_000)
    assert held.trim() and not held.trim()
