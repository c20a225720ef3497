"""Which column of a table means what: as the options say, by its own name, or by a synonym; doubt is refused."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from plainfilm.base.command_line import shell_word
from plainfilm.base.listing import some
from plainfilm.config import DataConfig
from plainfilm.data.csv.column_names import (
    MEANINGS,
    could_be_patient,
    could_be_split,
    flagged_parts,
    flags_a_part,
    is_unnamed,
    means,
)
from plainfilm.data.csv.column_values import are_measured, are_parts, could_be_ids
from plainfilm.data.csv.dialect import EXPECTED, TextRows, read_rows
from plainfilm.data.folders.split_names import likely_part, split_of
from plainfilm.data.image.decode import SUFFIXES, TIFF_SUFFIXES
from plainfilm.errors import DataError, UsageError

NONE = "none"  # --patient-column none: the table has no such column
_MAY_BE_NONE = ("patient", "split")
_OPTIONS = ("path_column", "label_column", "patient_column", "split_column", "group_column", "date_column", "suffix")
_SERIES = {"group": "group", "temporal": "date"}  # kind of split -> the meaning of its column
_FLAGS = {"0", "1", "-1", ""}
_YES_OR_NO = {"0", "1", "0.0", "1.0", "true", "false", "yes", "no", "y", "n", "t", "f", "x", ""}
_MOST_NAMED = 8  # columns that a sentence lists


@dataclass(frozen=True)
class Columns:
    """Where the columns are, counted from 0, and a note on them where others are left or their names are synonyms.

    flag: the label that column `label` gives with 1 and denies with 0; '' where it holds the labels themselves. series: what
    --split group or temporal holds out by.
    """

    path: int
    label: int
    patient: int | None
    split: int | None
    notes: tuple[str, ...]
    flag: str = ""
    series: int | None = None


def find_columns(path: Path, table: TextRows, cfg: DataConfig) -> Columns:
    """The columns of path, label, patient and split, and that of series or dates where they are held out.

    Raises:
        UsageError: an option names a column that does not exist. DataError: no header; no column of paths or labels;
            two columns for one meaning; or a column that could be the patient or the split, but is not plainly so.
    """
    found = _Finder(path, table, cfg)
    found.refuse_header()
    for meaning in MEANINGS:
        found.take(meaning)
    series = found.take_series(cfg)
    flag = found.take_flag(cfg.one_label)
    found.refuse_doubtful_patients()
    found.refuse_doubtful_splits()
    return Columns(
        found.of("path"), found.of("label"), found.taken["patient"], found.taken["split"], found.notes(), flag, series
    )


def path_column(path: Path, table: TextRows, cfg: DataConfig) -> int:
    """The column of paths alone.

    Raises:
        UsageError, DataError: as find_columns().
    """
    found = _Finder(path, table, cfg)
    found.take("path")
    return found.of("path")


def options_that_fit(path: Path, table: TextRows | None, cfg: DataConfig) -> dict[str, str]:
    """The options of a run that hold for another table too, by key: columns that it has, and the suffix.

    A column that was declined is found by its name again: another table may have one that is right.

    Args:
        table: what `path` holds; None: read it, where it is a table.
    """
    if table is None and not path.is_file():
        return {}
    header = (table or read_rows(path)).header
    given = {name: getattr(cfg, name) for name in _OPTIONS}
    return {name: value for name, value in given.items() if name == "suffix" or value in {*header} - {NONE} if value}


def refuse_for_folder(path: Path, cfg: DataConfig) -> None:
    """Raises a UsageError where an option that names a column is given and DATA is a folder."""
    given = [name for name in _OPTIONS if getattr(cfg, name) is not None]
    if given:
        option = f"--{given[0].replace('_', '-')}"
        other = "use --group-pattern" if given[0] == "group_column" else f"leave {option} out"
        raise UsageError(f"{option} is for tables, and {path} is a folder. Give a CSV as DATA, or {other}.")


class _Finder:
    """One table and what each meaning was found to be so far."""

    def __init__(self, path: Path, table: TextRows, cfg: DataConfig) -> None:
        self.path, self.table, self.header = path, table, table.header
        self.named = {meaning: getattr(cfg, f"{meaning}_column") for meaning in MEANINGS}
        self.taken: dict[str, int | None] = {}
        self.series = {cfg.group_column, cfg.date_column}  # named by the user: neither patients nor splits

    def of(self, meaning: str) -> int:
        """The column of a meaning that every table has."""
        i = self.taken[meaning]
        if i is None:
            raise DataError(
                f"{self.path} has no column for the {meaning}; the columns of its first line are {self._listed(range(len(self.header)))}. "
                f"Expected {EXPECTED}, or its name: --{meaning}-column NAME."
            )
        return i

    def refuse_header(self) -> None:
        """Raises a DataError for a list without a header, or a column named twice."""
        known = SUFFIXES | TIFF_SUFFIXES
        if any(Path(name).suffix.casefold() in known for name in self.header):
            first = repr(",".join(self.header))
            raise DataError(
                f"{self.path} has no header: its first line is {first[:120]}. Put a line above it that names the columns: {EXPECTED}."
            )
        twice = next((name for i, name in enumerate(self.header) if name and name in self.header[:i]), None)
        if twice is not None:
            raise DataError(f"{self.path} names the column {twice!r} twice. Keep one of them.")

    def take(self, meaning: str) -> None:
        """Finds the column of a meaning."""
        name = self.named[meaning]
        if name is not None:
            self.taken[meaning] = self._by_option(meaning, name)
            return
        self.taken[meaning] = None
        for rank in (0, 1):
            free = self._undecided() if meaning == "split" else self._free()
            fits = [i for i in free if means(self.header[i], meaning) == rank and not self._is_status(i, meaning)]
            if len(fits) > 1:
                raise self._two(meaning, fits)
            if fits:
                self.taken[meaning] = fits[0]
                return

    def take_series(self, cfg: DataConfig) -> int | None:
        """Finds the column that --split group or temporal asks for, which may be one of another meaning too."""
        meaning = _SERIES.get(cfg.split, "")
        name = getattr(cfg, f"{meaning}_column", None)
        if name is not None:
            self.taken[meaning] = self._by_option(meaning, name)
        return self.taken.get(meaning)

    def _is_status(self, i: int, meaning: str) -> bool:
        """Whether a column by a synonym of the patient, such as case, tells cases from controls."""
        cells = {cell.casefold() for cell in self.table.column(i)}
        status = len(cells) == 2 and cells <= {*_YES_OR_NO, "case", "control"} - {""}
        return meaning == "patient" and means(self.header[i], meaning) == 1 and status

    def take_flag(self, label: str | None) -> str:
        """Where one column per label holds 0 and 1 and none the label: takes that of `label`. Returns its name, or ''.

        Raises:
            DataError: there are such columns, and `label` is none of them.
        """
        if self.taken["label"] is not None or len(flags := [i for i in self._free() if self._is_flag(i)]) < 2:
            return ""
        names = {self.header[i].casefold(): i for i in flags}
        if label is None or label.casefold() not in names:
            last = shell_word(self.header[flags[-1]])
            what = "several labels per image" if label is None else f"--one-label {label!r} is none of them"
            raise DataError(
                f"{self.path} has no column for the label, but {self._listed(flags)} hold 0 and 1: {what}. "
                f"plainfilm takes one; --one-label {last} trains {last} present against absent."
            )
        self.taken["label"] = names[label.casefold()]
        return self.header[names[label.casefold()]]

    def _is_flag(self, i: int) -> bool:
        cells = {flag_of(cell) for cell in self.table.column(i)}
        return "1" in cells and len(cells) > 1 and cells <= _FLAGS

    def refuse_doubtful_patients(self) -> None:
        """Raises a DataError for a column that could be the patient, is not taken and would put two images together."""
        if self.named["patient"] is not None:
            return
        taken = self.taken["patient"]
        own = self.table.column(taken) if taken is not None else [""] * len(self.table.rows)
        owner = [cell or f"row {i}" for i, cell in enumerate(own)]
        for i in self._undecided():
            # a study or a lesion belongs to one patient: beside a patient column it raises no doubt
            doubtful = self._could_be_patient(i) if taken is None else could_be_patient(self.header[i]) == 0
            if doubtful and not _lies_within(self.table.column(i), owner):
                raise self._doubt("patient", i, "holds the same value in several rows")

    def refuse_doubtful_splits(self) -> None:
        """Raises a DataError for a column that could be the split and does not say the same as the one that is taken, and
        for one that a synonym names and that holds no splits."""
        if self.named["split"] is not None:
            return
        taken = self.taken["split"]
        parts = [split_of(cell) for cell in self.table.column(taken)] if taken is not None else []
        if taken is not None and means(self.header[taken], "split") == 1:
            self._refuse_no_splits(taken)
        for i in filter(self._could_be_split, self._undecided()):
            cells = self.table.column(i)
            if any(cells) and [likely_part(cell) for cell in cells] != parts:
                raise self._doubt("split", i, f"holds {next(filter(None, cells))!r}")

    def notes(self) -> tuple[str, ...]:
        """What each column was taken as and which are not used, unless there are no others than path, label, patient and
        split as they are written here."""
        used = {meaning: i for meaning, i in self.taken.items() if i is not None}
        left = self._free()
        declined = [meaning for meaning in _MAY_BE_NONE if self.named[meaning] == NONE]
        if all(self.header[i] == meaning for meaning, i in used.items()) and not (left or declined):
            return ()
        said = ", ".join(f"{meaning} from {self.table.spelled(i)}" for meaning, i in used.items())
        said += "".join(f", no {meaning} as asked" for meaning in declined)
        return (f"Columns of the table: {said}{f'; not used: {self._listed(left)}' if left else ''}.",)

    def _free(self) -> list[int]:
        named = {name for name in self.named.values() if name is not None}
        taken = set(self.taken.values())
        return [i for i, name in enumerate(self.header) if i not in taken and name not in named]

    def _undecided(self) -> list[int]:
        """Free columns of which the user has not said that they hold series or dates."""
        return [i for i in self._free() if self.header[i] not in self.series]

    def _by_option(self, meaning: str, name: str) -> int | None:
        if name == NONE and meaning in _MAY_BE_NONE:
            return None
        if name not in self.header:
            raise UsageError(
                f"--{meaning}-column {name!r}: {self.path} has no such column; its columns are {self._listed(range(len(self.header)))}. "
                "Give one of these."
            )
        return self.header.index(name)

    def _could_be_patient(self, i: int) -> bool:
        """By its name, or by its name and cells together; cells that only spell the label otherwise are no patients."""
        rank = could_be_patient(self.header[i])
        if rank != 2:
            return rank is not None or means(self.header[i], "patient") is not None
        cells, labels = self.table.column(i), self.table.column(self.of("label"))
        return could_be_ids(cells) and not (_lies_within(cells, labels) and _lies_within(labels, cells))

    def _could_be_split(self, i: int) -> bool:
        """By its name, unless numbers were measured, or because it holds nothing but names of splits."""
        cells = self.table.column(i)
        named = could_be_split(self.header[i]) or means(self.header[i], "split") == 0
        flagged = flags_a_part(self.header[i]) and {cell.casefold() for cell in cells} <= _YES_OR_NO
        return flagged or (named and not are_measured(cells)) or are_parts(cells)

    def _refuse_no_splits(self, i: int) -> None:
        odd = [cell for cell in self.table.column(i) if cell and not split_of(cell)]
        if odd:
            raise self._doubt("split", i, f"holds {odd[0]!r}")

    def _listed(self, columns: Iterable[int]) -> str:
        return some([self.table.spelled(i) for i in columns], _MOST_NAMED)

    def _two(self, meaning: str, fits: list[int]) -> DataError:
        option = f"--{meaning}-column"
        none = f", or {option} none" if meaning in _MAY_BE_NONE else ""
        return DataError(
            f"{self.path}: {self._listed(fits)} could all be the {meaning}. Choose one: {option} {shell_word(self.header[fits[0]])}{none}."
        )

    def _doubt(self, meaning: str, i: int, why: str) -> DataError:
        """A column that could be the patient or the split was not taken, or cannot be used as it is."""
        option, taken = f"--{meaning}-column", self.taken[meaning]
        use = f"{option} {shell_word(self.header[i])} uses it"
        if meaning == "split" and (said := flagged_parts(self.header[i], {*map(flag_of, self.table.column(i))})):
            use += f", 1 as {said['1']} and 0 as {said['0']}"
        elif meaning == "split" and not all(split_of(cell) for cell in self.table.column(i)):
            use = "Expected train, valid or test in every row"
        elif is_unnamed(self.header[i]):
            use = "Give it a name to use it"
        kept = NONE if taken in (None, i) else shell_word(self.header[taken or 0])
        return DataError(
            f"{self.path}: {self.table.spelled(i)} could be the {meaning}: it {why}. {use}; {option} {kept} leaves it out."
        )


def _lies_within(cells: list[str], owner: list[str]) -> bool:
    """True when rows with the same cell belong to the same owner; empty cells say nothing."""
    first: dict[str, str] = {}
    return all(first.setdefault(cell, own) == own for cell, own in zip(cells, owner, strict=True) if cell)


def flag_of(cell: str) -> str:
    """'1' or '0' of a cell that says so as 1, 1.0 or True; any other cell as it is, stripped."""
    said = cell.strip().removesuffix(".0")
    return {"true": "1", "false": "0"}.get(said.casefold(), said)
