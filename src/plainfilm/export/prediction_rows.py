"""The rows that `predict` writes: one per image, as CSV or JSON lines, into a file or to a stream."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, TextIO

from plainfilm.base.files import atomic_file
from plainfilm.base.sanitize import spreadsheet_cell, visible
from plainfilm.export.scorer import Prediction

_Write = Callable[[str], object]
_WriteRow = Callable[[str | Path, Prediction], None]


@dataclass(frozen=True)
class RowSink:
    """Where rows go, and in which form.

    `out`: a UTF-8 file that appears when everything is done; None writes to `stdout`, which defaults to the process's.
    """

    out: Path | None = None
    form: Literal["csv", "jsonl"] = "csv"
    stdout: TextIO | None = None

    @contextmanager
    def opened(self, vocab: Sequence[str]) -> Iterator[_WriteRow]:
        """A function that writes the row of an image; `vocab`: class names, in the order of the columns."""
        line = (_csv_line if self.form == "csv" else _json_line)(vocab)
        header = _csv_header(vocab) if self.form == "csv" else ""
        with self._text() as write:

            def write_row(path: str | Path, found: Prediction) -> None:
                nonlocal header
                if header:  # no header without an image
                    write(header)
                    header = ""
                write(line(path, found))

            yield write_row

    @contextmanager
    def _text(self) -> Iterator[_Write]:
        """The file, or a terminal without control characters; what cannot be encoded is escaped."""
        if self.out is not None:
            with atomic_file(self.out) as file:
                yield _writer(file)
            return
        stdout = self.stdout or sys.stdout
        encoding, terminal = stdout.encoding or "utf-8", stdout.isatty()

        def write(text: str) -> None:
            shown = visible(text[:-1]) + "\n" if terminal else text
            stdout.write(shown.encode(encoding, "backslashreplace").decode(encoding))

        yield write
        stdout.flush()


def _writer(file: IO[bytes]) -> _Write:
    return lambda text: file.write(text.encode("utf-8", "backslashreplace"))


_Line = Callable[[str | Path, Prediction], str]


def _columns(vocab: Sequence[str]) -> list[str]:
    """Names of the columns, in order."""
    return ["path", "label", "score", *(f"prob_{name}" for name in vocab), "flag", "error"]


def _csv_header(vocab: Sequence[str]) -> str:
    """The header line, with its line end."""
    return _csv([spreadsheet_cell(name) for name in _columns(vocab)])


def _csv_line(vocab: Sequence[str]) -> _Line:
    """A function from a path and its prediction to a CSV line with its line end; numbers with 9 significant digits."""

    def line(path: str | Path, found: Prediction) -> str:
        numbers = [found.score, *(found.probs.get(name) for name in vocab)]
        shown = ["" if value is None else f"{value:.9g}" for value in numbers]
        texts = [spreadsheet_cell(text) for text in ("; ".join(found.flags), found.error)]
        return _csv([spreadsheet_cell(str(path)), spreadsheet_cell(found.label), *shown, *texts])

    return line


def _json_line(vocab: Sequence[str]) -> _Line:
    """A function from a path and its prediction to a JSON line; ASCII only, so any name survives any terminal and pipe."""

    def line(path: str | Path, found: Prediction) -> str:
        numbers = [found.score, *(found.probs.get(name) for name in vocab)]
        rounded = [None if value is None else float(f"{value:.9g}") for value in numbers]
        values = [str(path), found.label, *rounded, "; ".join(found.flags), found.error]
        return json.dumps(dict(zip(_columns(vocab), values, strict=True))) + "\n"

    return line


def _csv(cells: Sequence[str]) -> str:
    """RFC 4180; Python's csv leaves a lone carriage return unquoted, which other readers take for a line end."""
    quoted = ('"' + cell.replace('"', '""') + '"' if any(c in cell for c in ',"\r\n') else cell for cell in cells)
    return ",".join(quoted) + "\n"
