"""Names of masks and of images, as folders and endings of file names spell them."""

from __future__ import annotations

import re
from itertools import pairwise

from plainfilm.data.folders.split_names import split_of

IMAGES = frozenset({"image", "images", "img", "imgs"})
_MASKS = frozenset({
    "mask", "masks", "label", "labels", "annotation", "annotations", "groundtruth", "gt", "segmentation",
    "segmentations",
})  # fmt: skip
_OTHERS = frozenset({  # in these words only pixels tell
    "seg", "segs", "roi", "rois", "lesion", "lesions", "contour", "contours", "superpixel", "superpixels", "lbl",
    "lbls", "labelmap", "labelmaps",
})  # fmt: skip
_NONE = frozenset({"with", "without", "wearing", "no", "non", "not", "data", "dataset"})  # faces, names of whole sets
_BREAK = re.compile(r"[\W\d_]+|(?<=[a-z])(?=[A-Z])")


def says_masks(name: str, *, alone: bool = False) -> bool:
    """Whether a folder of this name must hold masks where images lie beside it: 'lung masks', 'ground_truth'.

    Args:
        alone: the name holds no other word.
    """
    words = _words(name)
    return not words & _NONE and (words <= _MASKS and bool(words) if alone else bool(words & _MASKS))


def may_say_masks(name: str) -> bool:
    """Whether the pixels of a folder or ending of this name may be masks, by weaker words too: 'roi', '_seg_2'."""
    words = _words(name)
    return not words & _NONE and bool(words & (_MASKS | _OTHERS))


def without_mask_splits(splits: set[str]) -> set[str]:
    """The split folders without `train_seg`, `test_seg` where one of them lies beside a `train` or `test` of its own:
    they hold masks. `seg_train` alone is a split."""
    masks = {name for name in splits if may_say_masks(name)}
    doubled = {split_of(name) for name in masks} & {split_of(name) for name in splits - masks}
    return splits - masks if doubled else splits


def _words(name: str) -> set[str]:
    words = [word.casefold() for word in _BREAK.split(name) if word]
    joined = {"".join(pair) for pair in pairwise(words)} & _MASKS  # 'ground truth'
    return joined | {word for word in words if not (joined and word in {"ground", "truth"})}
