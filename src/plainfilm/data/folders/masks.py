"""Segmentation masks beside images: no class of images, and refused by name."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import PurePosixPath

from plainfilm.data.errors import DecodeError
from plainfilm.data.folders.walk import FoundFiles
from plainfilm.data.image.decode import load, read_bytes
from plainfilm.errors import DataError

_MARK = re.compile(r"[ _-](mask|masks|segmentation|gt)([ _-]?\d+)?$")  # 'benign (1)_mask.png' beside 'benign (1).png'
_MOST_FOLDERS, _MOST_FILES = 200, 8  # opened to tell masks from images
_Group = tuple[str, str, bool]  # folder, suffix, whether the name is marked


def refuse_masks(found: Iterable[FoundFiles], *, tiff: bool = False) -> None:
    """Refuse folders of two-valued images that are named as the images of another folder.

    Raises:
        DataError: masks were found; says where.
    """
    groups: dict[_Group, dict[str, FoundFiles]] = defaultdict(dict)
    twins: dict[str, list[_Group]] = defaultdict(list)
    for file in found:
        group, stem = _group_of(file.relative)
        if stem not in groups[group]:
            twins[stem].append(group)
        groups[group][stem] = file
    likely = [group for group, files in groups.items() if 2 * sum(len(twins[s]) > 1 for s in files) >= len(files)]
    for group in likely[:: max(1, len(likely) // _MOST_FOLDERS)]:
        shared = [stem for stem in groups[group] if len(twins[stem]) > 1]
        pairs = [(groups[group][stem], groups[_other(group, twins[stem])][stem]) for stem in shared[:_MOST_FILES]]
        if _are_masks(pairs, tiff):
            _refuse(pairs[0], len(groups[group]))


def _group_of(relative: str) -> tuple[_Group, str]:
    path = PurePosixPath(relative.casefold())
    stem = _MARK.sub("", path.stem)
    return (str(path.parent), path.suffix, stem != path.stem), stem


def _other(group: _Group, groups: list[_Group]) -> _Group:
    return next((other for other in groups if other != group), group)


def _are_masks(pairs: list[tuple[FoundFiles, FoundFiles]], tiff: bool) -> bool:
    """The first of every pair has at most two colours, one has two, and the second of most pairs has more."""
    most = 0
    for mask, _ in pairs:
        colours = _colours(mask, tiff)
        if colours > 2:
            return False
        most = max(most, colours)
    return most == 2 and 2 * sum(_colours(image, tiff) > 2 for _, image in pairs) > len(pairs)


def _colours(file: FoundFiles, tiff: bool) -> int:
    """1, 2, or 3 for any more; a file that cannot be read, or is deeper than 8 bits, has 3."""
    try:
        with load(read_bytes(file.path), tiff=tiff) as image:
            return len(image.getcolors(2) or (0, 0, 0))
    except (DecodeError, ValueError):
        return 3


def _refuse(pair: tuple[FoundFiles, FoundFiles], count: int) -> None:
    masks, images = (PurePosixPath(file.relative).parent for file in pair)
    name = images.name
    helps = masks != images and name not in (pair[1].label, "")
    todo = f"--under {name} reads the images alone." if helps else "Move the masks out of DATA."
    raise DataError(
        f"{count} images in {str(masks)!r} have two values only and the names of images in {str(images)!r}: they are masks, "
        f"not images of a class (first: {pair[0].relative!r}). {todo} "
        "If they are a class after all, list the images in a CSV."
    )
