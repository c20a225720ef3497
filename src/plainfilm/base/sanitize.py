"""Makes untrusted text (class, file and column names) safe to show on a page, and a traceback safe to keep."""

from __future__ import annotations

import traceback
import unicodedata
from pathlib import Path
from typing import Any

# Unicode categories: control, format (includes right-to-left overrides), lone surrogate, private use, unassigned,
# line and paragraph separators.
INVISIBLE = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
# what a spreadsheet takes for the start of a formula, and the full-width forms
_FORMULA = "=+-@\uff1d\uff0b\uff0d\uff20"
_LONGEST = 120
_LONGEST_VALUE = 80


def sanitized(text: Any, limit: int = _LONGEST) -> str:
    """The text with invisible characters escaped, cut to `limit` characters.

    A leading character that a spreadsheet reads as a formula gets an apostrophe, since people copy tables from pages.
    HTML is not escaped here; the templates do that.
    """
    seen = visible(str(text)[: limit + 1])
    seen = seen if len(str(text)) <= limit else seen[:limit] + "\u2026"
    return f"'{seen}" if seen[:1] and seen[0] in _FORMULA else seen


def spreadsheet_cell(text: str) -> str:
    """A text that is safe in a spreadsheet: what would start a formula gets an apostrophe.

    Source: OWASP, CSV Injection.
    """
    begins = text.lstrip()[:1]
    return f"'{text}" if text[:1] in ("\t", "\r", "\n") or (begins and begins in _FORMULA) else text


def visible(text: str) -> str:
    """A text that is safe in a terminal: what moves the cursor or changes the reading direction is escaped."""
    return "".join(repr(c)[1:-1] if unicodedata.category(c) in INVISIBLE else c for c in text)


def found_value(value: Any) -> str:
    """A value from a file as a message quotes it, cut at 80 characters."""
    text = repr(value[: 2 * _LONGEST_VALUE] if isinstance(value, str | bytes | list) else value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}\u2026"


def frames_alone(error: BaseException) -> str:
    """Stack frames of an error, without message and paths: both can hold a patient's name."""
    frames = traceback.extract_tb(error.__traceback__)
    return "".join(f"  {Path(f.filename).name}:{f.lineno} {f.name}\n" for f in frames) + f"{type(error).__name__}\n"
