"""The single model worker and the queue in front of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from plainfilm.serve.limits import RefusedError

_T = TypeVar("_T")


class ScoringQueue:
    """Admits `limit` requests at a time and runs their tasks one by one in a thread of its own.

    Used by one event loop, so its counter needs no lock.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.waiting = limit, 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")

    @contextlib.contextmanager
    def slot(self) -> Iterator[None]:
        """A place in the queue, from the first byte of a request to its response.

        Raises:
            RefusedError: 503, the queue is full.
        """
        if self.waiting >= self.limit:
            raise RefusedError(503, "Too many requests are waiting. Send this one again.", retry_after=1)
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1

    async def work(self, task: Callable[[], _T]) -> _T:
        """What `task` returns, run in the model's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, task)

    def close(self) -> None:
        """Finish the running task, drop the rest."""
        self._thread.shutdown(wait=True, cancel_futures=True)
