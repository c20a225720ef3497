"""Predictions as lines of CSV or JSON: one picture each, its path as it was given."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

from plainfilm.base.sanitize import UNSEEN
from plainfilm.export.inference import Prediction

FORMULA = "=+-@\uff1d\uff0b\uff0d\uff20"  # what a spreadsheet takes for the start of one, and their wide forms

Line = Callable[[str | Path, Prediction], str]


def columns(vocab: Sequence[str]) -> list[str]:
    """Names of the columns, in order."""
    return ["path", "label", "score", *(f"prob_{name}" for name in vocab), "flag", "error"]


def inert(text: str) -> str:
    """A text as a spreadsheet may hold it: what would begin a formula gets an apostrophe.

    Source: OWASP, CSV Injection.
    """
    begins = text.lstrip()[:1]
    return f"'{text}" if text[:1] in ("\t", "\r", "\n") or (begins and begins in FORMULA) else text


def visible(text: str) -> str:
    """A text as a terminal may show it: what moves the cursor or the reading direction is written as an escape."""
    return "".join(repr(c)[1:-1] if unicodedata.category(c) in UNSEEN else c for c in text)


def csv_header(vocab: Sequence[str]) -> str:
    """The first line, with its end."""
    return _csv([inert(name) for name in columns(vocab)])


def csv_line(vocab: Sequence[str]) -> Line:
    """What makes a CSV line, with its end, of a path and its prediction; numbers with 9 significant digits."""

    def line(path: str | Path, found: Prediction) -> str:
        numbers = [found.score, *(found.probs.get(name) for name in vocab)]
        shown = ["" if value is None else f"{value:.9g}" for value in numbers]
        texts = [inert(text) for text in ("; ".join(found.flags), found.error)]
        return _csv([inert(str(path)), inert(found.label), *shown, *texts])

    return line


def json_line(vocab: Sequence[str]) -> Line:
    """What makes a JSON line; ASCII only, so that any name is whole on any terminal and pipe."""

    def line(path: str | Path, found: Prediction) -> str:
        numbers = [found.score, *(found.probs.get(name) for name in vocab)]
        rounded = [None if value is None else float(f"{value:.9g}") for value in numbers]
        values = [str(path), found.label, *rounded, "; ".join(found.flags), found.error]
        return json.dumps(dict(zip(columns(vocab), values, strict=True))) + "\n"

    return line


def _csv(cells: Sequence[str]) -> str:
    """RFC 4180; Python's csv leaves a lone carriage return bare, at which others end the line."""
    quoted = ('"' + cell.replace('"', '""') + '"' if any(c in cell for c in ',"\r\n') else cell for cell in cells)
    return ",".join(quoted) + "\n"
