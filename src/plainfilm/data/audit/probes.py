"""Shortcut probes: do features without fine detail predict the class?

A probe is a few numbers per image (file facts, brightness and sharpness, the border, or an 8 x 8 thumbnail) and one
fixed classifier. Where it ranks the classes well, a network can score well by the same shortcut.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd

from plainfilm.data.split.allocate import allocate
from plainfilm.errors import DataError

PROBES: tuple[str, ...] = ("file facts", "picture statistics", "border ring", "thumbnail 8x8")

_CHUNK_VALUES = 2_000_000  # pixels held as float32 at once: 8 MB
_MIN_SIZE_PX = 16  # below it the border and the middle are the same few pixels
PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
_RING_SHARE = 0.08  # of the image's height and width, on each side
_RING_CELLS = (12, 10)  # along the top and bottom, corners included; along the left and right between them
_THUMBNAIL_CELLS = 8

_FOLDS_SEED = 0x5C07
_TREES = 60  # 100 add 0.001 to the AUROC on 5,216 images, and 60 % to the time


class Pixels(Protocol):
    """uint8 (n, h, w) or (n, h, w, 3), in memory or on disk; read in slices only."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, which: Any, /) -> Any: ...


# --- features --------------------------------------------------------------------------------------------------------


def file_features(rows: pd.DataFrame) -> np.ndarray:
    """File facts, without any pixel, float (n, 6).

    Bytes per pixel, width and height in pixels, width / height, stored channels, sum of the JPEG quantisation tables
    (0 for other formats).

    Args:
        rows: columns bytes, width, height, channels, quantisation, all numbers.
    """
    of_file, width, height = (rows[name].to_numpy(np.float64) for name in ("bytes", "width", "height"))
    stored = [rows[name].to_numpy(np.float64) for name in ("channels", "quantisation")]
    return np.column_stack([of_file / (width * height), width, height, width / height, *stored])


def image_statistics(pixels: Pixels) -> dict[str, np.ndarray]:
    """Features of the three image probes by name, each float32 (n, d).

    `picture statistics`: see `_statistics` (d = 16). `border ring`: mean brightness 0..255 of 44 cells of the outer 8 %
    on each side. `thumbnail 8x8`: mean brightness of 8 x 8 fields. d does not depend on the image size.

    Args:
        pixels: uint8 (n, h, w) or (n, h, w, 3), at least _MIN_SIZE_PX high and wide; read in chunks.
    Raises:
        DataError: another shape or dtype.
    """
    extractors = {"picture statistics": _statistics, "border ring": _ring, "thumbnail 8x8": _thumbnail}
    found: dict[str, list[np.ndarray]] = {name: [] for name in extractors}
    for chunk in _chunks(pixels):
        colour = chunk.ndim == 4
        grey = chunk.mean(axis=3, dtype=np.float32) if colour else chunk.astype(np.float32)
        for name, extract in extractors.items():
            found[name].append(extract(grey))
        gap = np.ptp(chunk, axis=3).mean(axis=(1, 2)) if colour else np.zeros(len(chunk))
        found["picture statistics"][-1] = np.column_stack([found["picture statistics"][-1], gap])
    return {name: np.concatenate(parts).astype(np.float32) for name, parts in found.items()}


