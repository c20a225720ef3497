"""A drawn set with known faults, for measuring detectors: shortcuts, copies, wrong labels, shared patients.

Nothing in the folder reveals what was planted; the caller gets it as a list of paths. No image of a set is copied twice,
so that each fault is found or missed independently.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar, cast

import numpy as np
from PIL import Image

from plainfilm.data.synthetic.drawn_files import COPY_QUALITY, JPEG_QUALITY
from plainfilm.data.synthetic.film import Film, draw_phantom
from plainfilm.data.synthetic.phantom import CLASSES, check_request, fill, films_of, save_png
from plainfilm.errors import UsageError
from plainfilm.schemas.data import Planted

_T = TypeVar("_T")
_SHORTCUTS = ("none", "jpeg", "marker")
_MARKED_SHARE = {"NORMAL": 0.1, "PNEUMONIA": 0.9}  # of the drawn films; copies keep what their source has
_TEST_SHARE = 0.2
_HIGHEST_PATIENT = 99_999  # a sixth digit would reveal the copies by the length of their names

# Last words of the seeds, different from phantom._PLAN and from every film's.
MARKS, SOURCES, NUMBERS, CHANGES, SHARED, SIDES, PLACE = range(1003, 1010)

# The side marker: R, for the patient's right, on a raster of 7 rows and 5 columns; y, x, height, width of its strokes.
_LETTER_R = ((0, 0, 7, 1), (0, 0, 1, 4), (3, 0, 1, 4), (1, 4, 2, 1), (4, 2, 1, 1), (5, 3, 1, 1), (6, 4, 1, 1))
_MARKER_WHITE = 245


@dataclass(frozen=True)
class Faults:
    """What to plant: numbers of images (`shared_patients`: of patients), and whether there are train and test folders."""

    shortcut: str = "none"
    duplicates: int = 0
    near_duplicates: int = 0
    label_conflicts: int = 0
    shared_patients: int = 0
    given_folders: bool = False

    @property
    def copies(self) -> int:
        """How many files are added to the drawn films."""
        return self.duplicates + self.near_duplicates + self.label_conflicts

    @property
    def folders(self) -> tuple[str, ...]:
        """Parents of the class folders: train and test, or none."""
        return ("train/", "test/") if self.given_folders or self.shared_patients else ("",)


@dataclass(frozen=True)
class _DrawnImage:
    """One file of the set: the film it shows, the changes to its pixels, and its folder and name."""

    film: tuple[int, int, bool]  # patient, number and disease, as drawn
    patient: int  # of the file's name, as are `k` and `label`
    k: int
    label: str
    folder: str = ""
    marked: bool = False
    quality: int | None = None  # of a JPEG; None: a PNG
    scale: float = 1.0
    contrast: float = 1.0
    brightness: float = 0.0  # grey values, 0..255

    @property
    def path(self) -> str:
        """Below the set's folder, with '/'."""
        suffix = "png" if self.quality is None else "jpg"
        return f"{self.folder}{self.label}/phantom-{self.patient:05d}-{self.k}.{suffix}"


