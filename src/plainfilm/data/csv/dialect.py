"""A text file of rows: encoding, line ends and separator are found, and what is unusual is said."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from plainfilm.base.files import read_regular
from plainfilm.base.sanitize import found_value
from plainfilm.data.csv.not_text import kind_of
from plainfilm.errors import DataError

EXPECTED = "path,label[,patient][,split]"
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_SAYS_SEPARATOR = re.compile(r'"?sep=(\t|[^\w"\s])"?[,;\t ]*(?=\r|\n)', re.IGNORECASE)  # Excel's own first line
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x0c\x0e-\x1f]")
# 'Größe' has two in a row. Spaces, dashes and curved quotes end a word
_RUN = re.compile(r"[^\x00-\x7f\xa0\xad\u2010-\u203a]{4,}")
_CELL = re.compile(r'(?:^|[,;\t|"\r\n])[ ]*([^\W\d_\x00-\x7f]{2,})[ ]*(?=[,;\t|"\r\n]|$)')
_BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff")

Row = tuple[int, list[str]]  # the line of the file in which the row ends, and its cells


@dataclass(frozen=True)
class TextRows:
    """`header`: stripped names, '' where a column has none. `rows`: as many cells each, unchanged. `notes`: what was
    unusual, in sentences for every output."""

    header: list[str]
    rows: list[Row]
    notes: tuple[str, ...] = ()

    def column(self, i: int) -> list[str]:
        """The cells of column i, stripped."""
        return [cells[i].strip() for _, cells in self.rows]

    def spelled(self, i: int) -> str:
        """Column i as a message names it; a name may hold any character."""
        return repr(self.header[i]) if self.header[i] else f"column {i + 1} (without a name)"


def read_rows(path: Path) -> TextRows:
    """Header and rows of a table of text: separated by commas, semicolons, tabs or bars; UTF-8, UTF-16 or cp1252.

    Raises:
        DataError: it cannot be read, is no text, has no rows, or rows with more or fewer cells than the header.
    """
    text, encoding = _text(path)
    said = _SAYS_SEPARATOR.match(text)
    separator = said[1] if said else _separator(text)
    table = _fitted(path, _parsed(path, text, separator)[1 if said else 0 :])
    ways = [f"{encoding} text".strip()]
    ways += [f"separated by {_SEPARATORS.get(separator, repr(separator))}"] if said or separator != "," else []
    ways += ["with lines that end in CR"] if "\r" in text and "\n" not in text else []
    if ways == ["text"]:
        return table
    return replace(table, notes=(f"The table was read as {' '.join(ways)}.", *table.notes))


def _text(path: Path) -> tuple[str, str]:
    """The text, and its encoding where that is not UTF-8."""
    try:
        data = read_regular(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}). Make it readable.") from None
    kind = kind_of(data)
    if found := None if kind else next(_decoded(data), None):
        return found
    if not kind and (run := _not_western(data.decode("cp1252", "replace"))):
        raise DataError(
            f"{path} is in an encoding that is not known: it is no UTF-8, and as cp1252 it would hold "
            f"{found_value(run)}. Save it as UTF-8 (in Excel: CSV UTF-8)."
        )
    kind = kind or "no text (UTF-8, UTF-16 and cp1252 were tried); if it is a CSV, save it as UTF-8"
    if kind.startswith(("a ZIP archive of", "a NumPy .npz")):
        raise DataError(f"{path} is {kind}. Give it the ending .zip or .npz, and it is read as DATA.")
    raise DataError(
        f"{path} is {kind}. Expected a folder of class folders, DATA/<class>/<images>, or a CSV with columns {EXPECTED}."
    )


def _decoded(data: bytes) -> Iterator[tuple[str, str]]:
    """The text in each encoding that fits, the likeliest first.

    Almost any bytes are cp1252, so there a control character means that they are no text, and letters as in
    _not_western() that it is another encoding.
    """
    marked = data.startswith(_BYTE_ORDER_MARKS)
    for encoding, name in [("utf-16", "UTF-16")] if marked else [("utf-8-sig", ""), ("cp1252", "cp1252")]:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if encoding == "cp1252" and _not_western(text):
            continue
        if not (_CONTROL.search(text) if name else "\0" in text):
            yield text, name


def _not_western(text: str) -> str:
    """What no word of a western language is: GBK, Shift-JIS, EUC-KR or cp1251 that was read as cp1252; '' for none.

    Four characters in a row of which none is ASCII and two are different letters, as not in Estonian 'jäääär', or a
    whole cell of two or more such letters.
    """
    runs = (found[found.lastindex or 0] for pattern in (_RUN, _CELL) for found in pattern.finditer(text))
    return next((run for run in runs if len({c.casefold() for c in run if c.isalpha() or c == "\ufffd"}) > 1), "")


def _separator(text: str) -> str:
    """The separator that cuts the header into most cells; one that cuts every row alike comes first, then the comma."""
    widths = {mark: width for mark in _SEPARATORS if (width := _width(text, mark)) > 1}
    if len(widths) < 2:
        return next(iter(widths), ",")
    return max(widths, key=lambda mark: (_is_even(text, mark, widths[mark]), widths[mark]))


def _cut(text: str, separator: str) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    for cells in reader:
        if any(cells):
            yield reader.line_num, cells


def _width(text: str, separator: str) -> int:
    try:
        return len(next(_cut(text, separator), (0, []))[1])
    except csv.Error:
        return 0


def _is_even(text: str, separator: str, width: int) -> bool:
    try:
        return all(len(cells) == width for _, cells in _cut(text, separator))
    except csv.Error:
        return False


def _parsed(path: Path, text: str, separator: str) -> list[Row]:
    rows: list[Row] = []
    try:
        rows.extend(_cut(text, separator))
    except csv.Error as error:
        line = rows[-1][0] + 1 if rows else 1
        raise DataError(
            f"{path} cannot be read as CSV from line {line} on ({error}). Is a quote never closed?"
        ) from None
    return rows


def _fitted(path: Path, rows: list[Row]) -> TextRows:
    """Header and rows without the empty cells behind the last column."""
    if not rows:
        raise DataError(f"{path} is empty. Expected a first line {EXPECTED}, and one row per image.")
    header = [name.strip() for name in rows[0][1]]
    if not rows[1:]:
        raise DataError(f"{path} has a header but no rows. Expected one row per image: path,label.")
    width = len(header)
    while width > 1 and not header[width - 1] and all(_is_blank(cells[width - 1 :]) for _, cells in rows[1:]):
        width -= 1
    trailing = width < len(header) or any(len(cells) > width for _, cells in rows)
    fitted = [(line, cells[:width] if _is_blank(cells[width:]) else cells) for line, cells in rows[1:]]
    for line, cells in fitted:
        if len(cells) != width:
            raise DataError(
                f"{path}: row {line} has {len(cells)} cells, the header {width} ({','.join(header)[:60]!r}). Quote separators inside cells."
            )
    notes = ("Empty cells after the last column of the table are ignored.",) if trailing else ()
    return TextRows(header[:width], fitted, notes)


def _is_blank(cells: list[str]) -> bool:
    return not any(cell.strip() for cell in cells)
