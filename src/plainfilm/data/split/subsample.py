"""A smaller train set for learning curves: a fixed number of images of each class, valid and test untouched."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from plainfilm.base.seeds import SUBSET, content_key, uniform
from plainfilm.data.split.splits import Split
from plainfilm.data.table.image_table import ImageTable
from plainfilm.errors import DataError

_RULE = "beyond per_class"


def keep_per_class(table: ImageTable, split: Split, wanted: int, seed: int) -> tuple[ImageTable, Split]:
    """Table and split with `wanted` train images of each class; the others become ignored files with a rule.

    Whole patients are taken one by one in an order set by `seed`, and from the last one as many images as are still
    needed. With the same seed a smaller set is a subset of a larger one.

    Raises:
        DataError: a class has fewer train images.
    """
    train = split.of("train")
    sizes = train["label"].value_counts()
    if sizes.min() < wanted:
        raise DataError(
            f"data.per_class: {wanted} train images of each class are asked for, but {sizes.idxmin()!r} has {sizes.min()}. "
            f"Choose at most {sizes.min()}."
        )
    place = train.assign(
        of_patient=_drawn(train.groupby("group")["sha256"].transform("min"), seed),
        of_image=_drawn(train["sha256"], seed),
    ).sort_values(["of_patient", "group", "of_image", "relative"])
    kept = place.groupby("label").head(wanted).index
    left = train.index.difference(kept)
    why = f"one of {len(train)} train images, of which {wanted} of each class were asked for"
    gone = split.rows.loc[left, ["path", "relative"]].assign(state="ignored", code=_RULE, why=why)
    excluded = pd.concat([table.excluded, gone], ignore_index=True)
    rows = split.rows.drop(index=left).reset_index(drop=True)
    used = table.rows[~table.rows["relative"].isin(set(gone["relative"]))].reset_index(drop=True)
    note = f"FEW IMAGES: {wanted} train images of each class, as per_class asks; {len(left)} others are not used."
    return replace(table, rows=used, excluded=excluded), replace(split, rows=rows, notes=(*split.notes, note))


def _drawn(sha256: pd.Series, seed: int) -> np.ndarray:
    return uniform(seed, SUBSET, np.array([content_key(sha) for sha in sha256], dtype=np.int64))