def write_planted(
    out: Path,
    faults: Faults,
    *,
    images: int = 600,
    size_px: int = 256,
    seed: int = 0,
    jobs: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Planted:
    """Draw a set with faults into `out`, [train|test/]CLASS/phantom-<patient>-<k>.{png,jpg}; returns what was planted.

    The arguments are those of `write_phantom`; without faults the files are the same too. Copies are added to `images`.

    Raises:
        UsageError: an unknown fault, or more faults than the films allow; else as `write_phantom`.
    """
    out = Path(out).absolute()
    check_request(out, images, size_px, seed, jobs)
    files, planted = _lay_out(faults, images, seed)

    def write(folder: Path, image: _DrawnImage) -> None:
        _save(_render(image, size_px, seed), folder / image.path, image.quality)

    folders = [folder + label for folder in faults.folders for label in CLASSES]
    fill(out, files, write, folders=folders, jobs=jobs, progress=progress)
    return planted


def _lay_out(faults: Faults, images: int, seed: int) -> tuple[list[_DrawnImage], Planted]:
    """Every file of the set, the drawn films first, and what is planted in them.

    Raises:
        UsageError: see `write_planted`.
    """
    _check_kinds(faults)
    chance = partial(_chance, seed, images)
    films = _with_shortcut(faults.shortcut, _plain_images(images, seed), chance(MARKS))
    shared = _choose_shared(faults.shared_patients, films, chance(SHARED))
    sources = _choose_sources(faults, films, shared, chance(SOURCES))
    files = films + _make_copies(faults, [films[i] for i in sources], len(_patients_of(films)), chance)
    if len(faults.folders) > 1:
        folders = _choose_folders(files, shared, chance(SIDES))
        files = [replace(image, folder=folder) for image, folder in zip(files, folders, strict=True)]
    return files, _planted_document(faults, files, sources, shared)


def _chance(seed: int, images: int, purpose: int) -> np.random.Generator:
    return np.random.default_rng([seed, images, purpose])


def _check_kinds(faults: Faults) -> None:
    """Refuse an unknown shortcut and counts below 0.

    Raises:
        UsageError: there is one.
    """
    if faults.shortcut not in _SHORTCUTS:
        raise UsageError(f"shortcut is {faults.shortcut!r}; it must be one of {', '.join(_SHORTCUTS)}. Choose one.")
    for field in fields(faults):
        value = getattr(faults, field.name)
        if isinstance(value, int) and value < 0:
            raise UsageError(f"{field.name} is {value}; it must be 0 or more. Choose how many to plant.")


def _plain_images(images: int, seed: int) -> list[_DrawnImage]:
    """The set as `write_phantom` writes it."""
    return [_DrawnImage(film, film[0], film[1], CLASSES[film[2]]) for film in films_of(images, seed)]


def _with_shortcut(kind: str, films: list[_DrawnImage], rng: np.random.Generator) -> list[_DrawnImage]:
    """The films with a shortcut, JPEG quality or a corner marker, that reveals the class."""
    if kind == "jpeg":
        return [replace(film, quality=JPEG_QUALITY[film.label]) for film in films]
    if kind == "marker":
        chosen: set[int] = set()
        for label, share in _MARKED_SHARE.items():
            own = [i for i, film in enumerate(films) if film.label == label]
            chosen.update(rng.permutation(own)[: round(share * len(own))].tolist())
        return [replace(film, marked=i in chosen) for i, film in enumerate(films)]
    return films


def _patients_of(files: Sequence[_DrawnImage], label: str | None = None) -> Counter[int]:
    """Images per patient number, of one class or of all."""
    return Counter(image.patient for image in files if label in (None, image.label))


def _in_turn(classes: Iterable[Sequence[_T]], rng: np.random.Generator) -> list[_T]:
    """Each class shuffled, then interleaved until one runs out: any stretch holds equally many of each."""
    shuffled = [[items[i] for i in rng.permutation(len(items))] for items in classes]
    return [item for together in zip(*shuffled, strict=False) for item in together]


def _choose_shared(count: int, films: Sequence[_DrawnImage], rng: np.random.Generator) -> frozenset[int]:
    """Patients to be in both train and test, alternating between the classes; each has at least two films.

    Raises:
        UsageError: there are too few.
    """
    able = ([number for number, n in _patients_of(films, label).items() if n > 1] for label in CLASSES)
    pool = _in_turn(able, rng)
    if count > len(pool):
        raise UsageError(
            f"shared_patients is {count}; it must be 0 to {len(pool)}: a shared patient has two films or more, and "
            "the classes contribute equally. Choose fewer, or draw more images."
        )
    return frozenset(pool[:count])


def _choose_sources(
    faults: Faults, films: Sequence[_DrawnImage], shared: frozenset[int], rng: np.random.Generator
) -> list[int]:
    """Which films are copied: for the duplicates, then the near-duplicates, then the conflicts; none twice.

    Raises:
        UsageError: there are fewer films than copies.
    """
    own = ([i for i, film in enumerate(films) if film.label == c and film.patient not in shared] for c in CLASSES)
    pool = _in_turn(own, rng)[: _HIGHEST_PATIENT - len(_patients_of(films))]
    if faults.copies > len(pool):
        raise UsageError(
            f"duplicates + near_duplicates + label_conflicts is {faults.copies}; it must be 0 to {len(pool)}: each "
            "copies another film, of no shared patient, and the classes contribute equally. Choose fewer, or draw more images."
        )
    return pool[: faults.copies]


def _make_copies(
    faults: Faults, sources: Sequence[_DrawnImage], last_patient: int, chance: Callable[[int], np.random.Generator]
) -> list[_DrawnImage]:
    """One more image per source, each with a new patient; in the order of `_choose_sources`."""
    # Shuffled like the drawn patients' numbers: in order, all odd numbers would be of one class.
    numbers = last_patient + 1 + chance(NUMBERS).permutation(faults.copies)
    copies = [replace(source, patient=int(n), k=1) for source, n in zip(sources, numbers, strict=True)]
    first, end, rng = faults.duplicates, faults.duplicates + faults.near_duplicates, chance(CHANGES)
    near = [_changed(copy, i, rng) for i, copy in enumerate(copies[first:end])]
    conflicts = [replace(copy, label=CLASSES[1 - CLASSES.index(copy.label)]) for copy in copies[end:]]
    return copies[:first] + near + conflicts


def _changed(copy: _DrawnImage, i: int, rng: np.random.Generator) -> _DrawnImage:
    """The copy as a careless export would make it: in turn resized, with other contrast and brightness, or as JPEG.

    In an all-JPEG set no copy is only encoded again: there the quality reveals the class.
    """
    kinds = ("resized", "exposure", "jpeg") if copy.quality is None else ("resized", "exposure")
    kind = kinds[i // 2 % len(kinds)]  # in pairs: the classes alternate, and each kind covers both
    if kind == "resized":
        return replace(copy, scale=rng.uniform(0.8, 0.95))
    if kind == "exposure":  # bounded away from no change, which would be a duplicate
        contrast, brightness = rng.uniform((0.03, 4.0), (0.10, 12.0)) * rng.choice((-1, 1), 2)
        return replace(copy, contrast=float(1.0 + contrast), brightness=float(brightness))
    return replace(copy, quality=int(rng.integers(COPY_QUALITY.start, COPY_QUALITY.stop)))


def _change_in_words(copy: _DrawnImage) -> str:
    """How a near-duplicate differs from its source."""
    if copy.scale != 1.0:
        return f"resized {copy.scale:.2f}"
    if copy.contrast != 1.0:
        return f"exposure {copy.contrast:.2f} {copy.brightness:+.0f}"
    return f"jpeg {copy.quality}"


def _choose_folders(files: Sequence[_DrawnImage], shared: frozenset[int], rng: np.random.Generator) -> list[str]:
    """train/ or test/ for each file: about a fifth of each class in test, whole patients except the shared ones.

    A shared patient's last film is in test, the others in train. A copy counts as a patient of its own, so it may be in
    the same folder as its source or in the other one.
    """
    last = {image.patient: image.k for image in files}
    tested: set[int] = set()
    for label in CLASSES:
        count = _patients_of(files, label)
        missing = round(_TEST_SHARE * count.total()) - len(count.keys() & shared)
        for number in rng.permutation(sorted(count.keys() - shared)).tolist():
            if missing <= 0:
                break
            tested.add(number)
            missing -= count[number]
    return [
        "test/" if p.patient in tested or (p.patient in shared and p.k == last[p.patient]) else "train/" for p in files
    ]


def _planted_document(
    faults: Faults, files: Sequence[_DrawnImage], sources: Sequence[int], shared: frozenset[int]
) -> Planted:
    """What was planted, as a document."""
    copies = files[-len(sources) :] if sources else []
    pairs = [(files[i].path, copy.path) for i, copy in zip(sources, copies, strict=True)]
    first, end = faults.duplicates, faults.duplicates + faults.near_duplicates
    return Planted(
        shortcut=cast(Literal["none", "jpeg", "marker"], faults.shortcut),
        marked=[image.path for image in files if image.marked],
        duplicates=pairs[:first],
        near_duplicates=pairs[first:end],
        near_duplicate_changes=[_change_in_words(copy) for copy in copies[first:end]],
        label_conflicts=pairs[end:],
        shared_patients=[f"{number:05d}" for number in sorted(shared)],
    )


def _render(image: _DrawnImage, size_px: int, seed: int) -> Film:
    """The pixels of a file, uint8 (h, w)."""
    patient, k, opacity = image.film
    pixels = draw_phantom(size_px, seed=seed, patient=patient, k=k, opacity=opacity)
    if image.marked:
        pixels = _burn_in_marker(pixels, np.random.default_rng([seed, patient, k, PLACE]))
    if (image.contrast, image.brightness) != (1.0, 0.0):
        grey = (pixels - 127.5) * image.contrast + 127.5 + image.brightness
        pixels = (np.clip(grey, 0.0, 255.0) + 0.5).astype(np.uint8)
    if image.scale != 1.0:
        side = round(image.scale * size_px)
        pixels = np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.LANCZOS))
    return pixels


def _burn_in_marker(pixels: Film, rng: np.random.Generator) -> Film:
    """The film with a white R near its upper left corner, about 8 % of its height from 84 px on; 7 px at least."""
    stroke = max(1, round(len(pixels) / 84))
    top, left = (int(at) for at in rng.uniform(0.04, 0.09, 2) * len(pixels))
    marked = pixels.copy()
    for y, x, height, width in _LETTER_R:
        rows, columns = (slice(at * stroke, (at + n) * stroke) for at, n in ((y, height), (x, width)))
        marked[top:, left:][rows, columns] = _MARKER_WHITE
    return marked


def _save(pixels: Film, path: Path, quality: int | None) -> None:
    """Write a JPEG of this quality, or a PNG."""
    if quality is None:
        save_png(pixels, path)
    else:
        Image.fromarray(pixels).save(path, quality=quality)
