"""Cells that name several labels per image, and one of them made present or absent."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from plainfilm.base.command_line import shell_word
from plainfilm.base.listing import some
from plainfilm.data.folders.walk import DataFiles, FoundFiles
from plainfilm.data.table import kinds
from plainfilm.errors import DataError

_LIST = re.compile(r"[\[{](.*)[\]}]", re.DOTALL)
_QUOTES = "'\" \t"
_JOINS = re.compile(r"\s*[,+/&]\s*|\s+and\s+|\s+")  # between labels that are alone in other cells


def tokens(cell: str) -> list[str]:
    """The labels that one cell names: 'A|B', 'A;B' and "['A', 'B']" name two."""
    inner = _LIST.fullmatch(cell)
    parts = re.split(r"[|;,]" if inner else r"[|;]", inner[1] if inner else cell)
    return [part for part in (part.strip(_QUOTES) for part in parts) if part]


def _labels_of(cells: Iterable[str]) -> dict[str, list[str]]:
    """The labels that each cell names; 'A, B' names two where A and B are labels of other cells."""
    found = {cell: tokens(cell) for cell in dict.fromkeys(cells)}
    alone = {parts[0] for parts in found.values() if len(parts) == 1}
    for cell, parts in found.items():
        joined = _JOINS.split(parts[0]) if len(parts) == 1 else []
        if len(joined) > 1 and alone.issuperset(joined):
            found[cell] = joined
    return found


def one_each(found: list[FoundFiles], path: Path) -> None:
    """Raises a DataError where a cell names several labels, or none."""
    by_cell = _labels_of(file.label for file in found)
    several = [file for file in found if len(by_cell[file.label]) != 1]
    if not several:
        return
    count = _count(found, by_cell)
    example = next((name for name in count if not _means_none(name)), next(iter(count), "NAME"))
    kinds.SEVERAL.refuse(
        path=path, n=len(several), of=len(found), first=several[0].label, row=several[0].line,
        example=shell_word(example),
        labels=some([f"{name} ({n})" for name, n in count.items()]),
    )  # fmt: skip


def _count(found: list[FoundFiles], by_cell: dict[str, list[str]]) -> dict[str, int]:
    """Images of each label, the most frequent first."""
    count = Counter(token for file in found for token in dict.fromkeys(by_cell[file.label]))
    return dict(sorted(count.items(), key=lambda item: (-item[1], item[0])))


def _means_none(label: str) -> bool:
    return label.casefold().replace("_", " ") in ("no finding", "no findings", "normal")


def unwrapped(files: DataFiles) -> DataFiles:
    """Lists of one label or none without their brackets."""
    lists = [file.label for file in files.found if _LIST.fullmatch(file.label) and len(tokens(file.label)) < 2]
    if not lists:
        return files
    plain = {label: "".join(tokens(label)) for label in lists}
    found = [replace(file, label=plain.get(file.label, file.label)) for file in files.found]
    return replace(files, found=found, notes=(*files.notes, kinds.LISTS_OF_ONE.note(first=lists[0])))


def with_one_label(files: DataFiles, name: str, path: Path) -> DataFiles:
    """Two classes: the images that `name` is one of the labels of, and all others.

    Raises:
        DataError: no image has the label, or all have it.
    """
    cells = {file.label for file in files.found}
    by_cell = _labels_of(cells) if path.is_file() else {cell: [cell] for cell in cells}
    labels = [[composed(label) for label in by_cell[file.label]] for file in files.found]
    spelled = _spelling(composed(name), {token for each in labels for token in each}, path)
    absent = f"no {spelled}"
    present = [spelled in each for each in labels]
    if all(present):
        raise DataError(
            f"--one-label {name!r} is a label of all {len(present)} images. Nothing is left to compare with."
        )
    found = [replace(file, label=spelled if here else absent) for file, here in zip(files.found, present, strict=True)]
    note = kinds.ONE_LABEL.note(label=spelled, n=sum(present), of=len(present), absent=absent)
    return replace(files, found=found, notes=(*files.notes, note))


def _spelling(name: str, known: set[str], path: Path) -> str:
    """The label as DATA spells it."""
    if name in known:
        return name
    same = [token for token in known if token.casefold() == name.strip().casefold()]
    if len(same) == 1:
        return same[0]
    raise DataError(f"--one-label {name!r} is not a label of {path}; found {some(sorted(known))}. Choose one of them.")


def composed(label: str) -> str:
    """The label in Unicode form NFC."""
    return unicodedata.normalize("NFC", label)
