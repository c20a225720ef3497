"""The phantom set: default data that needs no download and whose freedom from shortcuts can be measured."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from plainfilm.data.synthetic.film import Film, draw_phantom
from plainfilm.errors import DataError, OccupiedError, UsageError

_T = TypeVar("_T")
CLASSES = ("NORMAL", "PNEUMONIA")
_PLAN = 1002  # last word of the plan's seed, different from every film's


def _plan(images: int, seed: int) -> list[tuple[int, int, bool]]:
    """Number, count of images and disease of each patient, in order of number.

    Each class gets half of the images (NORMAL the odd one), and the numbers are shuffled over both.
    """
    rng = np.random.default_rng([seed, images, _PLAN])
    patients = []
    for opacity, left in ((False, images - images // 2), (True, images // 2)):
        while left:
            count = min(left, int(rng.integers(1, 5)))
            patients.append((count, opacity))
            left -= count
    return [(number, *patients[i]) for number, i in enumerate(rng.permutation(len(patients)), start=1)]


def films_of(images: int, seed: int) -> list[tuple[int, int, bool]]:
    """Patient, number (1..4) and disease of each film of a set, in order of patient number."""
    return [(patient, k, opacity) for patient, count, opacity in _plan(images, seed) for k in range(1, count + 1)]


def write_phantom(
    out: Path,
    *,
    images: int = 600,
    size_px: int = 256,
    seed: int = 0,
    jobs: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> dict[str, int]:
    """Draw a set into `out`/{NORMAL,PNEUMONIA}/phantom-<patient>-<k>.png; returns images per class.

    Args:
        out: a folder that does not exist or is empty; it is filled in one step when all films are drawn.
        images, size_px: 12..100000, half of them in each class; height and width, 32..1024.
        seed: 0 or more; the same arguments give the same bytes.
        jobs: threads, one per core by default; the films do not depend on it.
        progress: receives the number of films drawn so far.
    Raises:
        DataError: `images` out of range. UsageError: another number is. OccupiedError: `out` is not empty.
    """
    out = Path(out).absolute()
    check_request(out, images, size_px, seed, jobs)

    def draw(folder: Path, film: tuple[int, int, bool]) -> None:
        patient, k, opacity = film
        pixels = draw_phantom(size_px, seed=seed, patient=patient, k=k, opacity=opacity)
        save_png(pixels, folder / CLASSES[opacity] / f"phantom-{patient:05d}-{k}.png")

    fill(out, films_of(images, seed), draw, jobs=jobs, progress=progress)
    return {"NORMAL": images - images // 2, "PNEUMONIA": images // 2}


def save_png(pixels: Film, path: Path) -> None:
    """Write an uncompressed PNG: a film with more texture would compress to a larger file, and file size would reveal
    the class."""
    Image.fromarray(pixels).save(path, compress_level=0)


def fill(
    out: Path,
    films: Sequence[_T],
    write: Callable[[Path, _T], None],
    *,
    folders: Sequence[str] = CLASSES,
    jobs: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Call `write(folder, film)` for each film, in threads; the folder is renamed to `out` when all are written.

    Args:
        out: an absolute path. folders: subfolders to create first. jobs, progress: see `write_phantom`.
    """
    partial = out.with_name(f".{out.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)  # of a killed process that had our number
    try:
        for name in folders:
            (partial / name).mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(jobs or os.cpu_count()) as pool:
            for done, _ in enumerate(pool.map(lambda film: write(partial, film), films), start=1):
                if progress:
                    progress(done)
        _put_in_place(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _put_in_place(partial: Path, out: Path) -> None:
    """Rename the finished folder; Windows cannot rename onto an existing folder, not even an empty one."""
    try:
        if out.exists():
            out.rmdir()
        os.replace(partial, out)
    except OSError:
        if out.is_dir() and any(out.iterdir()):
            raise OccupiedError(f"{out} was filled by another process meanwhile. Name a new folder.") from None
        raise


def check_request(out: Path, images: int, size_px: int, seed: int, jobs: int | None) -> None:
    """Raises what `write_phantom` says, before anything is drawn."""
    limits = (  # fewer images leave a split without a class, more need patient numbers of six digits
        (DataError, "images", images, 12, 100_000),
        (UsageError, "size_px", size_px, 32, 1024),
        (UsageError, "seed", seed, 0, 2**63 - 1),
        (UsageError, "jobs", 1 if jobs is None else jobs, 1, 256),
    )
    for error, name, value, low, high in limits:
        if not low <= value <= high:
            raise error(f"{name} is {value}; it must be {low} to {high}. Choose a number in this range.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OccupiedError(f"{out} exists and is not an empty folder. Name a new folder, or remove this one first.")
