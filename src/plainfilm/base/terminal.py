"""Plain lines to a terminal: the one place, beside rich's console in cli/screen, that prints."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable
from typing import Any, TextIO

from plainfilm.base.sanitize import visible

_LONGEST = 4000  # characters of an error; a message may list what a file holds


def tell(text: str, stream: TextIO | None = None, *, data: bool = False) -> None:
    """Print lines on `stream` (None: stderr) with control characters and text direction made visible; nothing where
    the stream is closed. `data`: exact in a file or pipe.
    """
    stream = stream or sys.stderr
    if stream is not None:
        encoding = stream.encoding or "utf-8"
        exact = data and not stream.isatty()
        shown = text if exact else "\n".join(map(visible, text.split("\n")))
        stream.write(shown.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        stream.flush()


def tell_error(message: str) -> None:
    """An error as one line on stderr, cut where it is very long."""
    line = " ".join(message.splitlines())
    tell(f"plainfilm: {line[:_LONGEST]}\u2026" if len(line) > _LONGEST else f"plainfilm: {line}")


def make_others_visible() -> None:
    """The same for what libraries print as warnings and logs: they may quote a file. Again, it changes nothing."""
    if not isinstance(warnings.formatwarning, _VisibleWarnings):
        warnings.formatwarning = _VisibleWarnings(warnings.formatwarning)
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_VisibleFormatter())
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # PYTHONIOENCODING=ascii must not end a command


class _VisibleWarnings:
    """warnings.formatwarning, made visible."""

    def __init__(self, shown: Callable[..., str]) -> None:
        self._shown = shown

    def __call__(self, *about: Any, **more: Any) -> str:
        return "\n".join(map(visible, self._shown(*about, **more).split("\n")))


class _VisibleFormatter(logging.Formatter):
    """The message of a log record, made visible."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(map(visible, super().format(record).split("\n")))
