"""Work on many files at once: Pillow, zlib and hashing release the GIL."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from plainfilm.data.image.sandbox import kill_children, thread_start

_T = TypeVar("_T")
_R = TypeVar("_R")


def in_threads(work: Callable[[_T], _R], items: Iterable[_T]) -> Iterator[_R]:
    """Results of `work` in item order, one thread per core; an error ends it without waiting for the rest."""
    # no `with`: it would wait for what is decoded now, also after Ctrl-C
    pool = ThreadPoolExecutor(os.cpu_count() or 1, initializer=thread_start())
    try:
        yield from pool.map(work, items)
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)  # Ctrl-C must not wait for thousands of files
        kill_children()  # nor for one that takes seconds
        raise
    pool.shutdown()
