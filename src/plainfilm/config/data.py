"""The section data: which images, and how they are split."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import ValidationInfo, field_validator, model_validator

from plainfilm.config.keys import DECODES, LEARNS, LISTS, READS, SPLITS, Option, Section, key

_MAX_BAD = re.compile(r"^(\d+|100(\.0+)?%|\d{1,2}(\.\d+)?%)$")
_SUFFIX = re.compile(r"(\.[A-Za-z0-9]{1,8}){1,2}")
_SPLITS = ("patient", "official", "given", "image", "kfold", "group", "temporal")
_PATTERNS = {
    "patient_pattern": r"patient: '(\d+)_'", "label_pattern": r"class: '^([a-z]+)\d'", "group_pattern": r"series: '^([A-Z]+)-'",
}  # fmt: skip


def _column(meaning: str, text: str, *words: str) -> Any:
    """A key that names a column of a table of images; `words` are no names."""
    option = Option(
        f"--{meaning}-column", "Data", LISTS, "NAME", unset="found by its name", words=words, hides="COLUMN"
    )
    return key(None, f"The column of a table that {text}", option)


class PhantomConfig(Section):
    """The synthetic set that is used when no DATA is given."""

    images: int = key(600, "Number of drawn images, several per patient.", unit="images", ge=12)
    size_px: int = key(256, "Side of the square drawn images.", unit="px", ge=32, le=1024)
    seed: int = key(0, "Same seed, same images.", unit="none")


class DataConfig(Section):
    """Which images, and how they are split."""

    path: str | None = key(
        None,
        "Folder of class folders (with or without train/val/test above them), a .zip of one, a .npz like those of MedMNIST, or a CSV path,label[,patient][,split].",
        Option("DATA", "Data", on=(), unset="the drawn phantom set", hides="DATA"),
    )
    split: str = key(
        "patient",
        "How images are split: patient (whole patients), official (the given test folder, train and val pooled), given (train, val and test as they are), image (leaky, for comparison), kfold, group (whole series held out), temporal (the latest patients are test), or a split file.",
        Option("--split", "Split", SPLITS, "KIND", words=_SPLITS, path="file", hides="SPLIT.csv"),
    )
    shares: tuple[float, float, float] = key(
        (0.60, 0.25, 0.15), "Shares of train, valid and test, which sum to 1; as in the paper.", unit="share"
    )
    folds: int = key(5, "Number of folds for kfold.", Option("--folds", "Split", SPLITS, "N"), unit="folds", ge=3)
    fold: int = key(
        0,
        "Which fold is test, 0 to folds - 1; the next one is valid.",
        Option("--fold", "Split", SPLITS, "N"),
        unit="index from 0",
        ge=0,
    )
    patient_pattern: str | None = key(
        None,
        "Regular expression that finds the patient in the file name; its first group is the key.",
        Option("--patient-pattern", "Split", LISTS, "REGEX", unset="the patterns that plainfilm knows", hides="REGEX"),
    )
    group_column: str | None = key(
        None,
        "For --split group: the column of a table that holds the series, such as hospital or device.",
        Option("--group-column", "Split", SPLITS, "NAME", unset="none", hides="COLUMN"),
    )
    group_pattern: str | None = key(
        None,
        "For --split group: regular expression that finds the series in the file name, or in the relative path when it holds '/'; its first group is the series.",
        Option("--group-pattern", "Split", SPLITS, "REGEX", unset="none", hides="REGEX"),
    )
    test_series: str | None = key(
        None,
        "For --split group: the series that are test, separated by commas.",
        Option("--test-series", "Split", SPLITS, "NAME", unset="chosen by the share of test", hides="SERIES"),
    )
    date_column: str | None = key(
        None,
        "For --split temporal: the column of a table that holds the dates, as 2020-01-31 or 20200131.",
        Option("--date-column", "Split", SPLITS, "NAME", unset="none", hides="COLUMN"),
    )
    path_column: str | None = _column("path", "holds the path of each image.")
    label_column: str | None = _column("label", "holds the class.")
    patient_column: str | None = _column("patient", "holds the patient; none: there is no such column.", "none")
    split_column: str | None = _column("split", "holds train, valid or test; none: there is no such column.", "none")
    suffix: str | None = key(
        None,
        "Append this suffix, such as .png, to the paths of a table that have none.",
        Option("--suffix", "Data", LISTS, ".EXT", unset="paths as they are", harmless=r"\.[A-Za-z0-9]{1,8}"),
    )
    positive: str | None = key(
        None,
        "The positive class, by name.",
        Option("--positive", "Data", READS, "NAME", unset="chosen by the names, and printed", hides="CLASS"),
    )
    missing_label: Literal["refuse", "drop"] = key(
        "refuse",
        "What is done with rows of a table that have no label (empty, nan, none, null, NA, n/a, unknown, ?, -1).",
        Option("--missing-label", "Data", LISTS, "ACTION"),
    )
    keep_label: str | None = key(
        None,
        "Labels that are classes although their names mean a missing label elsewhere, separated by commas: NA,None.",
        Option("--keep-label", "Data", LISTS, "NAME", unset="none", hides="CLASS"),
    )
    labels_as_text: bool = key(
        False,
        "Labels that are equal as numbers (1, 1.0) stay apart, and numbers are names.",
        Option("--labels-as-text", "Data", LISTS),
    )
    one_label: str | None = key(
        None,
        "Of several labels per image, the one to train: present against absent.",
        Option("--one-label", "Data", LISTS, "NAME", unset="several labels are refused", hides="CLASS"),
    )
    label_pattern: str | None = key(
        None,
        "Regular expression that finds the class in the file name, or in the relative path when it holds '/'; its first group is the class.",
        Option("--label-pattern", "Data", LISTS, "REGEX", unset="the class is the folder", hides="REGEX"),
    )
    under: str | None = key(
        None,
        "Read only images below folders of this name, such as images beside masks.",
        Option("--under", "Data", LISTS, "NAME", unset="all images", hides="FOLDER"),
    )
    follow_links: bool = key(False, "Also enter links, each folder once.", Option("--follow-links", "Data", LISTS))
    bits: Literal[8, 10, 12, 14, 16] | None = key(
        None,
        "Stored bit depth of integer images above 8 bits.",
        Option("--bits", "Data", READS, "N", unset="measured"),
        unit="bits",
    )
    tiff: bool = key(
        False,
        "Also read TIFF files; off because their library is large and often attacked.",
        Option("--tiff", "Data", READS),
    )
    frame: int | None = key(
        None,
        "Which frame of files with several, counted from 0.",
        Option("--frame", "Data", READS, "N", unset="such files are quarantined"),
        unit="index from 0",
        ge=0,
    )
    max_megapixels: int = key(
        64,
        "Largest image that is read, in million pixels; reading one takes up to 7 MB of memory for each.",
        Option("--max-megapixels", "Data", READS, "N"),
        unit="Mpx",
        ge=1,
        le=1000,  # 7 GB for one image; beyond it are whole slides, which are tiles and no single image
    )
    resize: Literal["squish", "pad", "crop"] = key(
        "squish",
        "How an image becomes square: squish (aspect ratio changes), pad (with black) or crop (central square).",
        Option("--resize", "Data", DECODES, "MODE"),
    )
    harmonise: bool = key(
        False,
        "Decode every file through one common grey path with a low-pass filter: fewer compression artefacts (docs/explanation/shortcuts.md).",
        Option("--harmonise", "Data", DECODES),
    )
    requantise: int | None = key(
        None,
        "With --harmonise: reduce to this many grey levels.",
        Option("--requantise", "Data", DECODES, "LEVELS", unset="as harmonised"),
        unit="grey levels",
        ge=2,
        le=256,
    )
    sandbox: Literal["auto", "on", "off"] = key(
        "auto",
        "Decode images in a process with a time and a memory limit: auto (those that may cost much), on or off; the pixels are the same.",
        Option("--sandbox", "Data", READS, "WHEN"),
    )
    drop_duplicates: bool = key(
        False,
        "Use identical files once; never applied to a given test folder.",
        Option("--drop-duplicates", "Data", READS),
    )
    max_bad: str | None = key(
        None,
        "How many files may be quarantined, damaged or identical under two labels: a number (20) or a share of the files (2%).",
        Option(
            "--max-bad", "Data", SPLITS, "N or P%", unset="5 files or 1 %, whichever is larger",
            harmless=r"[0-9.eE+%-]{1,24}",
        ),
    )  # fmt: skip
    audit: bool = key(
        True,
        "Run shortcut probes, which see no fine detail, before training.",
        Option("--audit/--no-audit", "Data"),
    )
    cache: bool = key(
        True,
        "Keep decoded images on disk (in PLAINFILM_CACHE, else the user's cache folder); the pixels are the same without.",
        Option("--cache/--no-cache", "Speed", READS),
    )
    per_class: int | None = key(
        None,
        "Train on N images of each class, by whole patients, for learning curves; valid and test stay.",
        Option("--per-class", "Split", LEARNS, "N", unset="all"),
        unit="images",
        ge=1,
    )
    exclude: str | None = key(
        None,
        "Exclude the images in this file (such as suspects.csv of interpret) from train and valid; test stays.",
        Option("--exclude", "Split", LEARNS, "CSV", path="any", hides="LIST.csv"),
    )
    allow_leak: bool = key(
        False,
        "Continue although given folders share patients, or --weights RUN has seen valid or test; every output says so.",
        Option("--allow-leak", "Split", SPLITS),
    )
    phantom: PhantomConfig = PhantomConfig()

    @field_validator("shares")
    @classmethod
    def shares_sum_to_one(cls, shares: tuple[float, float, float]) -> tuple[float, float, float]:
        if min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
            raise ValueError(f"three positive shares that sum to 1 are needed, found {list(shares)}")
        return shares

    @field_validator("sandbox", mode="before")
    @classmethod
    def yaml_reads_on_and_off_as_booleans(cls, mode: Any) -> Any:
        return {True: "on", False: "off"}[mode] if isinstance(mode, bool) else mode

    @field_validator("max_bad", mode="before")
    @classmethod
    def max_bad_is_a_number_or_share(cls, text: Any) -> str | None:
        if text is None:
            return None
        written = str(text).replace(" ", "")
        if not _MAX_BAD.match(written):
            raise ValueError(f"found {written!r}; expected a number of files, '20', or a share, '2%'")
        return written

    @field_validator("suffix")
    @classmethod
    def suffix_has_a_dot(cls, suffix: str | None) -> str | None:
        if suffix is not None and not _SUFFIX.fullmatch(suffix):
            raise ValueError(f"found {suffix!r}; expected a dot and letters or digits, such as '.png'")
        return suffix

    @field_validator(*_PATTERNS)
    @classmethod
    def pattern_has_a_group(cls, pattern: str | None, info: ValidationInfo) -> str | None:
        if pattern is None:
            return None
        try:
            groups = re.compile(pattern).groups
        except re.error as error:
            raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
        if groups < 1:
            example = _PATTERNS[str(info.field_name)]
            raise ValueError(f"{pattern!r} has no group; put parentheses around the {example}")
        return pattern

    @model_validator(mode="after")
    def requantise_needs_harmonise(self) -> DataConfig:
        if self.requantise is not None and not self.harmonise:
            raise ValueError("requantise is a step of harmonise; also set harmonise: true (--harmonise)")
        return self

    @model_validator(mode="after")
    def series_are_named(self) -> DataConfig:
        if self.split == "group" and (self.group_column is None) == (self.group_pattern is None):
            found = "neither" if self.group_column is None else "both"
            raise ValueError(
                f"split: group needs one of group_column (--group-column NAME) and group_pattern (--group-pattern REGEX), found {found}"
            )
        if self.split == "temporal" and self.date_column is None:
            raise ValueError("split: temporal needs date_column (--date-column NAME)")
        return self

    @model_validator(mode="after")
    def fold_exists(self) -> DataConfig:
        if self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} does not exist; {self.folds} folds are numbered 0 to {self.folds - 1}")
        return self
