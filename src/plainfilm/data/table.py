"""A folder or CSV becomes the image table; every file found ends as exactly one of used, quarantined or ignored."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from plainfilm.config import DataConfig
from plainfilm.data.decode import ImageFacts, inspect, smallest_depth
from plainfilm.data.folders import Found, label_by_folder, set_aside, walk
from plainfilm.data.listing import read_csv
from plainfilm.data.patients import key_from_name, require_matches
from plainfilm.data.refusals import DecodeError
from plainfilm.errors import DataError
from plainfilm.runs import atomic_write

MAX_BAD_FILES, MAX_BAD_SHARE = 5, 0.01  # beyond the larger of the two, training does not start


@dataclass(frozen=True)
class ImageTable:
    """The used images and what became of all other files.

    `rows`: path (absolute), relative, label, patient ('' = no key), wide, given ('' | train | valid | test), sha256,
    bytes, width, height, mode, grey, duplicate_of (relative path of the first identical file, or '').
    `excluded`: path, relative, state (quarantined | ignored), code, why.
    `bits`: stored depth of integers above 8 bits, None where there are none.
    """

    root: Path
    rows: pd.DataFrame
    excluded: pd.DataFrame
    bits: int | None

    @property
    def classes(self) -> list[str]:
        """Class names, sorted: the vocabulary."""
        return sorted(self.rows["label"].unique())

    @property
    def found(self) -> int:
        """Files seen, whatever became of them."""
        return len(self.rows) + len(self.excluded)

    def count(self, state: str) -> int:
        """How many files ended as `state`."""
        return int((self.excluded["state"] == state).sum())

    @property
    def has_patients(self) -> bool:
        """True when at least one image names its patient."""
        return bool((self.rows["patient"] != "").any())

    @property
    def channels(self) -> int:
        """1 when every picture is grey, else 3."""
        return 1 if bool(self.rows["grey"].all()) else 3


def build_table(path: Path, cfg: DataConfig, progress: Callable[[int, int], None] | None = None) -> ImageTable:
    """The table of a folder of class folders (with or without train/val/test above them) or of a CSV.

    Raises:
        DataError: nothing usable, one class only, an empty class, or too many damaged files.
    """
    if not path.exists():
        raise DataError(f"{path} does not exist. Give a folder of class folders, or a CSV with columns path,label.")
    if not (path.is_dir() or path.is_file()):
        raise DataError(f"{path} is neither a folder nor a file. Give a folder of class folders, or a CSV.")
    root = path.absolute().parent if path.is_file() else path.absolute()
    found, ignored = (read_csv(path), []) if path.is_file() else label_by_folder(root, walk(root, cfg.follow_links))
    if not found:
        loose = sum(row["code"] == "outside a class folder" for row in ignored)
        what = (
            f"{loose} files under {path} lie in no class folder"
            if loose
            else f"No images under {path} ({len(ignored)} other files)"
        )
        raise DataError(f"{what}. Expected DATA/<class>/*.png, .jpg or .bmp, or the same below train/ and test/.")
    facts, broken = scan(found, progress)
    bits = cfg.bits or stored_bits(facts)
    facts, too_deep = refuse_deeper(root, facts, bits)
    rows, conflicts = _rows([(file, facts[file.relative]) for file in found if file.relative in facts], cfg)
    excluded = pd.DataFrame(
        [*ignored, *broken, *too_deep, *conflicts], columns=["path", "relative", "state", "code", "why"], dtype=str
    )
    table = ImageTable(root, rows, excluded, bits)
    _refuse_unusable(table, found)
    return table


def scan(
    found: list[Found], progress: Callable[[int, int], None] | None = None
) -> tuple[dict[str, ImageFacts], list[dict[str, str]]]:
    """Facts of every readable file by relative path, and a quarantine row for each other one."""

    def look(file: Found) -> ImageFacts | DecodeError:
        try:
            return inspect(file.path)
        except DecodeError as error:
            return error

    facts, broken = {}, []
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:  # Pillow decodes outside the interpreter lock
        for done, (file, result) in enumerate(zip(found, pool.map(look, found), strict=True), start=1):
            if isinstance(result, DecodeError):
                broken.append(set_aside(file.path, file.relative, "quarantined", result.code, result.why))
            else:
                facts[file.relative] = result
            if progress:
                progress(done, len(found))
    return facts, broken


def stored_bits(facts: dict[str, ImageFacts]) -> int | None:
    """The smallest usual depth that holds the largest value of the whole set; None without deep pictures."""
    deepest = [fact.deep_max for fact in facts.values() if fact.deep_max is not None and fact.deep_max < 2**16]
    return smallest_depth(max(deepest)) if deepest else None


def refuse_deeper(
    root: Path, facts: dict[str, ImageFacts], bits: int | None
) -> tuple[dict[str, ImageFacts], list[dict[str, str]]]:
    """`facts` without the pictures whose values do not fit `bits`, and their quarantine rows."""
    top = 2 ** (bits or 16) - 1
    deeper = {name for name, fact in facts.items() if fact.deep_max is not None and fact.deep_max > top}
    why = f"holds values above {top}, more than {bits or 16} bits"
    return (
        {name: fact for name, fact in facts.items() if name not in deeper},
        [set_aside(root / name, name, "quarantined", "E_BITS", why) for name in sorted(deeper)],
    )


def _rows(files: list[tuple[Found, ImageFacts]], cfg: DataConfig) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    names = [file.relative for file, _ in files]
    keys = [key_from_name(name, cfg.patient_pattern) for name in names]
    if names:
        require_matches(keys, cfg.patient_pattern, names[0])
    labels_of: dict[str, set[str]] = {}
    first_of: dict[str, str] = {}
    for file, fact in files:
        labels_of.setdefault(fact.sha256, set()).add(file.label)
        first_of.setdefault(fact.sha256, file.relative)
    rows, conflicts = [], []
    for (file, fact), key in zip(files, keys, strict=True):
        if len(labels_of[fact.sha256]) > 1:
            both = " and ".join(sorted(labels_of[fact.sha256]))
            conflicts.append(
                set_aside(
                    file.path, file.relative, "quarantined", "E_LABEL_CONFLICT", f"identical files are labelled {both}"
                )
            )
            continue
        first = first_of[fact.sha256]
        rows.append({
            "path": str(file.path), "relative": file.relative, "label": file.label,
            "patient": file.patient or (key.patient if key else ""),
            "wide": file.patient or (key.wide if key else ""),
            "given": file.given, "sha256": fact.sha256, "bytes": fact.bytes, "width": fact.width,
            "height": fact.height, "mode": fact.mode, "grey": fact.grey,
            "duplicate_of": "" if first == file.relative else first,
        })  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS), conflicts


COLUMNS = [
    "path", "relative", "label", "patient", "wide", "given", "sha256", "bytes", "width", "height", "mode", "grey",
    "duplicate_of",
]  # fmt: skip


def _refuse_unusable(table: ImageTable, found: list[Found]) -> None:
    bad = table.excluded[(table.excluded["state"] == "quarantined") & (table.excluded["code"] != "E_LABEL_CONFLICT")]
    if len(bad) > max(MAX_BAD_FILES, MAX_BAD_SHARE * len(found)):
        first = bad.iloc[0]
        raise DataError(
            f"{len(bad)} of {len(found)} images cannot be used (first: {first['relative']!r}, {first['code']}: {first['why']}). "
            f"At most {MAX_BAD_FILES} files or {MAX_BAD_SHARE:.0%} may be damaged. Repair or remove them."
        )
    lost = sorted({file.label for file in found} - set(table.classes))
    if lost:
        mine = {file.relative for file in found if file.label == lost[0]}
        first = table.excluded[table.excluded["relative"].isin(mine)].iloc[0]
        raise DataError(
            f"The class {lost[0]!r} has no usable image; all {len(mine)} were quarantined "
            f"(first: {first['relative']!r}, {first['code']}: {first['why']}). Repair them, or remove the class."
        )
    if len(table.classes) < 2:
        raise DataError(
            f"Only one class was found ({table.classes[0]!r}). A classifier needs images of two or more classes, one folder each."
        )


def write_table(path: Path, rows: pd.DataFrame) -> None:
    """Save rows as CSV, every cell as it stands."""
    atomic_write(path, rows.to_csv(index=False, lineterminator="\n"))


def read_table(path: Path) -> pd.DataFrame:
    """Rows saved by write_table(): all text, but for the numbers and flags of our own columns.

    Raises:
        DataError: the file is missing or damaged.
    """
    try:
        rows = pd.read_csv(path, dtype=str, keep_default_na=False)
        for name in ("bytes", "width", "height", "group"):
            rows[name] = rows[name].astype("int64")
        rows["grey"] = rows["grey"] == "True"
        return rows[[*COLUMNS, "group", "split"]]
    except (OSError, ValueError, KeyError):
        raise DataError(f"{path} is missing or damaged. Restore it from a backup, or train again.") from None
