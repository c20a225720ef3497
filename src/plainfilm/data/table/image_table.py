"""A folder or CSV becomes the image table; every file found ends as exactly one of used, quarantined, duplicate or ignored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from plainfilm.base.files import tidy
from plainfilm.config import DataConfig
from plainfilm.data.archives.unpack import data_folder, is_archive
from plainfilm.data.csv.columns import refuse_for_folder
from plainfilm.data.csv.csv_list import read_csv
from plainfilm.data.folders.class_folders import label_by_folder
from plainfilm.data.folders.label_pattern import NO_MATCH, propose
from plainfilm.data.folders.masks import refuse_masks
from plainfilm.data.folders.walk import NOT_READ, DataFiles, FoundFiles, hides_images, set_aside, walk, without_sealed
from plainfilm.data.image.decode import ImageFacts
from plainfilm.data.image.modes import smallest_depth
from plainfilm.data.image.other_formats import ARCHIVES
from plainfilm.data.table import kinds
from plainfilm.data.table.groups import join_groups
from plainfilm.data.table.labels import check_labels
from plainfilm.data.table.patient_keys import PatientKeys, final_keys
from plainfilm.data.table.patients import are_restarted, key_from_name, require_matches
from plainfilm.data.table.saved_table import COLUMNS
from plainfilm.data.table.scan import refuse_deeper, scan
from plainfilm.data.table.series import with_series
from plainfilm.errors import ConfigError, DataError

MAX_BAD_FILES, MAX_BAD_SHARE = 5, 0.01  # above the larger of the two, training does not start, unless max_bad says so


@dataclass(frozen=True)
class ImageTable:
    """The used images and the outcome of all other files.

    `rows`: path (absolute), relative, label, patient ('' = no key), wide, given ('' | train | valid | test), sha256,
    bytes, width, height, mode, grey, depth, channels, quantisation (see ImageFacts), content (the same for identical
    bytes and for identical pixels in another file), kin (the same for patients who share an image, also one that was
    set aside), duplicate_of (relative path of the first identical image, or ''); for --split group and temporal, series.
    `excluded`: path, relative, state (quarantined | duplicate | ignored), code, why.
    `conflicts`: groups of identical images (relative paths) with different labels, all quarantined.
    `bits`: stored depth of integers above 8 bits, None where there are none.
    `notes`: how labels, patients, columns and folders were read, in sentences for every output.
    """

    root: Path
    rows: pd.DataFrame
    excluded: pd.DataFrame
    bits: int | None
    conflicts: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def classes(self) -> list[str]:
        """Class names, sorted: the vocabulary."""
        return sorted(self.rows["label"].unique())

    @property
    def found(self) -> int:
        """Files found, used or not."""
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
        """1 when every image is grey, else 3."""
        return 1 if bool(self.rows["grey"].all()) else 3


def build_table(path: Path, cfg: DataConfig, progress: Callable[[int, int], None] | None = None) -> ImageTable:
    """The table of a folder of class folders (with or without train/val/test above them) or of a CSV.

    Raises:
        DataError: nothing usable, one class only, an empty class, or too many damaged files.
    """
    table, found = scan_table(path, cfg, progress)
    _refuse_unusable(table, found, cfg, _table_within(path, table.excluded["relative"]))
    return table


def scan_table(
    path: Path,
    cfg: DataConfig,
    progress: Callable[[int, int], None] | None = None,
    *,
    sealed: frozenset[str] = frozenset(),
) -> tuple[ImageTable, list[FoundFiles]]:
    """The table of the files, however many of them are damaged, and all image files found.

    Args:
        sealed: real paths of files that are set aside and never read.
    Raises:
        DataError: DATA does not exist, or holds no image file.
    """
    if not path.exists():
        raise DataError(
            f"{path} does not exist. Give a folder of class folders, a .zip or .npz of them, or a CSV with columns path,label."
        )
    if not (path.is_dir() or path.is_file()):
        raise DataError(f"{path} is neither a folder nor a file. Give a folder of class folders, or a CSV.")
    place = data_folder(path, cfg.max_megapixels)  # of an archive, where it was unpacked
    root = path.absolute().parent if place.path.is_file() else place.path.absolute()
    files = _read_folder(root, cfg, sealed) if place.path.is_dir() else without_sealed(sealed, _read_list(path, cfg))
    files = check_labels(files, cfg, place.path)
    found = files.found
    if not found:
        raise DataError(_nothing_found(path, files.ignored))
    facts, broken = scan(found, cfg, progress)
    bits = cfg.bits or _stored_bits(facts)
    facts, too_deep = refuse_deeper(root, facts, bits)
    rows, notes = _rows([(file, facts[file.relative]) for file in found if file.relative in facts], cfg)
    rows, conflicts, groups = _without_conflicts(rows)
    dropped: list[dict[str, str]] = []
    if cfg.drop_duplicates:
        rows, dropped = _without_duplicates(rows)
    excluded = pd.DataFrame(
        [*files.ignored, *broken, *too_deep, *conflicts, *dropped],
        columns=["path", "relative", "state", "code", "why"],
        dtype=str,
    )
    within = _table_within(path, excluded["relative"], named=False).strip()  # notes are passed on, and names may tell
    said = (*place.notes, *([within] if within else []), *files.notes, *notes)
    return ImageTable(root, rows, excluded, bits, groups, said), found


def _read_folder(root: Path, cfg: DataConfig, sealed: frozenset[str]) -> DataFiles:
    refuse_for_folder(root, cfg)
    walked = walk(root, cfg.follow_links, tiff=cfg.tiff, sealed=sealed)
    files = without_sealed(sealed, label_by_folder(root, walked, under=cfg.under, pattern=cfg.label_pattern))
    refuse_masks(files.found, tiff=cfg.tiff, megapixels=cfg.max_megapixels)
    return files


def _read_list(path: Path, cfg: DataConfig) -> DataFiles:
    for option, value in (("--under", cfg.under), ("--label-pattern", cfg.label_pattern)):
        if value is not None:
            raise ConfigError(f"{option} is for a folder; {path} is a list, which names its classes. Leave it out.")
    return read_csv(path, cfg)


def _nothing_found(path: Path, ignored: list[dict[str, str]]) -> str:
    loose = [row["relative"] for row in ignored if row["code"] == "outside a class folder"]
    rules = Counter(row["code"] for row in ignored)
    if rules[NOT_READ]:
        return (
            f"{path} holds no image but {rules[NOT_READ]} of the run's test set, and none was read. Give other images."
        )
    beside = sum(n for rule, n in rules.items() if rule.startswith("not below a folder"))
    if beside:
        return f"None of {beside} images under {path} lies below a folder of the name that --under gives. Correct it."
    if unfit := rules[NO_MATCH]:
        return f"--label-pattern fits none of {unfit} file names under {path}. Its first group must catch the class."
    tiffs = sum(row["relative"].casefold().endswith((".tif", ".tiff")) for row in ignored)
    links = sum(row["code"] == "link" and hides_images(Path(row["path"])) for row in ignored)
    what = (
        f"{len(loose)} files under {path} lie in no class folder"
        if loose
        else f"No images under {path} ({len(ignored)} other files)"
    )
    hint = propose(name.rpartition("/")[2] for name in loose)
    hint += f" {tiffs} TIFF files are read with --tiff." if tiffs else ""
    hint += f" {links} links are entered with --follow-links." if links else ""
    hint += _table_within(path, (row["relative"] for row in ignored))
    inner = sum(row["relative"].casefold().endswith(ARCHIVES) for row in ignored)
    hint += f" {inner} archives in it are not opened: unpack each." if inner else ""
    if loose and path.is_dir():
        hint += f" If {path.name!r} is itself one class, give the folder above: {tidy(path).parent}"
    return f"{what}. Expected DATA/<class>/ with PNG, JPEG, BMP, WebP, PGM, PPM or DICOM files, or the same below train/ and test/.{hint}"


def _lists(excluded: pd.DataFrame) -> str:
    lists = _tables(excluded["relative"])
    return f" {lists[0]!r} beside them may name the classes: give that list as DATA." if lists else ""


def _table_within(path: Path, relatives: Iterable[str], *, named: bool = True) -> str:
    """What to do about a table in an archive, as a sentence after another; '' where there is none."""
    tables = _tables(relatives) if is_archive(path) else []
    what = f"table {tables[0]!r}" if tables and named else "table (CSV)"
    said = f" The {what} in the archive was not read; to use it, unpack the archive and give the table as DATA."
    return said if tables else ""


def _tables(relatives: Iterable[str]) -> list[str]:
    return [name for name in relatives if name.casefold().endswith((".csv", ".tsv"))]


def _rows(files: list[tuple[FoundFiles, ImageFacts]], cfg: DataConfig) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Every readable file, also those that are set aside afterwards: a copy that two patients share makes them kin. And
    notes on their patients."""
    keys = _patients(files, cfg)
    first_of: dict[str, str] = {}
    rows = []
    for (file, fact), patient, wide in zip(files, keys.patient, keys.wide, strict=True):
        first = first_of.setdefault(fact.content, file.relative)
        rows.append({
            "path": str(file.path), "relative": file.relative, "label": file.label, "patient": patient, "wide": wide,
            "given": file.given, "sha256": fact.sha256, "bytes": fact.bytes, "width": fact.width,
            "height": fact.height, "mode": fact.mode, "grey": fact.grey, "depth": fact.depth,
            "channels": fact.channels, "quantisation": fact.quantisation, "content": fact.content,
            "duplicate_of": "" if first == file.relative else first,
        })  # fmt: skip
    table = pd.DataFrame(rows, columns=[name for name in COLUMNS if name != "kin"])
    kin = join_groups([patient or None for patient in table["patient"]], table["content"])
    table = table.assign(kin=[str(group) for group in kin])[COLUMNS]
    return with_series(table, [file for file, _ in files], cfg), keys.notes


