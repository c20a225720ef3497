"""A folder or CSV becomes the image table; every file found ends as exactly one of used, quarantined or ignored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from plainfilm.config import DataConfig
from plainfilm.data.decode import ImageFacts
from plainfilm.data.folders import Found, label_by_folder, set_aside, walk
from plainfilm.data.listing import read_csv
from plainfilm.data.patients import key_from_name, require_matches
from plainfilm.data.scan import refuse_deeper, scan, stored_bits
from plainfilm.errors import DataError
from plainfilm.runs import atomic_write

MAX_BAD_FILES, MAX_BAD_SHARE = 5, 0.01  # beyond the larger of the two, training does not start, unless max_bad says so


@dataclass(frozen=True)
class ImageTable:
    """The used images and what became of all other files.

    `rows`: path (absolute), relative, label, patient ('' = no key), wide, given ('' | train | valid | test), sha256,
    bytes, width, height, mode, grey, depth, channels, quantisation (see ImageFacts), content (the same for identical
    bytes and for identical pixels in another file), duplicate_of (relative path of the first identical picture, or '').
    `excluded`: path, relative, state (quarantined | duplicate | ignored), code, why.
    `conflicts`: groups of identical pictures (relative paths) with different labels, all quarantined.
    `bits`: stored depth of integers above 8 bits, None where there are none.
    """

    root: Path
    rows: pd.DataFrame
    excluded: pd.DataFrame
    bits: int | None
    conflicts: tuple[tuple[str, ...], ...] = ()

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
    table, found = scan_table(path, cfg, progress)
    refuse_unusable(table, found, cfg)
    return table


def scan_table(
    path: Path, cfg: DataConfig, progress: Callable[[int, int], None] | None = None
) -> tuple[ImageTable, list[Found]]:
    """The table as the files are, however many of them are damaged, and all image files found.

    Raises:
        DataError: DATA is not there, or holds no image file.
    """
    if not path.exists():
        raise DataError(f"{path} does not exist. Give a folder of class folders, or a CSV with columns path,label.")
    if not (path.is_dir() or path.is_file()):
        raise DataError(f"{path} is neither a folder nor a file. Give a folder of class folders, or a CSV.")
    root = path.absolute().parent if path.is_file() else path.absolute()
    ignored: list[dict[str, str]] = []
    if path.is_file():
        found = read_csv(path)
    else:
        found, ignored = label_by_folder(root, walk(root, cfg.follow_links, tiff=cfg.tiff))
    if not found:
        raise DataError(_nothing_found(path, ignored))
    facts, broken = scan(found, cfg, progress)
    bits = cfg.bits or stored_bits(facts)
    facts, too_deep = refuse_deeper(root, facts, bits)
    files = [(file, facts[file.relative]) for file in found if file.relative in facts]
    files, conflicts, groups = _without_conflicts(files)
    rows = _rows(files, cfg)
    dropped: list[dict[str, str]] = []
    if cfg.drop_duplicates:
        rows, dropped = _without_duplicates(rows)
    excluded = pd.DataFrame(
        [*ignored, *broken, *too_deep, *conflicts, *dropped],
        columns=["path", "relative", "state", "code", "why"],
        dtype=str,
    )
    return ImageTable(root, rows, excluded, bits, groups), found


def _nothing_found(path: Path, ignored: list[dict[str, str]]) -> str:
    loose = sum(row["code"] == "outside a class folder" for row in ignored)
    tiffs = sum(row["relative"].casefold().endswith((".tif", ".tiff")) for row in ignored)
    what = (
        f"{loose} files under {path} lie in no class folder"
        if loose
        else f"No images under {path} ({len(ignored)} other files)"
    )
    hint = f" {tiffs} TIFF files are read with --tiff." if tiffs else ""
    return f"{what}. Expected DATA/<class>/*.png, .jpg, .bmp or .dcm, or the same below train/ and test/.{hint}"


Files = list[tuple[Found, ImageFacts]]


def _without_conflicts(files: Files) -> tuple[Files, list[dict[str, str]], tuple[tuple[str, ...], ...]]:
    """Files whose picture has one label, quarantine rows of the others, and those others in groups."""
    labels_of: dict[str, set[str]] = {}
    for file, fact in files:
        labels_of.setdefault(fact.content, set()).add(file.label)
    kept, rows = [], []
    groups: dict[str, list[str]] = {}
    for file, fact in files:
        labels = sorted(labels_of[fact.content])
        if len(labels) == 1:
            kept.append((file, fact))
            continue
        why = f"identical files are labelled {' and '.join(labels)}"
        rows.append(set_aside(file.path, file.relative, "quarantined", "E_LABEL_CONFLICT", why))
        groups.setdefault(fact.content, []).append(file.relative)
    return kept, rows, tuple(tuple(names) for names in groups.values())


def _rows(files: Files, cfg: DataConfig) -> pd.DataFrame:
    names = [file.relative for file, _ in files]
    keys = [key_from_name(name, cfg.patient_pattern) for name in names]
    if names:
        require_matches(keys, cfg.patient_pattern, names[0])
    first_of: dict[str, str] = {}
    rows = []
    for (file, fact), key in zip(files, keys, strict=True):
        first = first_of.setdefault(fact.content, file.relative)
        # what the user says of a patient comes before what the file says of itself, and that before its name
        told = file.patient or ("" if cfg.patient_pattern else fact.patient)
        rows.append({
            "path": str(file.path), "relative": file.relative, "label": file.label,
            "patient": told or (key.patient if key else ""),
            "wide": told or (key.wide if key else ""),
            "given": file.given, "sha256": fact.sha256, "bytes": fact.bytes, "width": fact.width,
            "height": fact.height, "mode": fact.mode, "grey": fact.grey, "depth": fact.depth,
            "channels": fact.channels, "quantisation": fact.quantisation, "content": fact.content,
            "duplicate_of": "" if first == file.relative else first,
        })  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def _without_duplicates(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """One row per picture, but for a given test folder, which is never touched; and the rows of those dropped."""
    elsewhere = rows["given"] != "test"
    drop = elsewhere & rows["content"].where(elsewhere).duplicated()
    dropped = [
        set_aside(Path(row["path"]), row["relative"], "duplicate", "E_DUPLICATE", f"identical to {row['duplicate_of']}")
        for _, row in rows[drop].iterrows()
    ]
    return rows[~drop].reset_index(drop=True), dropped


COLUMNS = [
    "path", "relative", "label", "patient", "wide", "given", "sha256", "bytes", "width", "height", "mode", "grey",
    "depth", "channels", "quantisation", "content", "duplicate_of",
]  # fmt: skip


def max_bad_files(cfg: DataConfig, found: int) -> tuple[float, str]:
    """How many of `found` files may be damaged, and that in words."""
    if cfg.max_bad is None:
        return max(MAX_BAD_FILES, MAX_BAD_SHARE * found), f"{MAX_BAD_FILES} files or {MAX_BAD_SHARE:.0%}"
    if cfg.max_bad.endswith("%"):
        return float(cfg.max_bad[:-1]) / 100 * found, cfg.max_bad
    return int(cfg.max_bad), f"{cfg.max_bad} files"


def refuse_unusable(table: ImageTable, found: list[Found], cfg: DataConfig) -> None:
    """Raises what build_table() says."""
    bad = table.excluded[(table.excluded["state"] == "quarantined") & (table.excluded["code"] != "E_LABEL_CONFLICT")]
    limit, words = max_bad_files(cfg, len(found))
    if len(bad) > limit:
        first = bad.iloc[0]
        raise DataError(
            f"{len(bad)} of {len(found)} images cannot be used (first: {first['relative']!r}, {first['code']}: {first['why']}). "
            f"At most {words} may be damaged. Repair or remove them, or raise --max-bad."
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
        for name in ("bytes", "width", "height", "depth", "channels", "quantisation", "group"):
            rows[name] = rows[name].astype("int64")
        rows["grey"] = rows["grey"] == "True"
        return rows[[*COLUMNS, "group", "split"]]
    except (OSError, ValueError, KeyError):
        raise DataError(f"{path} is missing or damaged. Restore it from a backup, or train again.") from None
