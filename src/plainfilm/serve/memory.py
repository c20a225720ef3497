"""The bytes of images and responses in memory: counted against one limit, and returned to the system."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
from collections.abc import Callable

from plainfilm.serve.limits import MB, RefusedError

_WORTH_IT = 32 * MB  # that are free again


class Held:
    """Bytes of all images and responses that are in memory now; used by one event loop.

    Args:
        drop: drops a client that is stalled, for room; whether there was one.
    """

    def __init__(self, limit: int, drop: Callable[[], bool] = lambda: False) -> None:
        self.limit, self.bytes, self._drop = limit, 0, drop
        self._most = 0  # since the last trim

    async def make_room(self, n: int) -> None:
        """Drop stalled clients until `n` bytes have room, as far as there are such clients."""
        while self.bytes + n > self.limit and self._drop():
            await asyncio.sleep(0.01)  # their tasks end, and give back what they held

    def take(self, n: int) -> None:
        """Count `n` more bytes.

        Raises:
            RefusedError: 503, they would be more than the limit.
        """
        if self.bytes + n > self.limit:
            raise RefusedError(503, "Too many images are waiting. Send this one again.", retry_after=2)
        self.bytes += n
        self._most = max(self._most, self.bytes)

    def give_back(self, n: int) -> None:
        """Count `n` bytes less."""
        self.bytes -= n

    def trim(self) -> bool:
        """Return memory to the system if much of it is free again; whether it was worth it.

        glibc keeps freed pieces among others that are in use: 280 MB after 64 large responses.
        """
        if self._most - self.bytes < _WORTH_IT:
            return False
        self._most = self.bytes
        with contextlib.suppress(OSError, AttributeError, TypeError):  # glibc alone has it, and needs it
            ctypes.CDLL(None).malloc_trim(0)
        return True
