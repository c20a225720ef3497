"""Environment variables on which a library would fail are taken away before it reads them."""

from __future__ import annotations

import os

SIZES = ("COLUMNS", "LINES", "TERMINAL_WIDTH")  # rich reads the first two, typer's help the third


def is_size(text: str) -> bool:
    """Whether rich can take it as a width: it fails at 0, at huge numbers and at digits of other scripts."""
    return text.isascii() and text.isdigit() and len(text) < 6 and int(text) > 0


def make_environment_usable() -> None:
    """Change the environment of this process, a command, and of its children; a value that no library refuses stays."""
    os.environ["MPLBACKEND"] = "agg"  # no window is opened, and matplotlib refuses unknown names
    for name in SIZES:
        if not is_size(os.environ.get(name, "1")):
            del os.environ[name]