def _patients(files: list[tuple[FoundFiles, ImageFacts]], cfg: DataConfig) -> PatientKeys:
    names = [file.relative for file, _ in files]
    found = [key_from_name(name, cfg.patient_pattern) for name in names]
    if names:
        require_matches(found, cfg.patient_pattern, names[0])
    doubt = cfg.patient_pattern is None and are_restarted([file.inner for file, _ in files], found)
    found = [None for _ in found] if doubt else found
    keys = final_keys(
        [file.patient for file, _ in files],
        ["" if cfg.patient_pattern else fact.patient for _, fact in files],
        [(key.patient, key.wide) if key else ("", "") for key in found],
    )
    return replace(keys, notes=(*keys.notes, kinds.RESTARTED_NAMES.note())) if doubt else keys


def _without_conflicts(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[dict[str, str]], tuple[tuple[str, ...], ...]]:
    """Rows whose image has one label, quarantine rows for the others, and the others in groups."""
    labels = rows.groupby("content")["label"].agg(lambda part: " and ".join(sorted(set(part))))
    all_labels = rows["content"].map(labels)
    clash = rows.groupby("content")["label"].transform("nunique") > 1 if len(rows) else all_labels.astype(bool)
    conflicts = [
        set_aside(Path(path), relative, "quarantined", "E_LABEL_CONFLICT", f"identical files are labelled {both}")
        for path, relative, both in zip(rows[clash]["path"], rows[clash]["relative"], all_labels[clash], strict=True)
    ]
    groups = tuple(tuple(part["relative"]) for _, part in rows[clash].groupby("content", sort=False))
    return rows[~clash].reset_index(drop=True), conflicts, groups


