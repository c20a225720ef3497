"""The image table as a file of a run: every cell as it was."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from plainfilm.base.files import atomic_write
from plainfilm.errors import DataError

COLUMNS = [
    "path", "relative", "label", "patient", "wide", "given", "sha256", "bytes", "width", "height", "mode", "grey",
    "depth", "channels", "quantisation", "content", "kin", "duplicate_of",
]  # fmt: skip


def write_table(path: Path, rows: pd.DataFrame) -> None:
    """Save rows as CSV, every cell unchanged."""
    atomic_write(path, rows.to_csv(index=False, lineterminator="\n"))


def read_table(path: Path) -> pd.DataFrame:
    """Rows saved by write_table(): all text, except the numeric and boolean columns.

    Raises:
        DataError: the file is missing or damaged.
    """
    try:
        rows = pd.read_csv(path, dtype=str, keep_default_na=False)
        for name in ("bytes", "width", "height", "depth", "channels", "quantisation", "group"):
            rows[name] = rows[name].astype("int64")
        rows["grey"] = rows["grey"] == "True"
        if "role" not in rows:  # written before valid was split: every row has both roles
            rows["role"] = rows["split"].map({"valid": "both"}).fillna("")
        return rows[[*COLUMNS, "group", "role", "split"]]
    except KeyError as error:
        raise DataError(
            f"{path} has no column {error.args[0]!r}: it was written by an older version, or edited. Train again."
        ) from None
    except (OSError, ValueError, OverflowError):
        raise DataError(f"{path} is missing or damaged. Restore it from a backup, or train again.") from None
