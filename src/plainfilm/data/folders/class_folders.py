"""The files of a folder with class and given split: from their folders, or from their names by a pattern."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from plainfilm.base.listing import some
from plainfilm.data.folders.equal_names import folded
from plainfilm.data.folders.label_pattern import NO_MATCH, label_reader, propose
from plainfilm.data.folders.layout import Layout, Shape, find_layout
from plainfilm.data.folders.mask_names import IMAGES, says_masks
from plainfilm.data.folders.split_names import splits_among
from plainfilm.data.folders.walk import DataFiles, FoundFiles, hides_images, is_system, set_aside
from plainfilm.errors import DataError

_MOST_NAMED = 4  # folders that a sentence lists


@dataclass(frozen=True)
class _File:
    """One file of the walk; `shape`: its folders below DATA."""

    path: Path
    relative: str
    rule: str
    shape: Shape


def label_by_folder(
    root: Path, files: Iterable[tuple[Path, str]], *, under: str | None = None, pattern: str | None = None
) -> DataFiles:
    """Files with label and given split, and those set aside.

    Args:
        under: read only files below a folder of this name, which then is no class and no split.
        pattern: finds the class in the file name (see label_reader()); None: it is the folder.
    Raises:
        DataError: a class folder is empty, classes are named as splits, or masks lie beside
            images.
    """
    rows = [_row(root, path, rule) for path, rule in files]
    rows = rows if under is None else [_below(row, under) for row in rows]
    images = Counter(row.shape for row in rows if not row.rule)
    disk = _Disk(root, under)
    layout = find_layout(images, disk.is_alone, labelled=pattern is None)
    found, ignored = _labelled(rows, layout, pattern)
    notes = [*layout.notes(images), *_link_note(rows)]
    if found:
        _refuse_odd(layout, found, disk, rows, pattern)
        notes += _pattern_note(found, ignored) if pattern is not None else []
        notes += _under_note(under, rows) if under is not None else []
    return DataFiles(found, ignored, tuple(notes))


def _row(root: Path, path: Path, rule: str) -> _File:
    relative = path.relative_to(root).as_posix()
    return _File(path, relative, rule, PurePosixPath(relative).parts[:-1])


def _below(row: _File, under: str) -> _File:
    """The row without the folder `under` in its shape; set aside where it has none."""
    names = [name.casefold() for name in row.shape]
    if under.casefold() in names:
        i = names.index(under.casefold())
        return _File(row.path, row.relative, row.rule, row.shape[:i] + row.shape[i + 1 :])
    return row if row.rule else _File(row.path, row.relative, f"not below a folder {under}", row.shape)


class _Disk:
    """The folders as they are on the disk; with `under` they are not asked."""

    def __init__(self, root: Path, under: str | None) -> None:
        self.root, self.under = root, under

    def folders(self, shape: Shape) -> list[Path]:
        """The folders in a folder, links to folders too."""
        inside = self.root.joinpath(*shape).iterdir()
        return [path for path in inside if not is_system(path.name) and path.is_dir()]

    def is_alone(self, shape: Shape) -> bool:
        """Whether a folder holds a single folder."""
        return self.under is not None or len(self.folders(shape)) == 1

    def classes(self, layout: Layout) -> list[Path]:
        """The class folders, with images or without."""
        parents = [] if self.under is not None else layout.class_parents()
        return [folder for parent in parents for folder in self.folders(parent)]


def _labelled(rows: list[_File], layout: Layout, pattern: str | None) -> tuple[list[FoundFiles], list[dict[str, str]]]:
    """Every image, and the rows that are set aside."""
    places = {row.shape: layout.place(row.shape) for row in rows if not row.rule}
    label_of = None if pattern is None else label_reader(pattern)
    found, ignored = [], []
    for row in rows:
        place = None if row.rule else places[row.shape]
        rule = row.rule if place is None else place.rule
        label = place.label if place else ""
        if label_of and place and (not layout.splits or place.given):
            label = label_of(row.relative)
            rule = "" if label else NO_MATCH
        if rule or place is None:
            ignored.append(set_aside(row.path, row.relative, "ignored", rule, rule))
        else:
            inner = row.shape[place.depth + 1 :] if label_of is None else _after(label, row.shape)
            found.append(FoundFiles(row.path, row.relative, label, place.given, inner=inner))
    return found, ignored


def _after(label: str, shape: Shape) -> Shape:
    """The folders below the one that a pattern found as the class; () where the class is in the file's name."""
    return shape[shape.index(label) + 1 :] if label in shape else ()


def _link_note(rows: list[_File]) -> list[str]:
    links = sum(row.rule == "link" and hides_images(row.path) for row in rows)
    return [f"Links to {links} images or folders were not followed; --follow-links enters them."] if links else []


