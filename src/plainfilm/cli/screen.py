"""Where lines and tables are printed: no word is broken, nothing is wrapped in a pipe, and nothing is said twice."""

from __future__ import annotations

import errno
import os
import re
import textwrap
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from plainfilm.base.sanitize import visible
from plainfilm.base.usable_environment import SIZES, is_size

_INTERVAL = re.compile(r"\[([+-]?[\d.]+), ([+-]?[\d.]+)\]")  # stays on one line
_NO_BREAK = "\ue000"  # in no line: visible() escapes it
_PIPE_WIDTH = 100_000  # rich takes 80 columns where there is no terminal


class Screen(Console):
    """A console that breaks no word and no line that is not wrapped; outside a terminal nothing is, unless COLUMNS is set."""

    def __init__(
        self, said: set[str], *, once: bool = True, verbose: bool = False, brief: bool = False, **where: Any
    ) -> None:
        usable = {name: value for name, value in os.environ.items() if name not in SIZES or is_size(value)}
        super().__init__(markup=False, highlight=False, emoji=False, _environ=usable, **where)
        # `said`: lines that are not printed again; `once`: nor is any note; `brief`: -q (`quiet` is silence in rich)
        self.said, self.once, self.verbose, self.brief = said, once, verbose, brief
        if not (self.is_terminal or "COLUMNS" in usable):
            self.width = _PIPE_WIDTH

    def print(self, *objects: Any, **options: Any) -> None:
        """Print one object, visible; a line that was said, or a note printed twice, is left out."""
        if objects and isinstance(objects[0], str):
            objects = (visible(objects[0]),)  # a line is one line: a name must not begin another
            line = " ".join(objects[0].split())
            if line in self.said:
                return
            self.said |= {line} if self.once and line.startswith("NOTE: ") else set()
            if not options.get("soft_wrap"):
                objects = (self._wrapped(objects[0]),)
        elif objects and isinstance(objects[0], Table):
            _make_visible(objects[0])
            _fit(objects[0], self.width)
        try:
            super().print(*objects, **{"crop": False, "overflow": "ignore", **options})
        except OSError as error:
            if error.errno != errno.EIO:  # the terminal was closed; the signal that says so ends the work in order
                raise

    def _wrapped(self, text: str) -> str:
        """The lines of `text`, broken between words; rich would fold a word that is longer than the screen."""
        text = _INTERVAL.sub(rf"[\1,{_NO_BREAK}\2]", text)
        lines = "\n".join(
            textwrap.fill(
                line, self.width, subsequent_indent="  " if line.startswith("- ") else "", break_long_words=False, break_on_hyphens=False,
                replace_whitespace=False, expand_tabs=False,
            )
            for line in text.split("\n")
        )  # fmt: skip
        return lines.replace(_NO_BREAK, " ")


def _make_visible(table: Table) -> None:
    """Escape what a name in a header or cell would do to the terminal."""
    for column in table.columns:
        column.header = visible(str(column.header))
        column._cells = [visible(cell) if isinstance(cell, str) else cell for cell in column._cells]


def _fit(table: Table, width: int) -> None:
    """Narrow the columns, the widest first, until the table fits or the next step would break a word."""
    cells = [[str(column.header), *map(str, column.cells)] for column in table.columns]
    least = [
        max(cell_len(part) for text in texts for part in ([text] if column.no_wrap else text.split() or [""]))
        for column, texts in zip(table.columns, cells, strict=True)
    ]
    widths, gaps = _widths(table), 2 * (len(cells) - 1)
    while sum(widths) + gaps > width:
        loose = [i for i, each in enumerate(widths) if each > least[i]]
        if not loose:
            break
        widths[max(loose, key=widths.__getitem__)] -= 1
    for column, each in zip(table.columns, widths, strict=True):
        column.width = each
    table.width = sum(widths) + gaps


def fits(table: Table, width: int) -> bool:
    """Whether the table fits the width with every cell on one line."""
    return sum(_widths(table)) + 2 * (len(table.columns) - 1) <= width


def _widths(table: Table) -> list[int]:
    """Width of the widest cell of each column."""
    return [max(cell_len(str(cell)) for cell in (column.header, *column.cells)) for column in table.columns]


def duration(seconds: float) -> str:
    """'40 s', '3 min', '2.5 h'."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def same_place(stdout: Any, stderr: Any) -> bool:
    """True where both streams end in one terminal, pipe or file, as with 2>&1."""
    try:
        if stdout.isatty() and stderr.isatty():
            return True
        out, err = os.fstat(stdout.fileno()), os.fstat(stderr.fileno())
    except (AttributeError, OSError, ValueError):  # a stream in memory, or closed
        return False
    return out.st_ino != 0 and (out.st_dev, out.st_ino) == (err.st_dev, err.st_ino)
