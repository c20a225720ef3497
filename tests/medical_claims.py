"""What a text claims of a medical use: a diagnosis, a device, a use on patients. Research use needs no such words."""

from __future__ import annotations

import re
from html import unescape

PURPOSE = (
    r"(?:use|uses|decisions?|practice|care|grade|purposes?|routine|workflows?|settings?|validation|validated|approved)"
)
SPEAKS = re.compile(
    rf"\bdiagnos\w*|\bclinical(?:ly)?[\s-]+{PURPOSE}\b|\bmedical[\s-]+(?:{PURPOSE}|devices?|products?|advice)\b"
    r"|\b(?:ready|fit|suitable|safe|approved|cleared|certified|validated)\s+for\s+(?:the\s+)?(?:clinic|hospital|patient|medic)\w*"
    r"|\bpatient[\s-]+care\b|\bFDA\b|\bCE[\s-]+mark\w*",
    re.IGNORECASE,
)
NEGATION = re.compile(r"\b(?:no|not|never|nor|neither|none|cannot|without)\b", re.IGNORECASE)
CLAUSE = re.compile(r"[.;:!?](?=\s|$)|\n\s*\n|\n\s*[-*#>]\s|\||\bbut\b")


def claims(text: str) -> list[str]:
    """Clauses that speak of a medical use without a negation before it; `note` holds none, and one behind is too late."""
    found = []
    for clause in CLAUSE.split(text):
        speaks = SPEAKS.search(clause)
        if speaks and not NEGATION.search(clause[: speaks.start()]):
            found.append(" ".join(clause.split()))
    return found


def shows_research_use_only(text: str) -> bool:
    """Whether a text says what it is for, and nothing else of the kind."""
    return re.search(r"\bresearch\s+use\s+only\b", text, re.IGNORECASE) is not None and claims(text) == []


def text_of(html: str) -> str:
    """The words of a page, or of its template."""
    bare = re.sub(r"<(style|script)\b.*?</\1>|data:[\w/]+;base64,[\w+/=]+|\{[%#].*?[%#]\}", " ", html, flags=re.DOTALL)
    return unescape(re.sub(r"<[^>]*>", " ", bare))
