"""Environment variables on which a library would fail are taken away before it reads them."""

from __future__ import annotations

import os

SIZES = ("COLUMNS", "LINES", "TERMINAL_WIDTH")  # rich reads the first two, typer's help the third
_DATE = "SOURCE_DATE_EPOCH"


def is_size(text: str) -> bool:
    """Whether rich can take it as a width: it fails at 0, at huge numbers and at digits of other scripts."""
    return text.isascii() and text.isdigit() and len(text) < 6 and int(text) > 0


def _is_date(text: str) -> bool:
    """Whether matplotlib can take it as seconds since 1970; it fails when it saves a figure."""
    return text.isascii() and text.isdigit() and len(text) < 11


def make_environment_usable() -> None:
    """Change the environment of this process, a command, and of its children; a value that no library refuses stays."""
    os.environ["MPLBACKEND"] = "agg"  # no window is opened, and matplotlib refuses unknown names
    for name, is_usable in (*((name, is_size) for name in SIZES), (_DATE, _is_date)):
        if not is_usable(os.environ.get(name, "1")):
            del os.environ[name]
