"""Images that took long to decode: the same bytes are not tried quickly again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")
_MOST = 4096


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
