"""What every reader of image files refuses: the error, and the largest file and picture that are read."""

from __future__ import annotations

MAX_PIXELS = 64_000_000
MAX_BYTES = 256 * 1024 * 1024


class DecodeError(Exception):
    """A file that cannot become pixels; `code` is stable, `why` is for people, neither holds the path."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(f"{code}: {why}")
        self.code, self.why = code, why
