"""Audit of an image table: duplicates, label conflicts, patients in two given folders, and how the classes differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from plainfilm.data.audit.near_duplicates import near_groups, near_pairs, perceptual_hashes
from plainfilm.data.cache.rows import PixelRows
from plainfilm.data.split.splits import grouped, leaks, people
from plainfilm.data.table.image_table import ImageTable

_Verdict = Literal["ok", "unknown", "warn", "fail"]


@dataclass(frozen=True)
class Findings:
    """Groups of images are relative paths, in table order.

    `identical`: the same bytes or the same decoded pixels, one class. `near`: nearly the same image, confirmed on
    its pixels. `conflicts`: identical, but of two classes. `across_patients` and `across_identical`: patient keys and
    groups that are in two given folders, of the images that have a key; no patient key at all: `across_patients` is None.
    """

    identical: list[list[str]]
    near: list[list[str]]
    conflicts: list[list[str]]
    across_patients: list[str] | None
    across_identical: list[list[str]]
    quarantined: int

    def verdict(self, shortcut: bool, unknown: bool = False) -> _Verdict:
        """fail: the given split or the labels are wrong; warn: something that the reader must know; unknown: neither was
        found, and `unknown` says that it could not be; else ok."""
        if self.across_patients or self.across_identical or self.conflicts:
            return "fail"
        if self.quarantined or self.identical or self.near or shortcut:
            return "warn"
        return "unknown" if unknown else "ok"


def find(table: ImageTable, pixels: PixelRows) -> Findings:
    """All findings of a scanned table.

    Args:
        pixels: row i of the table; for near duplicates.
    """
    rows = table.rows
    names = rows["relative"].tolist()
    content = rows["content"].to_numpy()
    first = np.flatnonzero(~rows["content"].duplicated().to_numpy())  # copies are in `identical`
    distinct = pixels.part(first)
    pairs = [(int(first[i]), int(first[j])) for i, j in near_pairs(perceptual_hashes(distinct), distinct)]
    identical = [group.tolist() for _, group in rows.groupby("content", sort=False)["relative"] if len(group) > 1]
    given = rows[rows["given"] != ""]
    split_of = dict(zip(rows["relative"], rows["given"], strict=True))
    return Findings(
        identical=identical,
        near=[[names[i] for i in group] for group in near_groups(pairs, content)],
        conflicts=[list(group) for group in table.conflicts],
        across_patients=list(leaks(given.assign(split=given["given"])).patients) if table.has_patients else None,
        across_identical=[group for group in identical if len({split_of[name] for name in group} - {""}) > 1],
        quarantined=table.count("quarantined"),
    )


def by_class(rows: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Per class: images, patients as they are resampled and their keys (None without a key), median (smallest to largest) of width, height and bytes per pixel, depths, channels."""
    per_pixel = rows["bytes"] / (rows["width"] * rows["height"])
    summary: dict[str, dict[str, Any]] = {}
    known = bool((rows["patient"] != "").any())
    for label, part in grouped(rows, wide=True).assign(bytes_per_pixel=per_pixel).groupby("label"):
        summary[str(label)] = {
            "images": len(part),
            **people(part, known),
            **{name: _spread(part[name].to_numpy()) for name in ("width", "height", "bytes_per_pixel")},
            **{name: _counts(part[name]) for name in ("depth", "channels")},
        }
    return summary


def _spread(values: np.ndarray) -> dict[str, float]:
    return {
        "min": round(float(values.min()), 4),
        "median": round(float(np.median(values)), 4),
        "max": round(float(values.max()), 4),
    }


def _counts(values: pd.Series) -> dict[str, int]:
    return {str(value): int(n) for value, n in values.value_counts().sort_index().items()}
