"""Segmentation masks among images: found by their names, proved by their few values, and refused by name."""

from __future__ import annotations

import re
import zlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice
from pathlib import PurePosixPath

from plainfilm.data.errors import MEGAPIXELS
from plainfilm.data.folders.mask_names import IMAGES, may_say_masks
from plainfilm.data.folders.mask_pixels import MANY, PixelValues
from plainfilm.data.folders.split_names import split_of
from plainfilm.data.folders.walk import FoundFiles
from plainfilm.errors import DataError

_MOST_GROUPS, _MOST_FILES, _MOST_OTHERS = 200, 8, 4  # opened to tell masks from images
# Where a name may continue another: at a sign, between a digit and a letter ('1' does not continue in '12'), or before
# and after a plain word ('catmask')
_JOINT = re.compile(
    r"(?<=.)(?=[\W_])|(?<=[\W_])(?=.)|(?<=\d)(?=[^\W\d_])|(?<=[^\W\d_])(?=\d)"
    r"|(?<=.)(?=(?:masks?|seg|segmentation|label|gt|roi)$)|(?<=^mask)(?=.)|(?<=^seg)(?=.)|(?<=^gt)(?=.)"
)
_IMAGE_WORD = re.compile(r"^(image|img)[ _.-]+|[ _.-]+(image|img|original|orig|raw)$")


@dataclass
class _Group:
    """Files that may be masks, each with files that would be their images.

    `words`: a name says masks, so that one file is enough and one in four may be odd. `limit`: the most values of a
    mask. `near`: values near few levels count as these, too lax where no name says masks: 6 % of CT slices have such. `affix`: what their names have more than those of the images.
    """

    words: bool = False
    limit: int = MANY - 1
    near: bool = False
    affix: str = ""
    pairs: list[tuple[FoundFiles, list[FoundFiles]]] = field(default_factory=list)


def refuse_masks(found: Iterable[FoundFiles], *, tiff: bool = False, megapixels: int = MEGAPIXELS) -> None:
    """Refuse files of few values among images of many where names say that they are masks.

    The names are those of folders (`lung masks`), of files named as another and an ending or beginning (`1_seg` beside
    `1`), or of files with the same names in two folders.

    Raises:
        DataError: masks were found; says where.
    """
    files = sorted(found, key=lambda file: bool(_masks_above(file)))  # images first
    values = PixelValues(tiff=tiff, megapixels=megapixels)
    groups = [
        *_word_folders(files),
        *_affixes(files),
        *_twins(files, _label_and_stem),
        *_twins(files, _stem, 2),
    ]
    groups = [group for group in groups if group.words or len(group.pairs) > 1]
    for group in sorted(sorted(groups, key=_mixed)[:_MOST_GROUPS], key=_in_order):
        if pairs := _proved(replace(group, pairs=_spread(group.pairs)), values):
            _refuse(group, pairs, two=all(values.of(mask.path, near=group.near) <= 2 for mask, _ in pairs))


def _mixed(group: _Group) -> tuple[bool, int]:
    """Those of telling names first, the others in an order that no numbering of folders repeats."""
    return not group.words, zlib.crc32(group.pairs[0][0].relative.encode())


def _in_order(group: _Group) -> tuple[bool, str]:
    return not group.words, group.pairs[0][0].relative


