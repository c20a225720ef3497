"""What the cells of a column could be, where its name alone does not decide."""

from __future__ import annotations

import re
from collections.abc import Collection

from plainfilm.data.folders.split_names import likely_part, split_of

_FRACTION = re.compile(r"[+-]?\d*[.,]\d*[1-9]\d*([eE][+-]?\d+)?")  # 7.0 may be an id that a program wrote as a number
_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T].*)?")
_FEWEST_IDS, _FEW, _MANY_ROWS = 3, 10, 10  # few values with many rows each are categories: left and right, sites


def could_be_ids(cells: Collection[str]) -> bool:
    """Whether cells may name persons: neither measured numbers, nor dates, nor few categories. Empty cells say nothing."""
    said = [cell for cell in cells if cell]
    different = set(said)
    if len(different) < _FEWEST_IDS or (len(different) <= _FEW and len(said) > _MANY_ROWS * len(different)):
        return False
    return not are_measured(said) and not all(map(_DATE.fullmatch, different))


def are_measured(cells: Collection[str]) -> bool:
    """Whether cells hold a number with a fraction."""
    return any(map(_FRACTION.fullmatch, cells))


def are_parts(cells: Collection[str]) -> bool:
    """Whether cells, more than one, hold nothing but parts of a data set: train and test, tr and te, fold1 and fold2."""
    different = set(cells) - {""}
    parts = {likely_part(cell) for cell in different}
    written_out = all(split_of(cell) for cell in different) or parts == {"fold"}
    return len(different) > 1 and "" not in parts and (len(parts) > 1 or written_out)
