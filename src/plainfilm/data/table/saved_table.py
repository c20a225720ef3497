"""The image table as a file of a run: every cell as it was."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd

from plainfilm.errors import DataError
from plainfilm.runs.folder import RunDir
from plainfilm.runs.run_manifest import read_verified, write_file

COLUMNS = [
    "path", "relative", "label", "patient", "wide", "given", "sha256", "bytes", "width", "height", "mode", "grey",
    "depth", "channels", "quantisation", "content", "kin", "duplicate_of",
]  # fmt: skip


def write_table(run: RunDir, path: Path, rows: pd.DataFrame) -> None:
    """Save rows as CSV, every cell unchanged."""
    write_file(run, path, rows.to_csv(index=False, lineterminator="\n"))


def read_table(run: RunDir) -> pd.DataFrame:
    """The rows of table.csv: all text, except the numeric and boolean columns.

    Raises:
        DataError: the file is missing, damaged or edited.
    """
    try:
        rows = pd.read_csv(io.BytesIO(read_verified(run, run.table)), dtype=str, keep_default_na=False)
        for name in ("bytes", "width", "height", "depth", "channels", "quantisation", "group"):
            rows[name] = rows[name].astype("int64")
        rows["grey"] = rows["grey"] == "True"
        if "role" not in rows:  # written before valid was split: every row has both roles
            rows["role"] = rows["split"].map({"valid": "both"}).fillna("")
        return rows[[*COLUMNS, "group", "role", "split"]]
    except KeyError as error:
        raise DataError(
            f"{run.table} has no column {error.args[0]!r}: it was written by an older version, or edited. Train again."
        ) from None
    except (OSError, ValueError, OverflowError):
        raise DataError(f"{run.table} is missing or damaged. Restore it from a backup, or train again.") from None
