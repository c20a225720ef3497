"""What a run knows of external images: those of its own train, valid and test sets, and its patients."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from plainfilm.data.cache.moved_data import files_of
from plainfilm.data.folders.walk import NOT_READ
from plainfilm.data.table.image_table import ImageTable, set_apart
from plainfilm.errors import DataError, SealError
from plainfilm.schemas.evaluate import LeftOut

_REMEDY = "Leave them out with --drop-known, or remove them. Nothing was evaluated."


def sealed_files(own: pd.DataFrame) -> frozenset[str]:
    """Real paths of the run's test files: where they were scanned, and where they are now."""
    tested = own[own["split"] == "test"]
    return frozenset(os.path.realpath(str(path)) for path in {*tested["path"], *files_of(tested)})


def refuse_sealed_folder(path: Path, sealed: frozenset[str]) -> None:
    """Compares paths only, since test files are read in test-set accesses alone."""
    root = os.path.join(os.path.realpath(path), "")  # a link to the folder is the folder
    count = sum(file.startswith(root) for file in sealed)
    if count:
        raise SealError(
            f"{path} holds {count} files of this run's sealed test set; they are not external, and none was read. "
            "Use --split test, or leave them out with --drop-known."
        )


def refuse_own_images(rows: pd.DataFrame, own: pd.DataFrame) -> None:
    """Refuse files and decoded images that are identical to one of the run's own."""
    for splits, kind in ((["test"], SealError), (["train", "valid"], DataError)):
        same = _identical(rows, own[own["split"].isin(splits)])
        if same.any():
            where = "sealed test" if splits == ["test"] else "train or valid"
            raise kind(
                f"{int(same.sum())} of {len(rows)} external images are in this run's {where} set "
                f"(first: {rows['relative'].to_numpy()[same.to_numpy().argmax()]!r}). They are not external. {_REMEDY}"
            )


def without_known(table: ImageTable, own: pd.DataFrame) -> tuple[ImageTable, LeftOut]:
    """The table without images that the run knows and images of patients that it learned from, and their number.

    An external patient with an image of train or valid is such a patient under any key.

    Raises:
        DataError: no image is left.
    """
    rows, learned = table.rows, own[own["split"] != "test"]
    same = _identical(rows, own)
    keys = {*learned["patient"], *rows.loc[_identical(rows, learned), "patient"]} - {""}
    theirs = rows["patient"].isin(keys) & ~same
    not_read = int((table.excluded["code"] == NOT_READ).sum())
    counted = LeftOut(
        images=int(same.sum()) + not_read, patient_images=int(theirs.sum()),
        patients=rows.loc[theirs, "patient"].nunique(),
    )  # fmt: skip
    if (same | theirs).all():
        raise DataError(f"The run knows every external image: {counted.said()}. There is nothing to evaluate.")
    table = set_apart(table, same, "known image", "identical to one of the run's own images")
    patient = table.rows["patient"].isin(keys)
    return set_apart(table, patient, "known patient", "its patient is in the run's train or valid set"), counted


def _identical(rows: pd.DataFrame, own: pd.DataFrame) -> pd.Series[bool]:
    return rows["sha256"].isin(own["sha256"]) | rows["content"].isin(own["content"])
