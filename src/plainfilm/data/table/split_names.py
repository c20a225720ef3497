"""Names of the parts of a data set, as folders and split columns spell them."""

from __future__ import annotations

_PARTS = {
    "train": "train", "training": "train",
    "val": "valid", "valid": "valid", "validation": "valid",
    "test": "test", "testing": "test",
}  # fmt: skip


def split_of(name: str) -> str:
    """'train', 'valid' or 'test' as a folder or cell spells it; '' for any other name."""
    return _PARTS.get(name.strip().casefold(), "")
