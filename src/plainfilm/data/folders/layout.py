"""Where the class folders are: wrappers, split folders and classes, found from the folders that hold images."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from plainfilm.data.folders.mask_names import may_say_masks, without_mask_splits
from plainfilm.data.folders.split_names import split_of, splits_among

Shape = tuple[str, ...]  # the folders of a file below DATA, outermost first, without its name

_PLAIN = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})  # read without a note
_PERSON = re.compile(r"(p|pt|pat|patient|person|sub|subject|s|case)[ _-]?\d+", re.IGNORECASE)
_OUTSIDE_SPLITS, _OUTSIDE_CLASSES = "outside train, val and test", "outside a class folder"


@dataclass(frozen=True)
class _Place:
    """What a folder says of its images: class and given split, or the rule that sets them aside; `depth` is where the
    class is in the shape."""

    label: str = ""
    given: str = ""
    rule: str = ""
    depth: int = 0


@dataclass(frozen=True)
class Layout:
    """How the folders of DATA are read.

    `base`: wrappers, each the only folder of the one above. `splits`: split folder below it -> folders of the same part
    inside it, each alone (seg_train/seg_train). `flat`: split folders without class folders.
    """

    base: Shape
    splits: Mapping[str, Shape]
    flat: frozenset[str]

    def place(self, shape: Shape) -> _Place:
        """Class, given split or rule of the images in a folder."""
        start = len(self.base)
        below = shape[start:]
        if not self.splits:
            return _Place(below[0], depth=start) if below else _Place(rule=_OUTSIDE_CLASSES)
        if not below or below[0] not in self.splits:
            return _Place(rule=_OUTSIDE_SPLITS)
        given = split_of(below[0])
        depth = start + 1 + len(self.splits[below[0]])
        if below[0] in self.flat:
            return _Place(given=given, rule=f"unlabelled: {below[0]} has no class folders", depth=depth)
        if len(shape) <= depth:
            return _Place(given=given, rule=_OUTSIDE_CLASSES, depth=depth)
        return _Place(shape[depth], given, depth=depth)

    def class_parents(self) -> list[Shape]:
        """The folders that hold class folders."""
        return [(*self.base, top, *inner) for top, inner in self.splits.items()] if self.splits else [self.base]

    def notes(self, images: Counter[Shape]) -> list[str]:
        """What was read in another way than it is written, without a name that could be a person's.

        Args:
            images: how many images each folder holds.
        """
        read = [*self._entered(), *self._spelled(), *self._pooled()]
        return [*read, *self._left(images), *self._ignored(images), *self._alike(images)]

    def _entered(self) -> list[str]:
        if not self.base:
            return []
        what, deep = "split folders" if self.splits else "class folders", len(self.base)
        one = "single folder was" if deep == 1 else f"{deep} folders, one in the other, were"
        return [f"DATA's {one} entered: the {what} are inside."]

    def _spelled(self) -> list[str]:
        odd = [
            f"{'/'.join((top, *inner))} as {split_of(top)}"
            for top, inner in self.splits.items()
            if inner or top.casefold() not in _PLAIN
        ]
        return [f"Folders read as splits: {', '.join(odd)}."] if odd else []

    def _pooled(self) -> list[str]:
        """Folders of one part, each with classes."""
        tops: dict[str, list[str]] = {}
        for top in sorted(set(self.splits) - self.flat):
            tops.setdefault(split_of(top), []).append(top)
        several = [f"{' and '.join(names)} as {part}" for part, names in tops.items() if len(names) > 1]
        return [f"Several folders are pooled as one split: {', '.join(several)}."] if several else []

    def _left(self, images: Counter[Shape]) -> list[str]:
        notes = []
        for top in sorted(self.flat):
            n = sum(count for shape, count in images.items() if shape[len(self.base) :][:1] == (top,))
            where = f"FOLDER scores them; FOLDER is {top} inside DATA" if self.base else f"DATA/{top} scores them"
            notes.append(
                f"{n} images in {top} lie in no class folder: they are unlabelled and not used. "
                f"plainfilm predict BUNDLE {where}."
            )
        return [*notes, *self._beside(images)]

    def _beside(self, images: Counter[Shape]) -> list[str]:
        left = {shape: n for shape, n in images.items() if self.place(shape).rule == _OUTSIDE_SPLITS}
        if not left:
            return []
        start = len(self.base)
        like = sum(n for shape, n in left.items() if self._could_be_split(shape[start : start + 1]))
        also = f"; {like} of them lie in folders named like splits: rename these, or merge them" if like else ""
        return [f"{sum(left.values())} images lie beside the split folders and are not used{also}."]

    def _could_be_split(self, top: Shape) -> bool:
        """Whether a folder beside the splits is named like one, and not as the masks of one."""
        return bool(splits_among(top)) and not any(map(may_say_masks, top))

    def _ignored(self, images: Counter[Shape]) -> list[str]:
        """Split names inside class folders, which make no split."""
        inside: Counter[str] = Counter()
        for shape, count in images.items():
            place = self.place(shape)
            inner = [split_of(name) for name in shape[place.depth + 1 :] if split_of(name)]
            if not place.rule and inner:
                inside[inner[0]] += count
        if not inside:
            return []
        parts = ", ".join(f"{part} {count}" for part, count in sorted(inside.items()))
        return [f"Folders inside class folders are named as splits ({parts} images) and were not taken as a split."]

    def _alike(self, images: Counter[Shape]) -> list[str]:
        """Notes where classes may be sites or persons: most hold the same folders, or are named as persons are."""
        inside: dict[str, set[str]] = {}
        for shape in images:
            place = self.place(shape)
            if not place.rule:
                inside.setdefault(place.label, set()).update(shape[place.depth + 1 : place.depth + 2])
        notes = []
        if len(inside) > 1 and all(map(_PERSON.fullmatch, inside)):
            notes.append(
                f"The {len(inside)} class folders are named as persons are. If each is one, a score tells identities apart, "
                "not a finding."
            )
        holders = [names for names in inside.values() if names]
        shared = {
            name for names in holders for name in names if 2 * sum(name in other for other in holders) > len(inside)
        }
        if len(inside) > 1 and len(shared) > 1:
            notes.append(
                f"Most of the {len(inside)} class folders hold folders of the same {len(shared)} names. If those are the "
                "classes, and the folders above them patients or sites: --label-pattern '/([^/]+)/[^/]+$'."
            )
        return notes


def find_layout(shapes: Collection[Shape], is_alone: Callable[[Shape], bool], *, labelled: bool = True) -> Layout:
    """The layout of the folders that hold images.

    Args:
        is_alone: whether a folder has one folder only, as the disk shows it.
        labelled: classes are folders; False: they are in the file names, and only split folders are sought.
    """
    base, tops = _base(shapes, _chain(shapes, is_alone), labelled)
    base = base if labelled or tops else ()
    below = [shape[len(base) :] for shape in shapes]
    splits = {top: _same_inside(top, [shape[1:] for shape in below if shape[:1] == (top,)]) for top in sorted(tops)}
    deepest = {top: max(len(shape) for shape in below if shape[:1] == (top,)) for top in splits}
    flat = {top for top in splits if labelled and deepest[top] <= 1 + len(splits[top])}
    return Layout(base, splits, frozenset(flat))


def _chain(shapes: Collection[Shape], is_alone: Callable[[Shape], bool]) -> Shape:
    """The folders that hold all images, each the only folder in the one above."""
    chain: Shape = ()
    while shapes and is_alone(chain):
        following = {shape[: len(chain) + 1] for shape in shapes}
        if len(following) != 1 or chain in following:
            break
        (chain,) = following
    return chain


def _base(shapes: Collection[Shape], chain: Shape, labelled: bool) -> tuple[Shape, set[str]]:
    """The wrappers and the split folders below them.

    A chain that ends in images is one class, or a split folder of one class.
    """
    for length in range(len(chain), -1, -1):
        named = length == len(chain) or split_of(chain[length])
        if named and (tops := _split_tops(shapes, length, labelled)):
            return chain[:length], tops
    return () if chain in shapes else chain, set()


def _split_tops(shapes: Collection[Shape], start: int, labelled: bool) -> set[str]:
    """The folders at depth `start` that are splits; none where they are classes.

    A class may be named 'test': split names count only with class folders below them, and only when one of them is
    train or there are no other folders.
    """
    below = [shape[start:] for shape in shapes if len(shape) > start]
    tops = {shape[0] for shape in below}
    deep = {shape[0] for shape in below if len(shape) > 1} if labelled else tops
    parts = {split_of(top) for top in deep}
    if "train" in parts or (parts and "" not in parts and deep == tops):
        return without_mask_splits({top for top in tops if split_of(top)})
    return set()


def _same_inside(top: str, below: list[Shape]) -> Shape:
    """Folders of the same part inside a split folder, each alone in it."""
    inner = _chain(below, lambda _: True)
    same = [name for name in inner if split_of(name) == split_of(top)]
    return inner[: len(same)] if list(inner[: len(same)]) == same else ()
