"""Command lines that we print, so that they can be pasted."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path


def command_line(*words: str | Path) -> str:
    """`plainfilm` and the words as a shell reads them back; no sentence may end it with a full stop.

    A Path that begins with '-' would be read as an option, so it gets './' before it.
    """
    typed = ["plainfilm", *(f".{os.sep}{word}" if _looks_like_an_option(word) else str(word) for word in words)]
    return subprocess.list2cmdline(typed) if os.name == "nt" else shlex.join(typed)


def _looks_like_an_option(word: str | Path) -> bool:
    return isinstance(word, Path) and str(word).startswith("-")
