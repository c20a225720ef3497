"""Labels and patients as a set, before any image is read: every kind of kinds.py is refused or noted here."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from statistics import median

from plainfilm.base.command_line import shell_word
from plainfilm.base.listing import some
from plainfilm.config import DataConfig
from plainfilm.data.folders.equal_names import folded, lookalike
from plainfilm.data.folders.walk import DataFiles, FoundFiles, set_aside
from plainfilm.data.table import kinds
from plainfilm.data.table.one_label import composed, one_each, tokens, unwrapped, with_one_label

_MISSING = frozenset({
    "", "nan", "nat", "none", "null", "na", "n/a", "n.a.", "<na>", "unknown", "missing", "?", "-", "--",
    "#n/a", "#nv", "#ref!", "#value!", "#name?", "#div/0!",
})  # fmt: skip
_NUMBER = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]\d{1,3})?")  # 1E30 is a code
_FEW_IMAGES, _FEW_VALUES, _SOME_IMAGES, _MANY_VALUES = 3, 5, 30, 10


def check_labels(files: DataFiles, cfg: DataConfig, path: Path) -> DataFiles:
    """The files with their labels and patients as they are used, and a note on all that was joined or left out.

    Args:
        path: DATA, named in messages; a file is a table, a folder holds class folders, whose names are never missing.
    Raises:
        DataError: a kind of kinds.py that is refused.
    """
    files, table = _stripped(files), path.is_file()
    if table:
        files = _patients(_without_missing(unwrapped(files), cfg, path))
    if cfg.one_label:
        _refuse_nearly_equal(files.found, tokens if table else lambda label: [label])
        return with_one_label(files, cfg.one_label, path)
    if table:
        one_each(files.found, path)
        files = files if cfg.labels_as_text else _numbers(files, path)
    _refuse_nearly_equal(files.found, lambda label: [label])
    return _relabelled(files, composed, *_lookalikes(files.found))


def _relabelled(files: DataFiles, new: Callable[[str], str], *notes: str) -> DataFiles:
    found = [replace(file, label=new(file.label)) for file in files.found]
    return replace(files, found=found, notes=(*files.notes, *notes))


def _stripped(files: DataFiles) -> DataFiles:
    """Labels without spaces around them."""
    raw = _spellings((file.label for file in files.found), str.strip)
    notes = [kinds.SPACES.note(spellings=_listed(names), label=label) for label, names in raw.items() if len(names) > 1]
    return _relabelled(files, str.strip, *notes)


def _spellings(values: Iterable[str], key: Callable[[str], Hashable]) -> dict[Hashable, list[str]]:
    """The different values by key, in the order in which they first come."""
    found: dict[Hashable, list[str]] = {}
    for value in dict.fromkeys(values):
        found.setdefault(key(value), []).append(value)
    return found


def _listed(names: Iterable[str]) -> str:
    return some([repr(name) for name in names])


# --- missing ----------------------------------------------------------------------------------------------------------


def _is_missing(cell: str) -> bool:
    return cell.casefold() in _MISSING


def _without_missing(files: DataFiles, cfg: DataConfig, path: Path) -> DataFiles:
    kept = {name.strip() for name in (cfg.keep_label or "").split(",")} - {""}
    names = {file.label for file in files.found}
    only_signs = {_number(name) for name in names if not _is_missing(name)} == {-1, 1}
    blank = {name for name in names - kept if _is_missing(name) or (_number(name) == -1 and not only_signs)}
    missing = [file for file in files.found if file.label in blank]
    if not missing:
        return files
    facts = {"n": len(missing), "of": len(files.found), "spellings": _cells(blank)}
    if cfg.missing_label != "drop":
        rows = f"row{'s' * (len(missing) > 1)} " + some([str(file.line) for file in missing])
        named = sorted(blank - {""})
        keep = f"A class that is really named so: --keep-label {shell_word(named[0])}." if named else ""
        kinds.MISSING.refuse(path=path, rows=rows, keep=keep, **facts)
    out = [set_aside(file.path, file.relative, "ignored", "no label", "no label") for file in missing]
    found = [file for file in files.found if file.label not in blank]
    return DataFiles(found, [*files.ignored, *out], (*files.notes, kinds.DROPPED.note(**facts)))


def _cells(names: Iterable[str]) -> str:
    """The cells as they are written, 'nan' and empty cells."""
    return some([repr(name) if name else "an empty cell" for name in sorted(names)])


# --- numbers ----------------------------------------------------------------------------------------------------------


def _number(text: str) -> Decimal | None:
    """The exact number that a cell is, also with a decimal comma; None for text, nan and infinity."""
    return Decimal(text.replace(",", ".")) if _NUMBER.fullmatch(text) else None


def _numbers(files: DataFiles, path: Path) -> DataFiles:
    values = {label: _number(label) for label in {file.label for file in files.found}}
    files = _refuse_quantity(files, {name: value for name, value in values.items() if value is not None}, path)
    return _joined(files, lambda label: label if values[label] is None else values[label])


def _refuse_quantity(files: DataFiles, value_of: dict[str, Decimal], path: Path) -> DataFiles:
    count = Counter(value_of[file.label] for file in files.found if file.label in value_of)
    if not count:
        return files
    values, typical, images = sorted(count), median(count.values()), sum(count.values())
    facts = {"n": len(values), "low": f"{float(values[0]):g}", "high": f"{float(values[-1]):g}"}
    pure = images == len(files.found)
    fractions = any(value != value.to_integral_value() for value in values)
    codes = len(values) <= _FEW_VALUES or values[0] <= 1 or typical >= _SOME_IMAGES  # classes count from 0 or 1
    measured = fractions and (pure or (len(values) > 2 and 2 * images >= len(files.found)))  # 0.5, 1.5 and 'nd'
    if measured or (pure and ((len(values) > 2 and typical < _FEW_IMAGES) or not codes)):
        kinds.QUANTITY.refuse(path=path, of=images, **facts)
    if not pure or len(values) <= _MANY_VALUES:
        return files
    return replace(files, notes=(*files.notes, kinds.MANY_NUMBERS.note(**facts)))


def _joined(files: DataFiles, key: Callable[[str], Hashable]) -> DataFiles:
    """Files with one spelling, the shortest, for the labels that are equal by `key`, and a note on them."""
    groups = [names for names in _spellings((file.label for file in files.found), key).values() if len(names) > 1]
    if not groups:
        return files
    spelled = {name: min(names, key=lambda name: (len(name), name)) for names in groups for name in names}
    said = some([" and ".join(sorted(names)) for names in groups])
    note = kinds.EQUAL_NUMBERS.note(spellings=said)
    return _relabelled(files, lambda label: spelled.get(label, label), note)


# --- patients ---------------------------------------------------------------------------------------------------------


def is_nobody(cell: str) -> bool:
    return _is_missing(cell) or _number(cell) == -1


def _patients(files: DataFiles) -> DataFiles:
    """Patient cells, the missing ones emptied; final_keys() compares the others."""
    cells = [file.patient.strip() for file in files.found]
    blank = [cell for cell in cells if is_nobody(cell)]
    found = [
        replace(file, patient="" if is_nobody(cell) else cell) for file, cell in zip(files.found, cells, strict=True)
    ]
    words = set(blank) - {""}
    facts = {"n": sum(bool(cell) for cell in blank), "of": len(cells), "spellings": _cells(words)}
    notes = [kinds.MISSING_PATIENTS.note(**facts)] if words else []
    return replace(files, found=found, notes=(*files.notes, *notes))


# --- nearly equal labels ----------------------------------------------------------------------------------------------


def _refuse_nearly_equal(found: list[FoundFiles], labels_in: Callable[[str], list[str]]) -> None:
    """`labels_in` gives the labels that one cell names."""
    first: dict[str, str] = {}  # the first file of each label
    for file in found:
        for label in labels_in(file.label):
            first.setdefault(label, file.relative)
    for names in _spellings(first, folded).values():
        if len(names) > 1:
            one, other = sorted(names)[:2]
            shown = {"first": _with_code_points(one, others=names), "second": _with_code_points(other, others=names)}
            kinds.NEARLY_EQUAL.refuse(**shown, here=first[one], there=first[other])


def _lookalikes(found: list[FoundFiles]) -> list[str]:
    """A note on the first two classes that read the same."""
    first = {file.label: file.relative for file in reversed(found)}
    for names in _spellings(sorted(first), lookalike).values():
        if len(names) > 1:
            one, other = names[:2]
            shown = {"first": _with_code_points(one, others=names), "second": _with_code_points(other, others=names)}
            return [kinds.SAME_READING.note(**shown, here=first[one], there=first[other])]
    return []


def _with_code_points(label: str, others: list[str]) -> str:
    """The label; with the code points of what is not ASCII where case alone does not tell it from the others."""
    if len({name.casefold() for name in others}) == 1 and all(name.isascii() for name in others):
        return repr(label)
    points = " ".join(f"U+{ord(char):04X}" for char in label if not char.isascii() or char.isspace())
    return f"{label!r} ({points or 'ASCII only'})"
