"""Who is served when: long requests leave room, and what takes long to decode holds nobody else."""

from __future__ import annotations

import asyncio
import threading

import pytest

from plainfilm.serve.limits import RefusedError
from plainfilm.serve.queue import ScoringQueue


def never() -> str:
    raise AssertionError


def test_long_requests_leave_half_of_the_queue_to_short_ones():
    queue = ScoringQueue(4)
    with queue.slot(64), queue.slot(5):
        with pytest.raises(RefusedError), queue.slot(5):
            pass
        with queue.slot(4), queue.slot(1):
            with pytest.raises(RefusedError):
                queue.check()
            assert queue.waiting == 4
        with queue.slot(1):
            pass
    with queue.slot(64):
        assert queue.waiting == 1
    queue.close()


@pytest.mark.parametrize(("limit", "places"), [(1, 1), (8, 2), (32, 8)])
def test_quick_images_pass_those_that_take_long(limit: int, places: int):
    """The lane for those that take long is stuck: it holds a quarter of the places, and no quick image waits for it."""
    queue, go = ScoringQueue(limit), threading.Event()

    def stuck() -> str:
        assert go.wait(30)
        return "late"

    async def served() -> list[str]:
        late = [asyncio.ensure_future(queue.decoded(lambda: None, stuck)) for _ in range(places)]
        assert [await queue.decoded(lambda: "quick", never) for _ in range(3)] == ["quick"] * 3
        assert await queue.work(lambda: "scored") == "scored"
        with pytest.raises(RefusedError, match="take long to read") as caught:
            await queue.decoded(lambda: None, never)
        assert caught.value.status == 503 and caught.value.retry_after
        assert not any(one.done() for one in late)
        go.set()
        return await asyncio.gather(*late, queue.decoded(lambda: "quick", never))

    assert asyncio.run(served()) == ["late"] * places + ["quick"]
    assert asyncio.run(queue.decoded(lambda: None, lambda: "again")) == "again"  # the places are free again
    queue.close()
