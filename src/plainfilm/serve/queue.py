"""The one model worker, and the queue before it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from plainfilm.serve.limits import RefusedError

_T = TypeVar("_T")


class ScoringQueue:
    """Lets `queue` requests in at a time, and works for them one piece after the other in a thread of its own.

    Used by one event loop, so its numbers need no lock.
    """

    def __init__(self, queue: int) -> None:
        self.queue, self.inside = queue, 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")

    @contextlib.contextmanager
    def seat(self) -> Iterator[None]:
        """A place in the queue, from the first byte of a request to its last answer.

        Raises:
            RefusedError: 503, all are taken.
        """
        if self.inside >= self.queue:
            raise RefusedError(503, "Too many requests are waiting. Send this one again.", retry_after=1)
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1

    async def work(self, task: Callable[[], _T]) -> _T:
        """What `task` returns, worked out in the model's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, task)

    def close(self) -> None:
        """Finish the piece in hand, drop the rest."""
        self._thread.shutdown(wait=True, cancel_futures=True)
