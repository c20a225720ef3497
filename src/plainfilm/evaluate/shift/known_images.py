"""What a run knows of external images: those of its own train, valid and test sets, and its patients."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pandas as pd

from plainfilm.data.archives.unpack import data_folder
from plainfilm.data.cache.moved_data import files_of
from plainfilm.data.folders.walk import NOT_READ
from plainfilm.data.split.splits import grouped
from plainfilm.data.table.image_table import ImageTable, set_apart
from plainfilm.data.table.patients import are_known
from plainfilm.errors import DataError, PlainfilmError, SealError
from plainfilm.evaluate.finished import FinishedRun
from plainfilm.runs.run_manifest import read_verified
from plainfilm.schemas.evaluate import LeftOut
from plainfilm.schemas.marks import TRANSDUCTIVE

_OWN_SETS: tuple[tuple[str, list[str], type[PlainfilmError]], ...] = (
    ("this run's sealed test set", ["test"], SealError),
    ("this run's train or valid set", ["train", "valid"], DataError),
    ("the local images that this run was recalibrated on", ["local"], DataError),
)
_REMEDY = "Leave them out with --drop-known, or remove them. Nothing was evaluated."


def with_local(finished: FinishedRun) -> pd.DataFrame:
    """The run's rows, and those of the local images that its operating point was recalibrated on, with the split 'local'."""
    fitted = _local_rows(finished, "fitted")
    return pd.concat([finished.rows, fitted.assign(split="local")], ignore_index=True) if len(fitted) else finished.rows


def transductive_note(finished: FinishedRun, rows: pd.DataFrame) -> list[str]:
    """The mark of a score on images that set its threshold without their labels; none where they did not."""
    same = int(rows["sha256"].isin(_local_rows(finished, "unlabelled")["sha256"]).sum())
    if not same:
        return []
    return [
        f"{TRANSDUCTIVE}: {same} of these {len(rows)} images, without their labels, set the threshold; new images of the same "
        "place may do worse. The unadapted numbers are beside it."
    ]


def _local_rows(finished: FinishedRun, use: str) -> pd.DataFrame:
    """Rows of local.csv of one use: fitted, judged or unlabelled; none for a run that was not recalibrated.

    Raises:
        DataError: the file is missing or damaged.
    """
    if finished.card.recalibration is None or not finished.run.root.joinpath("config.yaml").is_file():
        return pd.DataFrame({"sha256": pd.Series(dtype=object)})
    try:
        rows = pd.read_csv(
            io.BytesIO(read_verified(finished.run, finished.run.local)), dtype=str, keep_default_na=False
        )
        return rows[rows["use"] == use].drop(columns="use")
    except (OSError, ValueError, KeyError):
        raise DataError(
            f"{finished.run.local} is missing or damaged, so the images that the run was recalibrated on are not known. "
            "Restore it, or recalibrate again."
        ) from None


def sealed_files(own: pd.DataFrame) -> frozenset[str]:
    """Real paths of the run's test files: where they were scanned, and where they are now."""
    tested = own[own["split"] == "test"]
    return frozenset(os.path.realpath(str(path)) for path in {*tested["path"], *files_of(tested)})


def refuse_sealed_folder(path: Path, sealed: frozenset[str]) -> None:
    """Compares paths only, since test files are read in test-set accesses alone."""
    root = os.path.join(os.path.realpath(data_folder(path).path), "")  # a link to the folder is the folder
    count = sum(file.startswith(root) for file in sealed)
    if count:
        raise SealError(
            f"{path} holds {count} files of this run's sealed test set; they are not external, and none was read. "
            "Use --split test, or leave them out with --drop-known."
        )


def refuse_own_images(rows: pd.DataFrame, own: pd.DataFrame) -> None:
    """Refuse files and decoded images that are identical to one of the run's own."""
    for where, splits, kind in _OWN_SETS:
        same = identical_images(rows, own[own["split"].isin(splits)])
        if same.any():
            raise kind(
                f"{int(same.sum())} of {len(rows)} external images are in {where} "
                f"(first: {rows['relative'].to_numpy()[same.to_numpy().argmax()]!r}). They are not external. {_REMEDY}"
            )


def without_known(table: ImageTable, own: pd.DataFrame) -> tuple[ImageTable, LeftOut]:
    """The table without images that the run knows and images of patients that it learned from, and their number.

    A patient is known by the key, or by an image that is in train or valid; identical images are of one patient.

    Raises:
        DataError: no image is left.
    """
    rows, learned = grouped(table.rows, wide=False), own[own["split"] != "test"]
    same = identical_images(rows, own)
    known = identical_images(rows, learned) | are_known(rows["patient"], learned["patient"])
    of_patient = rows["group"].isin(rows.loc[known, "group"]) & ~same
    counted = LeftOut(
        images=int(same.sum() + (table.excluded["code"] == NOT_READ).sum()), patient_images=int(of_patient.sum()),
        patients=rows.loc[of_patient, "group"].nunique(),
    )  # fmt: skip
    if (same | of_patient).all():
        raise DataError(f"The run knows every external image: {counted.said()}. There is nothing to evaluate.")
    table = set_apart(table, of_patient, "known patient", "its patient is in the run's train or valid set")
    return set_apart(
        table, identical_images(table.rows, own), "known image", "identical to one of the run's own"
    ), counted


def identical_images(rows: pd.DataFrame, own: pd.DataFrame) -> pd.Series[bool]:
    """Whether each image is one of `own`, by its file or by its decoded pixels."""
    return rows["sha256"].isin(own["sha256"]) | rows["content"].isin(own["content"])
