"""The single model worker and the queue in front of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from plainfilm.serve.limits import RefusedError

_T = TypeVar("_T")


_FEW = 4  # images of a request that is soon done


class ScoringQueue:
    """Admits `limit` whole requests at a time and runs their tasks one by one in a thread of its own.

    Tasks of different requests take turns, so a request of few images waits for one task of each other. Requests of
    many images stay long: they have at most half of the places. Used by one event loop, so its counters need no lock.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.waiting = limit, 0
        self._long = 0  # of those waiting, requests of many images
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")

    def check(self, images: int = 1) -> None:
        """See whether there is a place for a request of `images` images.

        Raises:
            RefusedError: 503, there is none.
        """
        if self.waiting >= self.limit or (images > _FEW and self._long >= max(1, self.limit // 2)):
            raise RefusedError(503, "Too many requests are waiting. Send this one again.", retry_after=1)

    @contextlib.contextmanager
    def slot(self, images: int) -> Iterator[None]:
        """A place in the queue for a request that has arrived whole, until it is scored.

        Raises:
            RefusedError: 503, the queue is full.
        """
        self.check(images)
        long = images > _FEW
        self.waiting += 1
        self._long += long
        try:
            yield
        finally:
            self.waiting -= 1
            self._long -= long

    async def work(self, task: Callable[[], _T]) -> _T:
        """What `task` returns, run in the model's thread; cancelled while it waits, it never runs."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, task)

    def close(self) -> None:
        """Finish the running task, drop the rest."""
        self._thread.shutdown(wait=True, cancel_futures=True)
