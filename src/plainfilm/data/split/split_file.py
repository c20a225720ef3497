"""Split files: which split each image is in, as `plainfilm split` writes it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from plainfilm.data.split.path_list import read_path_list
from plainfilm.data.table.image_table import ImageTable
from plainfilm.errors import DataError

_SPLITS = ("train", "valid", "test")
_ROLES = ("select", "calibrate", "both")  # of valid_roles


def read_split_file(path: Path, table: ImageTable, kinds: Sequence[str]) -> pd.DataFrame:
    """Columns path and split, one row per image of the table, and group, sha256, series and role where the file has
    them; all text.

    Args:
        kinds: the other values of --split, for the message.
    Raises:
        DataError: the file is missing, damaged, or of other images.
    """
    if not path.is_file():
        raise DataError(
            f"--split {str(path)!r} is neither {', '.join(kinds)} nor a file. Write a split file with: plainfilm split DATA --out split.csv"
        )
    frame = read_path_list(path, "split", ("path", "split"))
    odd = sorted(set(frame["split"]) - set(_SPLITS))
    if odd or frame["path"].duplicated().any():
        raise DataError(
            f"The split file {path} has "
            + (
                f"the split {odd[0]!r}; expected train, valid or test."
                if odd
                else "a path twice; keep one row per image."
            )
        )
    named = set(frame["path"])
    unknown = [name for name in table.rows["relative"] if name not in named]
    if unknown:
        raise DataError(
            f"The split file {path} does not name {len(unknown)} of {len(table.rows)} images (first: {unknown[0]!r}). Write it again: plainfilm split DATA --out split.csv"
        )
    surplus = named - set(table.rows["relative"]) - set(table.excluded["relative"])
    if surplus:
        raise DataError(
            f"The split file {path} names {len(surplus)} images that are not in DATA (first: {min(surplus)!r}). It belongs to other data."
        )
    _require_same_content(path, frame, table.rows)
    _require_roles(path, frame)
    return frame


def _require_roles(path: Path, frame: pd.DataFrame) -> None:
    """Refuse a column `role` that names something else than select, calibrate and both, or rows outside of valid."""
    if "role" not in frame:
        return
    valid = frame["split"] == "valid"
    odd = frame[~frame["role"].isin(_ROLES) & valid | (frame["role"] != "") & ~valid]
    if len(odd):
        found = odd.iloc[0]
        raise DataError(
            f"The split file {path} has the role {found['role']!r} in a row of {found['split']}; expected "
            f"{', '.join(_ROLES)} in rows of valid and nothing in others. Write it again, or leave the column out."
        )


def _require_same_content(path: Path, frame: pd.DataFrame, rows: pd.DataFrame) -> None:
    if "sha256" not in frame:
        return
    sha_of = dict(zip(frame["path"], frame["sha256"], strict=True))
    changed = [name for name, sha in zip(rows["relative"], rows["sha256"], strict=True) if sha_of.get(name) != sha]
    if changed:
        raise DataError(
            f"{len(changed)} images changed since the split file {path} was written (first: {changed[0]!r}). Restore them, or split again."
        )
