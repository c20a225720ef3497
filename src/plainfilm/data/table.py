"""A folder or CSV becomes the image table; every file found ends as exactly one of used, quarantined or ignored."""

from __future__ import annotations

import csv
import difflib
import io
import os
import stat
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from plainfilm.config import DataConfig
from plainfilm.data.decode import SUFFIXES, DecodeError, ImageFacts, inspect, smallest_depth
from plainfilm.data.patients import key_from_name, require_matches
from plainfilm.errors import DataError
from plainfilm.runs import atomic_write

GIVEN_NAMES = {
    "train": "train", "training": "train",
    "val": "valid", "valid": "valid", "validation": "valid",
    "test": "test", "testing": "test",
}  # fmt: skip
SYSTEM_FOLDERS = frozenset({"__macosx", "$recycle.bin", "system volume information"})
MAX_BAD_FILES, MAX_BAD_SHARE = 5, 0.01  # beyond the larger of the two, training does not start


@dataclass(frozen=True)
class Found:
    """One file of the walk: where it lies, and its label and given split as the folders (or the CSV) say."""

    path: Path
    relative: str  # below the data folder, with '/'
    label: str = ""
    given: str = ""
    patient: str = ""


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
    if path.is_file():
        root, found, ignored = path.absolute().parent, read_csv(path), []
    else:
        root = path.absolute()
        found, ignored = label_by_folder(root, walk(root, follow_links=cfg.follow_links))
    if not found:
        loose = sum(row["code"] == "outside a class folder" for row in ignored)
        what = f"{loose} files under {path} lie in no class folder" if loose else f"No images under {path} ({len(ignored)} other files)"
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


def walk(root: Path, *, follow_links: bool) -> Iterable[tuple[Path, str]]:
    """Every file below `root`, sorted by name, with the rule that sets it aside ('' = none).

    Links are not followed unless asked; then each folder is entered once, so that a loop ends.
    """
    seen: set[tuple[int, int]] = set()

    def enter(folder: Path, rule: str) -> Iterable[tuple[Path, str]]:
        facts = folder.stat()
        if (facts.st_dev, facts.st_ino) in seen:
            return
        seen.add((facts.st_dev, facts.st_ino))
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            raise DataError(f"The folder {folder} cannot be read ({error.strerror}). Make it readable, or move it away.") from None
        for entry in entries:
            here = Path(entry.path)
            hidden = rule or ("hidden" if entry.name.startswith(".") or entry.name.casefold() in SYSTEM_FOLDERS else "")
            if entry.is_symlink() and not follow_links:
                yield here, hidden or "link"
            elif entry.is_dir():
                yield from enter(here, hidden)
            else:
                yield here, hidden or _file_rule(entry, here)

    return enter(root, "")


def _file_rule(entry: os.DirEntry[str], path: Path) -> str:
    try:
        if not stat.S_ISREG(entry.stat().st_mode):
            return "not a regular file"
    except OSError:
        return "broken link"
    return "" if path.suffix.casefold() in SUFFIXES else "not a PNG, JPEG or BMP"


def label_by_folder(root: Path, files: Iterable[tuple[Path, str]]) -> tuple[list[Found], list[dict[str, str]]]:
    """Files with label and given split from their folders, and those set aside.

    Raises:
        DataError: images lie in no class folder, a class folder is empty, or two differ in case only.
    """
    given_layout = any(
        GIVEN_NAMES.get(folder.name.casefold()) == "train" and any(sub.is_dir() for sub in folder.iterdir())
        for folder in root.iterdir() if folder.is_dir()
    )  # fmt: skip
    found, ignored = [], []
    for path, rule in files:
        relative = path.relative_to(root).as_posix()
        parts = PurePosixPath(relative).parts
        given = GIVEN_NAMES.get(parts[0].casefold(), "") if given_layout else ""
        if not rule and given_layout and not given:
            rule = "outside train, val and test"
        if not rule and len(parts) < (3 if given_layout else 2):
            rule = "outside a class folder"
        if rule:
            ignored.append(_set_aside(path, relative, "ignored", rule, rule))
        else:
            found.append(Found(path, relative, parts[1] if given_layout else parts[0], given))
    if found:
        _refuse_odd_class_folders(root, given_layout, {file.label for file in found})
    return found, ignored


def _refuse_odd_class_folders(root: Path, given_layout: bool, labels: set[str]) -> None:
    tops = [folder for folder in root.iterdir() if folder.is_dir()]
    if given_layout:
        tops = [sub for top in tops if top.name.casefold() in GIVEN_NAMES for sub in top.iterdir() if sub.is_dir()]
    names = {top.name for top in tops if not top.name.startswith(".") and top.name.casefold() not in SYSTEM_FOLDERS}
    empty = sorted(names - labels)
    if empty:
        raise DataError(
            f"The class folder {empty[0]!r} holds no image, {len(labels)} other "
            f"{'classes do' if len(labels) != 1 else 'class does'}. Add its images, or remove the folder."
        )
    folded: dict[str, str] = {}
    for label in sorted(labels):
        if folded.setdefault(label.casefold(), label) != label:
            raise DataError(f"The class folders {folded[label.casefold()]!r} and {label!r} differ in case only. Rename one.")


