"""Limits of every image reader: the error for a refused file, and the largest file, image and side that are read."""

from __future__ import annotations

from plainfilm.errors import DataError

MEGAPIXELS, MOST_MEGAPIXELS = 64, 1_000  # of one image: without --max-megapixels, and that it may ask for
MAX_BYTES = 256 * 1024 * 1024  # of a file: 64 megapixels of 32 bits
MAX_SIDE = 65_000
NO_MEMORY = "decoding it needs more memory than there is"


def most_bytes(megapixels: int) -> int:
    """The largest file that is read where an image may have `megapixels` million pixels."""
    return MAX_BYTES * max(megapixels, MEGAPIXELS) // MEGAPIXELS


def how_to_admit(megapixels: int, needed: int | None = None) -> str:
    """What to do about an image above `megapixels`, for the end of a line; '' where no option admits it."""
    if max(megapixels + 1, needed or 0) > MOST_MEGAPIXELS:
        return ""
    return f"; --max-megapixels {needed or 'N'} admits {'it' if needed else 'larger ones'}"


class NotAsScannedError(DataError):
    """An image that changed or was lost after the scan, by its relative path and what happened."""

    def __init__(self, relative: str, what: str) -> None:
        self.relative, self.what = relative, what
        super().__init__(self.about(repr(relative), "it"))

    def about(self, subject: str, restored: str) -> str:
        """The line, about the image or what it came from."""
        return f"{subject} {self.what}. Restore {restored}, give the new place of moved DATA with --data, or start a new run."


class DecodeError(Exception):
    """A file that cannot become pixels; `code` is stable, `why` is for people, neither holds the path.

    `fact` is `why` without the `train` option that would help: `predict` has no such option.
    """

    def __init__(self, code: str, fact: str, hint: str = "") -> None:
        self.code, self.fact, self.why = code, fact, fact + hint
        super().__init__(f"{code}: {self.why}")
