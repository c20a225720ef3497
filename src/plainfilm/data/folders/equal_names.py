"""Names of classes that people would take for one: equal but for case, spaces, dashes or Unicode form."""

from __future__ import annotations

import unicodedata

# Cyrillic and Greek letters whose capital reads as a Latin one, or that do so themselves; all as casefold() gives them.
# Source: Unicode Technical Standard 39, confusables.
_LATIN = str.maketrans("авекмнорстухіѕјԁһԛԝαβεζηικμνορτυχ", "abekmhopctyxisjdhqwabezhikmnoptyx")


def folded(label: str) -> str:
    """Equal for labels that differ in case, spaces, dashes, invisible characters or Unicode form."""
    kinds_of = ((char, unicodedata.category(char)) for char in unicodedata.normalize("NFC", label))
    visible = "".join("-" if kind == "Pd" else char for char, kind in kinds_of if kind != "Cf")
    return " ".join(unicodedata.normalize("NFC", visible.casefold()).split())


def lookalike(label: str) -> str:
    """Equal for labels that are folded() alike, or read so in capitals: Cyrillic and Greek letters as Latin ones."""
    return folded(label).translate(_LATIN)
