"""Makes untrusted text (class, file and column names) safe to show on a page."""

from __future__ import annotations

import unicodedata
from typing import Any

# Unicode categories: control, format (includes right-to-left overrides), lone surrogate, private use, unassigned,
# line and paragraph separators.
INVISIBLE = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
_FORMULA = "=+-@"
_LONGEST = 120


def sanitized(text: Any, limit: int = _LONGEST) -> str:
    """The text with invisible characters escaped, cut to `limit` characters.

    A leading character that a spreadsheet reads as a formula gets an apostrophe, since people copy tables from pages.
    HTML is not escaped here; the templates do that.
    """
    seen = "".join(
        repr(c)[1:-1].replace("'", "") if unicodedata.category(c) in INVISIBLE else c for c in str(text)[: limit + 1]
    )
    seen = seen if len(str(text)) <= limit else seen[:limit] + "\u2026"
    return f"'{seen}" if seen[:1] and seen[0] in _FORMULA else seen