def read_csv(path: Path) -> list[Found]:
    """The rows of a CSV with columns path,label[,patient][,split]; every cell is text (`NA` and `007` stay).

    Raises:
        DataError: missing columns, cells or files, an unknown split, or a path named twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text ({type(error).__name__}). Save the CSV as UTF-8.") from None
    reader = csv.reader(io.StringIO(text))
    header = [name.strip() for name in next(reader, [])]
    _require_columns(path, header)
    frame = pd.DataFrame([cells for cells in reader if any(cells)], dtype=str)
    if frame.empty:
        raise DataError(f"{path} has a header but no rows. Expected one row per image: path,label.")
    if frame.shape[1] != len(header) or frame.isna().any(axis=None):
        raise DataError(f"{path}: some rows do not have the header's {len(header)} cells. Quote commas inside cells.")
    frame.columns = pd.Index(header)
    _require_cells(path, frame)
    return [
        Found(
            path.absolute().parent / cells["path"],
            PurePosixPath(cells["path"].replace("\\", "/")).as_posix(),
            cells["label"].strip(),
            GIVEN_NAMES[cells["split"].strip().casefold()] if cells.get("split", "").strip() else "",
            cells.get("patient", "").strip(),
        )
        for cells in frame.to_dict("records")
    ]


def _require_columns(path: Path, header: list[str]) -> None:
    for name in ("path", "label"):
        if name not in header:
            near = difflib.get_close_matches(name, header, n=1, cutoff=0.4)
            hint = f" (is {near[0]!r} meant?)" if near else " (separated by commas)"
            raise DataError(f"{path} has no column {name!r}{hint}; found {', '.join(header) or 'nothing'}. Expected path,label[,patient][,split].")
    if len(set(header)) != len(header):
        raise DataError(f"{path} names a column twice: {', '.join(header)}. Keep one of each.")


def _require_cells(path: Path, frame: pd.DataFrame) -> None:
    for name in ("path", "label"):
        blank = frame.index[frame[name].str.strip() == ""]
        if len(blank):
            raise DataError(f"{path}: {len(blank)} of {len(frame)} rows have no {name} (first: row {blank[0] + 2}). Fill them in, or remove the rows.")
    twice = frame["path"][frame["path"].duplicated()]
    if len(twice):
        raise DataError(f"{path} names {twice.iloc[0]!r} {int((frame['path'] == twice.iloc[0]).sum())} times. Keep one row per image.")
    if "split" in frame:
        given = frame["split"].str.strip().str.casefold()
        odd = sorted(set(given) - set(GIVEN_NAMES) - {""})
        if odd or ((given == "").any() and (given != "").any()):
            what = f"the split {odd[0]!r}" if odd else f"{int((given == '').sum())} rows without a split"
            raise DataError(f"{path} has {what}. Expected train, valid or test in every row, or no split column.")
    gone = [cell for cell in frame["path"] if not (path.absolute().parent / cell).is_file()]
    if gone:
        raise DataError(f"{path}: {len(gone)} of {len(frame)} files do not exist (first: {gone[0]!r}). Paths are relative to the CSV's folder.")


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
                broken.append(_set_aside(file.path, file.relative, "quarantined", result.code, result.why))
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
        [_set_aside(root / name, name, "quarantined", "E_BITS", why) for name in sorted(deeper)],
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
            conflicts.append(_set_aside(file.path, file.relative, "quarantined", "E_LABEL_CONFLICT", f"identical files are labelled {both}"))
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


def _set_aside(path: Path, relative: str, state: str, code: str, why: str) -> dict[str, str]:
    return {"path": str(path), "relative": relative, "state": state, "code": code, "why": why}


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
        raise DataError(f"The class {lost[0]!r} has no usable image; all its files were quarantined. Repair them, or remove the class.")
    if len(table.classes) < 2:
        raise DataError(f"Only one class was found ({table.classes[0]!r}). A classifier needs images of two or more classes, one folder each.")


def write_table(path: Path, rows: pd.DataFrame) -> None:
    """Save rows as CSV, every cell as it stands."""
    atomic_write(path, rows.to_csv(index=False, lineterminator="\n"))


def read_table(path: Path) -> pd.DataFrame:
    """Rows saved by write_table(): all text, but for the numbers and flags of our own columns."""
    rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    for name in ("bytes", "width", "height", "group"):
        if name in rows:
            rows[name] = rows[name].astype("int64")
    if "grey" in rows:
        rows["grey"] = rows["grey"] == "True"
    return rows
