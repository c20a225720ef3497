"""The subgroup of each image: a column of the run's table, of the CSV that listed the images, or a built-in one."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from plainfilm.config import DataConfig
from plainfilm.data.archives.unpack import is_archive
from plainfilm.data.csv.csv_list import read_column
from plainfilm.errors import DataError, UsageError

_MAX_SUBGROUPS = 20
_NOT_A_SUBGROUP = frozenset(
    {"path", "relative", "label", "sha256", "content", "split", "group", "wide", "kin", "patient", "duplicate_of"}
)
_SUBTYPE = re.compile(r"^person\d+_(bacteria|virus)_")


def _subtype(rows: pd.DataFrame) -> list[str]:
    """'bacteria' or 'virus' from the file names of the Kermany set, '' for others. Source: Kermany et al. 2018."""
    names = (PurePosixPath(relative).name for relative in rows["relative"])
    return [found[1] if (found := _SUBTYPE.match(name)) else "" for name in names]


_BUILT_IN: dict[str, Callable[[pd.DataFrame], list[str]]] = {"subtype": _subtype}


def subgroup_names(rows: pd.DataFrame, column: str, data: Path | None, cfg: DataConfig | None = None) -> list[str]:
    """The subgroup of each row, '' where nothing is given.

    Args:
        rows: of a run's table, or of an external set.
        data: where they came from; any column of a CSV may be named.
        cfg: how the run reads tables.
    Raises:
        UsageError: there is no such column, or it does not define subgroups.
        DataError: the CSV is gone, or no longer lists these images.
    """
    if data is not None and _is_table(data) and column not in _NOT_A_SUBGROUP:
        if not data.is_file():
            raise DataError(
                f"--by {column}: {data} cannot be read, it is gone. Give the new place of moved DATA with --data."
            )
        values = read_column(data, column, cfg)
        if values is not None:
            return _checked(_joined(rows, values, data), column)
    if column in _BUILT_IN:
        return _checked(_BUILT_IN[column](rows), column)
    if column in rows and column not in _NOT_A_SUBGROUP:
        return _checked([str(value) for value in rows[column]], column)
    usable = [*_BUILT_IN, *(str(name) for name in rows if name not in _NOT_A_SUBGROUP)]
    raise UsageError(
        f"--by {column!r}: no such column of subgroups. Expected one of {', '.join(usable)}, or a column of the CSV given as DATA."
    )


def _is_table(data: Path) -> bool:
    """A file of any name; of one that is gone, the name says whether it was a table."""
    return (data.is_file() and not is_archive(data)) or data.suffix.casefold() in (".csv", ".tsv", ".txt")


def _joined(rows: pd.DataFrame, values: dict[str, str], csv: Path) -> list[str]:
    names = {
        relative: relative if relative in values else PurePosixPath(relative).name for relative in rows["relative"]
    }
    gone = [name for name in names.values() if name not in values]  # a table may name files without their folders
    if gone:
        raise DataError(
            f"{csv.name} no longer lists {len(gone)} of {len(rows)} images of the run. Restore the CSV that the run was trained on."
        )
    return [values[names[relative]] for relative in rows["relative"]]


def _checked(names: list[str], column: str) -> list[str]:
    distinct = np.unique([name for name in names if name])
    if not len(distinct):
        raise UsageError(f"--by {column}: no image here has a value in it. Choose another column.")
    if len(distinct) > _MAX_SUBGROUPS:
        raise UsageError(
            f"--by {column}: found {len(distinct)} different values, expected at most {_MAX_SUBGROUPS}. "
            "Group them into ranges in a separate column."
        )
    return names