def _pattern_note(found: list[FoundFiles], ignored: list[dict[str, str]]) -> list[str]:
    missed = sum(row["code"] == NO_MATCH for row in ignored)
    also = f"; {missed} images have no such name and are not used" if missed else ""
    notes = [f"Classes were read from file names by --label-pattern ({len(found)} images){also}."]
    tops = {file.relative.split("/")[0] for file in found if not file.given and "/" in file.relative}
    return notes + (["Folders named like splits were not taken as splits."] if splits_among(tops) else [])


def _under_note(under: str, rows: list[_File]) -> list[str]:
    left = sum(row.rule == f"not below a folder {under}" for row in rows)
    return [f"Only images below folders of the name given by --under were read; {left} others were not used."]


def _refuse_odd(layout: Layout, found: list[FoundFiles], disk: _Disk, rows: list[_File], pattern: str | None) -> None:
    labels = {file.label for file in found}
    flat = not any(file.inner for file in found)
    names = [PurePosixPath(file.relative).name for file in found if flat]
    if pattern is None:
        _refuse_mask_folders(found)
        _refuse_splits_as_classes(labels, names)
        _refuse_empty(disk.classes(layout), labels)
        _refuse_lost(layout, labels, rows, disk.under)
    _refuse_other_classes(found)


def _refuse_mask_folders(found: list[FoundFiles]) -> None:
    """Refuse masks beside images, as folders of a class or as classes."""
    inside: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for file in found:
        telling = (name for name in reversed(file.inner) if says_masks(name) or name.casefold() in IMAGES)
        inside[file.label][next(telling, "")].append(file.relative)
        inside[""][file.label].append(file.relative)  # the classes themselves
    for label, names in inside.items():
        images = next((name for name in sorted(names) if name.casefold() in IMAGES), "")
        masks = sorted(name for name in names if says_masks(name, alone=not images))
        if masks and len(names) > len(masks) and (label or images):
            _refuse_mask_folder(f"The class folder {label!r}" if label else "DATA", masks[0], names[masks[0]], images)


def _refuse_mask_folder(where: str, name: str, masks: list[str], images: str) -> None:
    todo = (
        f"--under {images} reads only what is below folders of that name; or move the masks away."
        if images
        else "Move the masks away, or move the images to folders 'images', which --under images reads alone."
    )
    raise DataError(
        f"{where} holds a folder {name!r} beside images: {len(masks)} masks would be read as images of a class "
        f"(first: {masks[0]!r}). {todo}"
    )


def _refuse_splits_as_classes(labels: set[str], names: list[str]) -> None:
    """Refuse classes that are named as splits: the network would learn 'train' against 'test'."""
    if named := splits_among(labels):
        raise DataError(
            f"The folders {some([*map(repr, named)], _MOST_NAMED)} are named as splits, but cannot be read as such. Expected "
            f"DATA/train/<class>/*.png, DATA/val/<class>/*.png and DATA/test/<class>/*.png, one folder per split.{propose(names)} "
            "Or write a CSV; if these are classes, rename them."
        )


def _refuse_empty(folders: list[Path], labels: set[str]) -> None:
    empty = sorted({folder.name for folder in folders} - labels)
    if empty:
        link = any(folder.name == empty[0] and folder.is_symlink() for folder in folders)
        hint = "It is a link: --follow-links enters it." if link else "Add its images, or remove the folder."
        raise DataError(
            f"The class folder {empty[0]!r} holds no image, {len(labels)} other "
            f"{'classes do' if len(labels) != 1 else 'class does'}. {hint}"
        )


def _refuse_lost(layout: Layout, labels: set[str], rows: list[_File], under: str | None) -> None:
    """Refuse a class that has images, but none below a folder `under`."""
    beside = {PurePosixPath(row.relative).parts[: _depth(row, under)] for row in rows if under and not row.rule}
    for row in rows:
        if under is not None and row.rule == f"not below a folder {under}":
            place = layout.place(row.shape)
            if place.label and place.label not in labels and row.shape[: place.depth] not in beside:
                raise DataError(
                    f"The class folder {place.label!r} has images, but none below a folder {under!r} (--under). "
                    "Rename its folders as those of the other classes, or remove it."
                )


def _depth(row: _File, under: str | None) -> int:
    """Where the folder `under` is in a row's path."""
    return [name.casefold() for name in PurePosixPath(row.relative).parts].index((under or "").casefold())


def _refuse_other_classes(found: list[FoundFiles]) -> None:
    """Refuse a given folder none of whose classes is one of train; spellings of one class are left to check_labels()."""
    classes: dict[str, dict[str, str]] = defaultdict(dict)
    for file in found:
        classes[file.given].setdefault(folded(file.label), file.label)
    train = classes["train"]
    for given in ("valid", "test"):
        if train and classes[given] and train.keys().isdisjoint(classes[given]):
            raise DataError(
                f"The class folders of {given} ({', '.join(sorted(classes[given].values())[:3])}) are none of train's "
                f"({', '.join(sorted(train.values())[:3])}). Rename them; images without a class can lie in {given} itself."
            )