def _chunks(pixels: Pixels) -> Iterator[np.ndarray]:
    """Consecutive images, uint8; without images one empty chunk, so that features get their shape."""
    n, *shape = pixels.shape
    if len(shape) not in (2, 3) or min(shape[:2]) < _MIN_SIZE_PX or shape[2:] not in ([], [3]):
        raise DataError(
            f"The images have shape {tuple(shape)}, expected (h, w) or (h, w, 3) from {_MIN_SIZE_PX} px. Decode them larger."
        )
    step = max(1, _CHUNK_VALUES // int(np.prod(shape)))
    for start in range(0, max(n, 1), step):
        chunk = np.asarray(pixels[start : start + step])
        if chunk.dtype != np.uint8:
            raise DataError(f"The images are {chunk.dtype}, expected uint8 0..255. Take them from decode().")
        yield chunk


def _statistics(grey: np.ndarray) -> np.ndarray:
    """Brightness, contrast and sharpness without position, float (n, 15), of float32 (n, h, w) 0..255.

    Mean, standard deviation, seven percentiles, mean absolute Laplacian at full and at half scale, share of black rows
    and of black columns at the border, share of 0 and of 255.
    """
    values = np.arange(256.0)
    levels = np.rint(grey).astype(np.uint8)
    counts = np.array([np.bincount(image.ravel(), minlength=256) for image in levels]).reshape(-1, 256)
    shares = counts / (grey.shape[1] * grey.shape[2])
    mean = shares @ values
    contrast = np.sqrt(np.maximum(shares @ values**2 - mean**2, 0))
    reached = counts.cumsum(axis=1)
    percentiles = [(reached >= q / 100 * reached[:, -1:]).argmax(axis=1) for q in PERCENTILES]
    black = [_black_border((levels == 0).all(axis=axis)) for axis in (2, 1)]
    sharp = [_sharpness(grey), _sharpness(_halved(grey))]
    return np.column_stack([mean, contrast, *percentiles, *sharp, *black, shares[:, 0], shares[:, 255]])


def _black_border(lines: np.ndarray) -> np.ndarray:
    """Share of lines that are black from either edge inwards, float (n,), of bool (n, lines)."""
    edges = [np.logical_and.accumulate(side, axis=1).sum(axis=1) for side in (lines, lines[:, ::-1])]
    return np.asarray(np.minimum(edges[0] + edges[1], lines.shape[1]) / lines.shape[1])


def _sharpness(grey: np.ndarray) -> np.ndarray:
    """Mean absolute Laplacian (four neighbours) of the inner pixels, float (n,)."""
    inner = 4 * grey[:, 1:-1, 1:-1]
    inner -= grey[:, :-2, 1:-1]
    inner -= grey[:, 2:, 1:-1]
    inner -= grey[:, 1:-1, :-2]
    inner -= grey[:, 1:-1, 2:]
    return np.asarray(np.abs(inner, out=inner).mean(axis=(1, 2)))


def _halved(grey: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels; an odd last line is left out."""
    height, width = grey.shape[1] // 2, grey.shape[2] // 2
    fields = grey[:, : 2 * height, : 2 * width].reshape(len(grey), height, 2, width, 2)
    return np.asarray(fields.mean(axis=(2, 4)))


def _ring(grey: np.ndarray) -> np.ndarray:
    """Mean brightness of the cells around the border, float (n, 44): top, bottom, left, right."""
    height, width = grey.shape[1:]
    y, x = (int(np.ceil(_RING_SHARE * length)) for length in (height, width))
    along, down = _RING_CELLS
    sides = [
        (grey[:, :y], 1, along),
        (grey[:, -y:], 1, along),
        (grey[:, y:-y, :x], down, 1),
        (grey[:, y:-y, -x:], down, 1),
    ]
    return np.concatenate([_cells(side, rows, columns) for side, rows, columns in sides], axis=1)


def _thumbnail(grey: np.ndarray) -> np.ndarray:
    """Mean brightness of 8 x 8 fields, float (n, 64), row by row."""
    return _cells(grey, _THUMBNAIL_CELLS, _THUMBNAIL_CELLS)


def _cells(grey: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Means over a raster, float (n, rows * columns); where it does not divide the size, cells overlap by a pixel."""
    across = [(i * grey.shape[2] // columns, -(-(i + 1) * grey.shape[2] // columns)) for i in range(columns)]
    down = [(i * grey.shape[1] // rows, -(-(i + 1) * grey.shape[1] // rows)) for i in range(rows)]
    cells = [grey[:, top:bottom, left:right].mean(axis=(1, 2)) for top, bottom in down for left, right in across]
    return np.stack(cells, axis=1)


# --- classifier ------------------------------------------------------------------------------------------------------


def cross_validated(
    features: np.ndarray, labels: np.ndarray, groups: np.ndarray, *, seed: int = 0, folds: int = 5,
    names: Sequence[str] = (),
) -> np.ndarray:  # fmt: skip
    """Out-of-fold probabilities, float (n, k): the classifier was fitted without the image and its group.

    Every class is in every fold; a class with fewer groups than `folds` lowers the number of folds. Row order and group
    names do not matter. The classes have equal weight in every fold, so that the scores of a fold are not biased
    against its majority: on pure noise the AUROC over all folds is 0.49 to 0.50 (0.48 at 45 images).

    Args:
        features: float (n, d).
        labels: int (n,), 0..k-1, all of them present.
        groups: (n,), rows of a patient or of identical files share a value.
        seed: of the assignment to folds.
        names: of the classes, for messages; none: their numbers.
    Raises:
        DataError: a value is missing, lengths differ, or a class has fewer than two groups.
    """
    features, labels, groups = _checked(features, labels, groups, names)
    order, codes = _canonical(features, labels, groups)
    features, labels = features[order], labels[order]
    part = _divided(codes, labels, np.random.default_rng([seed, _FOLDS_SEED, _entropy(features, labels)]), folds)
    probs = np.empty((len(labels), labels.max() + 1))
    for fold in range(part.max() + 1):
        held = part == fold
        probs[held] = _learned(features[~held], labels[~held], features[held])
    found = np.empty_like(probs)
    found[order] = probs
    return found


def fit_and_score(
    features_train: np.ndarray, labels_train: np.ndarray, groups_train: np.ndarray, features_other: np.ndarray
) -> np.ndarray:
    """Probabilities of other images from a classifier fitted on train images, float (m, k).

    Args:
        features_train, labels_train, groups_train: as for `cross_validated`.
        features_other: float (m, d).
    Raises:
        DataError: as `cross_validated`.
    """
    features, labels, groups = _checked(features_train, labels_train, groups_train)
    other = _finite(features_other, features.shape[1])
    order, _ = _canonical(features, labels, groups)
    return _learned(features[order], labels[order], other)


def _learned(features: np.ndarray, labels: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Mean of a logistic regression and of extremely randomised trees, float (m, k).

    The first finds monotonic effects, the second ranges and interactions. Over four probes and 45 to 5,216 images each
    fell 0.04 to 0.09 short of the other somewhere, but their mean never more than 0.025 short of the better of the two;
    boosted trees took four times as long and were 0.1 worse at 45 images.
    Source: Geurts, Ernst & Wehenkel, Machine Learning 2006;63:3 (the trees).
    """
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    k = labels.max() + 1
    varies = np.ptp(features, axis=0) > 0
    if not varies.any() or not len(other):
        return np.full((len(other), k), 1 / k)
    features, other = features[:, varies], other[:, varies]
    centre, spread = features.mean(axis=0), features.std(axis=0)
    leaf = int(np.clip(len(labels) // 40, 2, 5))
    line = LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000)
    trees = ExtraTreesClassifier(
        _TREES, min_samples_leaf=leaf, max_features=0.5, class_weight="balanced", random_state=0
    )
    with threadpool_limits(1):  # on a busy machine thread contention made it 50 times slower
        found = line.fit((features - centre) / spread, labels).predict_proba((other - centre) / spread)
        found += trees.fit(features, labels).predict_proba(other)
    return np.asarray(found / 2)


def _entropy(features: np.ndarray, labels: np.ndarray) -> int:
    """A number that depends on the order of the labels along the features, and on nothing smaller.

    Rows are sorted by their features, so that folds drawn from the seed alone would be the same pattern of ranks in every
    set: each fold then repeats the chance of the whole, or its opposite, and one feature of noise has a mean AUROC of 0.55 or 0.46.
    """
    return zlib.crc32(labels[np.lexsort((labels, *features.T[::-1]))].astype("<i8").tobytes())


def _divided(codes: np.ndarray, labels: np.ndarray, rng: np.random.Generator, folds: int) -> np.ndarray:
    """Fold of each row, int (n,)."""
    most = min(folds, *(len(np.unique(codes[labels == label])) for label in range(labels.max() + 1)))
    for count in range(most, 2, -1):
        try:
            return allocate(codes, labels, np.full(count, 1 / count), rng)
        except DataError:  # patients with several classes can leave a fold without one of them
            continue
    return allocate(codes, labels, np.full(2, 0.5), rng)


def _canonical(features: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row order (n,) by group content, and group numbers (n,) in that order.

    Groups with the same content are exchangeable: neither the order of files nor patient names affect the folds, and
    floating-point sums are the same.
    """
    content = np.unique(np.column_stack([labels, features]), axis=0, return_inverse=True)[1].reshape(-1)
    codes = np.unique(groups, return_inverse=True)[1].reshape(-1)
    order = np.lexsort((content, codes))
    members = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
    members.sort(key=lambda rows: content[rows].tolist())
    return np.concatenate(members), np.repeat(np.arange(len(members)), [len(rows) for rows in members])


def _checked(
    features: np.ndarray, labels: np.ndarray, groups: np.ndarray, names: Sequence[str] = ()
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features as float64 (n, d), labels as int64 (n,) and groups (n,), validated."""
    features = _finite(features, None)
    labels, groups = np.asarray(labels), np.asarray(groups)
    if not len(labels) == len(groups) == len(features):
        raise DataError(
            f"{len(features)} rows of features, {len(labels)} labels and {len(groups)} groups; give as many of each."
        )
    if not len(labels) or labels.ndim != 1 or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise DataError(f"A probe needs images with labels 0..k-1; found {len(labels)} labels ({labels.dtype}).")
    for label in range(max(2, int(labels.max()) + 1)):
        patients = len(np.unique(groups[labels == label]))
        if patients < 2:
            raise DataError(
                f"Class {repr(names[label]) if names else label} has {patients} {'patient' if patients == 1 else 'patients'}; a probe needs at least 2 in each class."
            )
    return features, labels.astype(np.int64), groups


def _finite(features: np.ndarray, width: int | None) -> np.ndarray:
    """The features as float64 (n, d), d = `width` where it is given."""
    features = np.asarray(features, dtype=np.float64)
    if features.ndim != 2 or width not in (None, features.shape[1]):
        raise DataError(f"Features have shape {features.shape}, expected (images, {width or 'features'}).")
    bad = ~np.isfinite(features).all(axis=1)
    if bad.any():
        raise DataError(f"{bad.sum()} rows of features hold NaN or infinity (first: row {bad.argmax()}).")
    return features
