"""Places for requests, two lanes that decode, and the single model worker behind them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from plainfilm.serve.limits import RefusedError

_T = TypeVar("_T")


_FEW = 4  # images of a request that is soon done
_MOST = 4096


class ScoringQueue:
    """Admits `limit` whole requests at a time and runs their tasks one by one, in one thread per kind of task.

    Tasks of different requests take turns, so a request of few images waits for one task of each other. Requests of
    many images stay long: they have at most half of the places. Images that may take seconds to decode wait in a lane
    of their own, with a quarter of the places: quick ones pass them. Used by one event loop, so its counters need no lock.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.waiting = limit, 0
        self._long = 0  # of those waiting, requests of many images
        self._costly = 0  # of those waiting, requests with an image in the costly lane
        self._model, self._quick, self._slow = (
            ThreadPoolExecutor(1, thread_name_prefix=name) for name in ("model", "decode", "decode-costly")
        )

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

    async def decoded(self, quickly: Callable[[], _T | None], patiently: Callable[[], _T]) -> _T:
        """What `quickly` returns, or where that is None, what `patiently` returns once its lane is free.

        Raises:
            RefusedError: 503, too many are waiting for that lane.
        """
        found = await _run(self._quick, quickly)
        if found is not None:
            return found
        with self._costly_place():
            return await _run(self._slow, patiently)

    async def work(self, task: Callable[[], _T]) -> _T:
        """What `task` returns, run in the model's thread; cancelled while it waits, it never runs."""
        return await _run(self._model, task)

    def close(self) -> None:
        """Finish the running tasks, drop the rest."""
        for thread in (self._quick, self._slow, self._model):
            thread.shutdown(wait=True, cancel_futures=True)

    @contextlib.contextmanager
    def _costly_place(self) -> Iterator[None]:
        if self._costly >= max(1, self.limit // 4):
            raise RefusedError(
                503, "Too many images that take long to read are waiting. Send this one again.", retry_after=5
            )
        self._costly += 1
        try:
            yield
        finally:
            self._costly -= 1


class SlowImages:
    """Remembers the last 4,096 of them by a keyed hash, which says nothing once the server ended; used by one thread.

    A try that fails takes a second from all others, and a new process. Whoever sends such an image again and again takes
    that second once.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most, self._key = most, os.urandom(32)
        self._hashes: dict[bytes, None] = {}  # oldest first

    def quickly(self, image: bytes, decode: Callable[[bytes], _T | None]) -> _T | None:
        """What `decode` returns, None where it takes long; None at once for an image that took long before."""
        name = hashlib.blake2b(image, digest_size=32, key=self._key).digest()
        if name in self._hashes:
            return None
        found = decode(image)
        if found is None:
            self._hashes[name] = None
            if len(self._hashes) > self._most:
                del self._hashes[next(iter(self._hashes))]
        return found


async def _run(thread: ThreadPoolExecutor, task: Callable[[], _T]) -> _T:
    return await asyncio.get_running_loop().run_in_executor(thread, task)
