"""Names of classes that people would take for one: equal but for case, spaces, dashes or Unicode form."""

from __future__ import annotations

import unicodedata


def folded(label: str) -> str:
    """Equal for labels that differ in case, spaces, dashes, invisible characters or Unicode form."""
    kinds_of = ((char, unicodedata.category(char)) for char in unicodedata.normalize("NFC", label))
    visible = "".join("-" if kind == "Pd" else char for char, kind in kinds_of if kind != "Cf")
    return " ".join(unicodedata.normalize("NFC", visible.casefold()).split())
