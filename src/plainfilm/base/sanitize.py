"""Texts that others chose (class, file, column names) made harmless before they stand on a page."""

from __future__ import annotations

import unicodedata
from typing import Any

# Controls, invisible formatting (right-to-left overrides among them), halves of surrogates, unassigned, line ends.
INVISIBLE = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
_FORMULA = "=+-@"
_LONGEST = 120


def sanitized(text: Any, limit: int = _LONGEST) -> str:
    """The text with what cannot be seen written as an escape, cut to `limit` characters.

    A first character that a spreadsheet takes for a formula gets an apostrophe, since tables are copied from pages.
    HTML is not escaped here: the template does that, everywhere.
    """
    seen = "".join(
        repr(c)[1:-1].replace("'", "") if unicodedata.category(c) in INVISIBLE else c for c in str(text)[: limit + 1]
    )
    seen = seen if len(str(text)) <= limit else seen[:limit] + "\u2026"
    return f"'{seen}" if seen[:1] and seen[0] in _FORMULA else seen
