"""The last lines of a command: the commands that follow, each on a line of its own that can be pasted."""

from __future__ import annotations

import os
from pathlib import Path

from rich.console import Console

from plainfilm.base.command_line import command_line

_HIDDEN = "PLAINFILM_NO_NEXT"  # a script that carries out the next commands itself sets it, as make train does


def print_next(out: Console, *commands: tuple[str | Path, ...], test_of: str | Path | None = None) -> None:
    """`Next:` and the commands; `test_of`: a run with a sealed test set that was never evaluated on."""
    if os.environ.get(_HIDDEN):
        return
    for i, words in enumerate(commands):
        out.print(f"{'      ' if i else 'Next: '}{command_line(*words)}", soft_wrap=True)
    if test_of is not None:
        out.print("At the end, once (each test-set access is counted):")
        out.print(f"      {command_line('evaluate', test_of, '--split', 'test')}", soft_wrap=True)
