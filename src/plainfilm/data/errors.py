"""Limits of every image reader: the error for a refused file, and the largest file, image and side that are read."""

from __future__ import annotations

MAX_PIXELS = 64_000_000
MAX_BYTES = 256 * 1024 * 1024
MAX_SIDE = 65_000
NO_MEMORY = "decoding it needs more memory than there is"


class DecodeError(Exception):
    """A file that cannot become pixels; `code` is stable, `why` is for people, neither holds the path.

    `fact` is `why` without the `train` option that would help: `predict` has no such option.
    """

    def __init__(self, code: str, fact: str, hint: str = "") -> None:
        self.code, self.fact, self.why = code, fact, fact + hint
        super().__init__(f"{code}: {self.why}")
