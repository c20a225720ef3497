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
    return " ".join(map(shell_word, typed))


def shell_word(word: str) -> str:
    """A word as a shell reads it back."""
    return subprocess.list2cmdline([word]) if os.name == "nt" else shlex.quote(word)


def _looks_like_an_option(word: str | Path) -> bool:
    return isinstance(word, Path) and str(word).startswith("-")
