"""An image that took long is tried quickly once: whoever sends it again holds nobody."""

from __future__ import annotations

import asyncio

import pytest

from plainfilm.serve.limits import Limits, RefusedError
from plainfilm.serve.queue import SlowImages
from plainfilm.serve.server import Service


def test_the_same_bytes_are_tried_once_and_others_each_time():
    slow, tried = SlowImages(), []

    def decode(image: bytes) -> str | None:
        tried.append(image)
        return None if image.startswith(b"slow") else "pixels"

    asked = [b"slow", b"one", b"slow", b"one", b"slow 2", b"slow", b"slow 2"]
    assert [slow.quickly(image, decode) for image in asked] == [None, "pixels", None, "pixels", None, None, None]
    assert tried == [b"slow", b"one", b"one", b"slow 2"]


def test_the_oldest_is_forgotten():
    slow, tried = SlowImages(most=2), []
    for image in (b"a", b"b", b"c", b"b", b"c", b"a"):
        slow.quickly(image, tried.append)
    assert tried == [b"a", b"b", b"c", b"a"]


def test_a_slow_image_that_is_sent_again_is_refused_before_it_is_tried_while_its_lane_is_full():
    tried = []

    class Predictor:
        def decode(self, image: bytes, *, quick: bool) -> str | None:
            tried.append((image, quick))
            return None if quick else "late"

    service = Service(Predictor(), Limits(queue=4))  # one place in the costly lane

    async def served() -> None:
        assert await service._decoded(bytearray(b"slow")) == "late"
        with service.queue._costly_place():
            for _ in range(3):
                with pytest.raises(RefusedError, match="take long to read"):
                    await service._decoded(bytearray(b"slow"))

    asyncio.run(served())
    assert tried == [(b"slow", True), (b"slow", False)]
    service.queue.close()