def _spread(pairs: list[tuple[FoundFiles, list[FoundFiles]]]) -> list[tuple[FoundFiles, list[FoundFiles]]]:
    return pairs[:: max(1, len(pairs) // _MOST_FILES)][:_MOST_FILES]


@lru_cache(maxsize=4096)
def _mask_folder(folder: str) -> str:
    """The deepest folder of a path that is named as masks, '' without one or with `images` below it."""
    for path in (PurePosixPath(folder), *PurePosixPath(folder).parents):
        if path.name.casefold() in IMAGES:
            return ""
        if may_say_masks(path.name):
            return str(path)
    return ""


def _masks_above(file: FoundFiles) -> str:
    return _mask_folder(_folder(file))


def _folder(file: FoundFiles) -> str:
    return file.relative.rpartition("/")[0]


def _stem(file: FoundFiles) -> str:
    return _stem_of(file.relative.rpartition("/")[2])


def _stem_of(name: str) -> str:
    return name[: name.rindex(".")].casefold() if "." in name[1:] else name.casefold()


def _label_and_stem(file: FoundFiles) -> tuple[str, str]:
    return file.label, _stem(file)


def _word_folders(files: list[FoundFiles]) -> Iterable[_Group]:
    """Folders named as masks, against images of the same class, or of all where the class itself is so named."""
    groups: dict[str, _Group] = defaultdict(lambda: _Group(words=True, near=True))
    images = [file for file in files if not _masks_above(file)]
    by_label: dict[str, list[FoundFiles]] = defaultdict(list)
    for file in images:
        by_label[file.label].append(file)
    few = [images[i * len(images) // _MOST_OTHERS] for i in range(_MOST_OTHERS)] if images else []
    for file in files:
        if images and (folder := _masks_above(file)):
            groups[folder].pairs.append((file, by_label[file.label][:_MOST_OTHERS] or few))
    return groups.values()


def _affixes(files: list[FoundFiles]) -> Iterable[_Group]:
    """Files named as another of their class and an ending or beginning; as one of any class where that says masks."""
    wholes: dict[tuple[Hashable, str], FoundFiles] = {}
    for file in files:
        for stem in {_stem(file), _IMAGE_WORD.sub("", _stem(file))}:
            for place in _places(file):
                wholes.setdefault((place, stem), file)
    groups: dict[Hashable, _Group] = {}
    for file in files:
        for affix, rest in _cuts(_stem(file)):
            if ("", rest) not in wholes:
                continue
            words = may_say_masks(affix)
            others = [wholes.get((place, rest)) for place in _places(file)[: 3 if words else 2]]
            if other := next((other for other in others if other not in (None, file)), None):
                affix = re.sub(r"\d+", "1", affix)
                group = groups.setdefault((_folder(file), affix), _Group(words, near=words, affix=affix))
                group.pairs.append((file, [other]))
                break
    return groups.values()


def _places(file: FoundFiles) -> list[Hashable]:
    """Its folder, its class and DATA: where a file of another name is sought, nearest first."""
    return [(file.label, _folder(file)), (file.label,), ""]


def _cuts(stem: str) -> Iterator[tuple[str, str]]:
    """Every way a name may be another with an ending or beginning, shortest first: ('_seg', 'a (1)'), ('a ', '(1)_seg')."""
    joints = [match.start() for match in _JOINT.finditer(stem)]
    for at in reversed(joints):
        yield stem[at:], stem[:at]
    for at in joints:
        yield stem[:at], stem[at:]


def _twins(files: list[FoundFiles], key_of: Callable[[FoundFiles], Hashable], limit: int = MANY - 1) -> list[_Group]:
    """Folders at least half of whose files have the name of a file elsewhere."""
    folders: dict[tuple[str, str], list[FoundFiles]] = defaultdict(list)
    same: dict[Hashable, list[FoundFiles]] = defaultdict(list)
    for file in files:
        folders[_folder(file), PurePosixPath(file.relative).suffix.casefold()].append(file)
        same[key_of(file)].append(file)
    groups = []
    for inside in folders.values():
        shared = [file for file in inside if len(same[key_of(file)]) > 1]
        if 2 * len(shared) >= len(inside):
            pairs = [(file, _others(file, same[key_of(file)])) for file in shared]
            groups.append(_Group(limit=limit, pairs=pairs))
    return groups


def _others(file: FoundFiles, same: list[FoundFiles]) -> list[FoundFiles]:
    return list(islice((other for other in same if other is not file), _MOST_OTHERS))


def _proved(group: _Group, values: PixelValues) -> list[tuple[FoundFiles, FoundFiles]]:
    """Masks with one of their images each, where the files have few values, one has two or words say masks, and most
    others have many; else []."""
    counts: list[int] = []
    for file, _ in group.pairs:
        counts.append(values.of(file.path, near=group.near))
        if sum(count > group.limit for count in counts) > (len(group.pairs) // 4 if group.words else 0):
            return []
    pairs = [
        (file, next((other for other in others if values.of(other.path, near=True) == MANY), None))
        for (file, others), count in zip(group.pairs, counts, strict=True)
        if count <= group.limit
    ]
    masks = [(file, image) for file, image in pairs if image is not None]
    return masks if (max(counts) > 1 or group.words) and 2 * len(masks) > len(group.pairs) else []


def _refuse(group: _Group, pairs: list[tuple[FoundFiles, FoundFiles]], *, two: bool) -> None:
    masks, images = (PurePosixPath(file.relative).parent for file in pairs[0])
    below = _own_folder(pairs)
    todo = f"--under {below} reads the images alone." if below else "Move the masks out of DATA."
    where = f"{str(masks)!r} with {group.affix!r} in their names" if group.affix else repr(str(masks))
    raise DataError(
        f"{len(group.pairs)} images in {where} have {'two' if two else 'few'} values only, unlike images in "
        f"{str(images)!r}: they are masks, not images of a class (first: {pairs[0][0].relative!r}). {todo} "
        "If they are a class after all, list the images in a CSV."
    )


def _own_folder(pairs: list[tuple[FoundFiles, FoundFiles]]) -> str:
    """A folder that the images of all pairs lie in, but not their masks, and that is no class and no split; or ''."""
    folders = [PurePosixPath(image.relative).parts[:-1] for _, image in pairs]
    taken = {part for mask, image in pairs for part in (*PurePosixPath(mask.relative).parts, image.label)}
    own = [part for part in folders[0] if part not in taken and not split_of(part) and all(part in f for f in folders)]
    return next((part for part in own if part.casefold() in IMAGES), own[-1] if own else "")