def _without_duplicates(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """One row per image, and the rows of the dropped copies.

    A given test folder is never changed: if an image is in it, every copy elsewhere is dropped.
    """
    elsewhere = rows["given"] != "test"
    tested = rows["content"].isin(rows.loc[~elsewhere, "content"])
    drop = elsewhere & (tested | rows["content"].where(elsewhere).duplicated())
    kept_as = rows[~drop].drop_duplicates("content").set_index("content")["relative"]
    dropped = [
        set_aside(
            Path(row["path"]), row["relative"], "duplicate", "E_DUPLICATE", f"identical to {kept_as[row['content']]}"
        )
        for _, row in rows[drop].iterrows()
    ]
    rows = rows[~drop].reset_index(drop=True)
    first = rows.groupby("content")["relative"].transform("first") if len(rows) else rows["relative"]
    return rows.assign(duplicate_of=first.where(first != rows["relative"], "")), dropped


def _max_bad_files(cfg: DataConfig, found: int) -> tuple[float, str]:
    """How many of `found` files may be quarantined, as a number and in words."""
    if cfg.max_bad is None:
        return max(MAX_BAD_FILES, MAX_BAD_SHARE * found), f"{MAX_BAD_FILES} files or {MAX_BAD_SHARE:.0%}"
    if cfg.max_bad.endswith("%"):
        return float(cfg.max_bad[:-1]) / 100 * found, cfg.max_bad
    return int(cfg.max_bad), f"{cfg.max_bad} files"


def _refuse_unusable(table: ImageTable, found: list[FoundFiles], cfg: DataConfig, hint: str) -> None:
    """Raises the errors of build_table()."""
    refuse_damaged(table, found, cfg)
    if len(table.classes) < 2:
        raise DataError(
            f"Only one class was found ({table.classes[0]!r}). A classifier needs images of two or more classes, one folder each.{hint or _lists(table.excluded)}"
        )


def refuse_damaged(table: ImageTable, found: list[FoundFiles], cfg: DataConfig) -> None:
    """Raises a DataError where too many files are quarantined, damaged or of two labels, or all files of a class."""
    bad = table.excluded[table.excluded["state"] == "quarantined"]
    limit, words = _max_bad_files(cfg, len(found))
    if len(bad) > limit:
        first = bad.iloc[0]
        raise DataError(
            f"{len(bad)} of {len(found)} images cannot be used (first: {first['relative']!r}, {first['code']}: {first['why']}). "
            f"At most {words} may be quarantined. Repair or remove them, or raise --max-bad."
        )
    lost = sorted({file.label for file in found} - set(table.classes))
    if lost:
        mine = {file.relative for file in found if file.label == lost[0]}
        first = table.excluded[table.excluded["relative"].isin(mine)].iloc[0]
        raise DataError(
            f"The class {lost[0]!r} has no usable image; all {len(mine)} were quarantined "
            f"(first: {first['relative']!r}, {first['code']}: {first['why']}). Repair them, or remove the class."
        )


def set_apart(table: ImageTable, gone: pd.Series[bool], code: str, why: str) -> ImageTable:
    """The table without the rows of `gone`, which become ignored files."""
    dropped = table.rows.loc[gone, ["path", "relative"]].assign(state="ignored", code=code, why=why)
    excluded = pd.concat([table.excluded, dropped], ignore_index=True)
    return replace(table, rows=table.rows[~gone].reset_index(drop=True), excluded=excluded)


def _stored_bits(facts: dict[str, ImageFacts]) -> int | None:
    """The smallest usual depth that holds the largest value of the whole set; None without deep images."""
    deepest = [fact.deep_max for fact in facts.values() if fact.deep_max is not None and fact.deep_max < 2**16]
    return smallest_depth(max(deepest)) if deepest else None
