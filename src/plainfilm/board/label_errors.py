"""Likely label errors that `interpret` listed, each with its image where the run kept it: among the largest losses of valid."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass

import numpy as np

from plainfilm.base.files import png_uri, read_regular
from plainfilm.base.json_text import parsed_json
from plainfilm.board.run_row import MB, bounded
from plainfilm.errors import DataError
from plainfilm.runs.folder import RunDir
from plainfilm.runs.run_manifest import is_kept, read_verified
from plainfilm.serve.images import png

_SHOWN, _WITH_IMAGES, _LARGEST_PX = 100, 24, 320


@dataclass(frozen=True)
class _LabelError:
    """One image: its path below DATA, its label, the score for it, why it is listed, and the image as a data URI or ''."""

    path: str
    label: str
    score: str
    why: str
    image: str


def read_label_errors(run: RunDir) -> tuple[list[_LabelError], int] | None:
    """The first 100, worst first, and how many there are; None where `interpret` has not listed them.

    Raises:
        DataError: the list, or what the images come from, is damaged or too large.
    """
    if not bounded(run.label_errors, 16 * MB).is_file():
        return None
    try:
        rows = list(csv.DictReader(io.StringIO(read_regular(run.label_errors).decode("utf-8"))))
        listed = [(row["path"], row["label"], row["score"], row["why"]) for row in rows]
        images = _images(run)
    except (OSError, ValueError, LookupError, TypeError, csv.Error):
        raise DataError(f"{run.label_errors} is damaged. Make it again: plainfilm interpret {run.root}") from None
    left = _WITH_IMAGES
    found = []
    for path, label, score, why in listed[:_SHOWN]:
        image = images.get(path) if left else None
        left -= image is not None
        found.append(_LabelError(path, label, score, why, "" if image is None else png_uri(png(_small(image)))))
    return found, len(listed)


def _images(run: RunDir) -> dict[str, np.ndarray]:
    """uint8 images of the largest losses of valid by their path below DATA; none where they were not kept.

    Nor in a recalibrated version: other scores put the images that its parent kept in another order.
    """
    if not is_kept(run, run.card):
        return {}
    if parsed_json(read_verified(run, bounded(run.card, 16 * MB)), run.card).get("recalibration") is not None:
        return {}
    kept, scores = bounded(run.top_images("valid"), 256 * MB), bounded(run.predictions("valid"), 64 * MB)
    if not is_kept(run, kept) or not is_kept(run, scores):
        return {}
    images = _array(read_verified(run, kept))
    scored = _rows(read_verified(run, scores))
    valid = [
        row["relative"] for row in _rows(read_verified(run, bounded(run.table, 256 * MB))) if row["split"] == "valid"
    ]
    if len(valid) != len(scored):
        raise ValueError("other images")
    columns = [name for name in scored[0] if name.startswith("prob_")]
    all_probs = np.array([[float(row[name]) for name in columns] for row in scored])
    place = [columns.index(f"prob_{row['label']}") for row in scored]
    probs = (all_probs / all_probs.sum(axis=1, keepdims=True))[np.arange(len(scored)), place]
    worst = np.argsort(np.log(np.clip(probs, 1e-12, None)), kind="stable")  # the order of Predictions.worst()
    return {valid[i]: image for i, image in zip(worst, images, strict=False)}


def _array(data: bytes) -> np.ndarray:
    """The uint8 images of an .npy file; np.load() would allocate what the header claims before it reads it.

    Raises:
        ValueError: it has no images, or not as many bytes as its header says.
    """
    file = io.BytesIO(data)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("not as np.save writes it")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype != np.uint8 or len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] != 3) or min(shape[1:]) < 1:
        raise ValueError("no images")
    if math.prod(shape) != len(data) - file.tell():
        raise ValueError("not as long as its header says")
    return np.frombuffer(data, np.uint8, offset=file.tell()).reshape(shape, order="F" if fortran else "C")


def _rows(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode("utf-8"))))


def _small(image: np.ndarray) -> np.ndarray:
    step = -(-max(image.shape[:2]) // _LARGEST_PX)
    return image[::step, ::step]
