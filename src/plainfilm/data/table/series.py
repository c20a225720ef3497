"""The series of every image, such as a hospital, a device or a date: a cell of the table, or a part of the file name."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from plainfilm.config import DataConfig
from plainfilm.data.folders.label_pattern import label_reader
from plainfilm.data.folders.walk import FoundFiles
from plainfilm.data.table.labels import is_nobody
from plainfilm.data.table.patients import canonical_key


def with_series(rows: pd.DataFrame, files: Sequence[FoundFiles], cfg: DataConfig) -> pd.DataFrame:
    """The rows with the column `series` where `cfg.split` holds series out: '' where nothing is said; a date as it is
    written.

    Args:
        files: one per row.
    """
    if cfg.split not in ("group", "temporal"):
        return rows
    if cfg.split == "group" and cfg.group_pattern is not None:
        found = map(label_reader(cfg.group_pattern), [file.relative for file in files])
    else:
        found = map(str.strip, [file.series for file in files])
    return rows.assign(series=["" if is_nobody(cell) else canonical_key(cell) for cell in found])
