"""Images that the user excludes from train and valid with a list, such as the suspects.csv of `interpret`.

They are removed after the split: no other image changes its partition, and the test set stays the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from plainfilm.data.split.path_list import read_path_list
from plainfilm.data.split.splits import Split
from plainfilm.data.table.image_table import ImageTable
from plainfilm.errors import DataError

_RULE = "named by exclude"


def leave_out(table: ImageTable, split: Split, path: Path) -> tuple[ImageTable, Split]:
    """Table and split without the images of train and valid that the CSV at `path` names; they become ignored files.

    Test images stay, and a note says so: removing the images that a network disagrees with inflates any test score.

    Args:
        path: a CSV with the column path, below DATA as in a split file, or absolute; other columns are not read.
    Raises:
        DataError: the file cannot be read, names images that are not in DATA, or leaves a class without images.
    """
    named = _named(path)
    known = pd.concat([table.rows[["path", "relative"]], table.excluded[["path", "relative"]]])
    unknown = sorted(named - set(known["path"]) - set(known["relative"]))
    if unknown:
        raise DataError(
            f"The exclude file {path} names {len(unknown)} of {len(named)} images that are not in DATA (first: {unknown[0]!r}). "
            "It belongs to other data, or they were moved; list the images again with plainfilm interpret."
        )
    rows = split.rows
    here = rows["relative"].isin(named) | rows["path"].isin(named)
    gone = here & (rows["split"] != "test")
    _refuse_emptied(rows, gone, path)
    why = "left out of train and valid by the user's list"
    dropped = rows.loc[gone, ["path", "relative"]].assign(state="ignored", code=_RULE, why=why)
    excluded = pd.concat([table.excluded, dropped], ignore_index=True)
    used = table.rows[~table.rows["relative"].isin(set(dropped["relative"]))].reset_index(drop=True)
    left = split.rows[~gone].reset_index(drop=True)
    notes = _notes(Counter(rows.loc[gone, "split"]), int((here & ~gone).sum()))
    return replace(table, rows=used, excluded=excluded), replace(split, rows=left, notes=(*split.notes, *notes))


def _named(path: Path) -> set[str]:
    if not path.is_file():
        raise DataError(f"The exclude file {path} does not exist. Expected a CSV with the column path, as plainfilm interpret writes it.")  # fmt: skip
    return set(read_path_list(path, "exclude", ("path",))["path"])


def _refuse_emptied(rows: pd.DataFrame, gone: pd.Series, path: Path) -> None:
    for part in ("train", "valid"):
        here = rows["split"] == part
        emptied = sorted(set(rows.loc[here, "label"]) - set(rows.loc[here & ~gone, "label"]))
        if emptied:
            raise DataError(
                f"The exclude file {path} names every image of class {emptied[0]!r} in {part}. Every class must be there; shorten the list."
            )


def _notes(gone: Mapping[str, int], in_test: int) -> list[str]:
    notes = []
    if gone:
        where = " and ".join(f"{gone[part]} of {part}" for part in ("train", "valid") if part in gone)
        inflated = "; scores on valid are inflated by what was left out of it" if "valid" in gone else ""
        notes.append(f"LEFT OUT: {where}, named by exclude{inflated}.")
    if in_test:
        images = "1 image named by exclude is in test and stays"
        if in_test > 1:
            images = f"{in_test} images named by exclude are in test and stay"
        notes.append(f"{images} there: leaving out what a network disagrees with would inflate its score.")
    return notes
