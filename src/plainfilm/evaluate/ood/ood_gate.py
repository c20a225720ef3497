"""The out-of-distribution (OOD) gate: does an image resemble the train images, or is its score meaningless?

A classifier scores a photo of a cat, too. The gate computes four views of each image (layout, grey levels,
sharpness, and the network's features before the last layer; older gates have no sharpness), measures its distance from the train images in each, and marks it as out of
distribution when the largest of them is above that of nearly all `calibrate` images.

It marks images and never changes a score. numpy only: `predict` runs it without torch, on pixels and features.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from plainfilm.base.files import read_regular
from plainfilm.errors import DataError
from plainfilm.evaluate.ood.image_features import IMAGE_VIEWS, SHARPNESS, image_features
from plainfilm.evaluate.stats.intervals import Bools, Floats
from plainfilm.runs.card import Card
from plainfilm.runs.folder import RunDir

# Share of calibrate that is marked; the aim is at most 0.05 of other patients. Over 25 divisions of the Kermany valid
# set (two networks, 520 images in each half) 0.018 of the other half were marked on average and 0.039 at most; with
# 0.03 here 2 of 25 divisions were above 0.05.
_FALSE_REJECTS = 0.02
_MIN_IMAGES = 49  # in calibrate: with fewer none is above the limit
NO_GATE = f"NO OOD GATE: fewer than {_MIN_IMAGES} valid images to set its limit."
_AXES = 64  # directions kept of each view
FEATURES = "features"
_FIELDS = ("mean", "scale", "axes", "spread", "rest", "usual")  # of an Envelope, on disk


@dataclass(frozen=True)
class _Envelope:
    """Distribution of the train images in one view: a Gaussian with `k` principal directions and one common variance
    for the rest (probabilistic PCA).

    `mean`, `scale`: float32 (d,); `axes`: (k, d), orthonormal; `spread`: (k,), variances along them; `rest`: (1,),
    variance in each other direction; `usual`: (2,), median of the log distance on calibrate, and the distance of its
    84th percentile above it.
    """

    mean: np.ndarray
    scale: np.ndarray
    axes: np.ndarray
    spread: np.ndarray
    rest: np.ndarray
    usual: np.ndarray

    def log_distance(self, x: Floats) -> Floats:
        """Log of the squared Mahalanobis distance of rows (n, d), float (n,).

        Source: Tipping & Bishop, J R Stat Soc B 1999;61:611; as a gate for chest radiographs: Wollek et al. 2024.
        """
        z = (np.asarray(x, dtype=np.float64) - self.mean) / self.scale
        along = z @ self.axes.T.astype(np.float64)
        residual = np.maximum((z**2).sum(axis=1) - (along**2).sum(axis=1), 0) / self.rest[0]
        return np.asarray(np.log((along**2 / self.spread).sum(axis=1) + residual + 1e-12))

    def ood_score(self, x: Floats) -> Floats:
        """Log distance standardised so that calibrate has about the upper half of a standard normal."""
        return np.asarray((self.log_distance(x) - self.usual[0]) / self.usual[1])


@dataclass(frozen=True)
class OODGate:
    """An envelope for each view, and the OOD score above which an image is marked."""

    envelopes: Mapping[str, _Envelope]
    limit: float

    def score(self, pixels: Any, features: Floats) -> tuple[Floats, list[str]]:
        """OOD score of each image, float (n,), for is_marked(); and the name of the view with the largest score.

        Args:
            pixels: uint8 (n, h, w) or (n, h, w, 3), as decode() gives them.
            features: float (n, d), input of the network's last layer.
        """
        if not len(pixels):
            return np.empty(0), []
        views = {**image_features(pixels, self.envelopes), FEATURES: features}
        each = np.column_stack([envelope.ood_score(views[name]) for name, envelope in self.envelopes.items()])
        names = list(self.envelopes)
        return each.max(axis=1) / self.limit, [names[i] for i in each.argmax(axis=1)]


def is_marked(ood: Floats) -> Bools:
    """bool (n,), which OOD scores, float (n,), are marked: those above 1, and NaN, which is not like the train images."""
    return np.asarray(~(np.asarray(ood, dtype=np.float64) <= 1))


def share_marked(ood: Floats | None) -> float | None:
    """The share of images marked, 0..1; None where none was judged: without a gate, or without an image."""
    return None if ood is None or not len(ood) else float(is_marked(ood).mean())


def fit_gate(
    train: Mapping[str, Floats], calibrate: Mapping[str, Floats], tolerated: tuple[Floats, Floats] | None = None
) -> OODGate | None:
    """The gate from views (n, d) by name, of the train images (envelopes) and of calibrate (limit).

    None where calibrate has fewer than _MIN_IMAGES images.

    Args:
        tolerated: sharpness (m, d) of some of train, and of calibrate, with changes that are to pass; its envelope is
            fitted on these. The limit always comes from calibrate as it is.
    """
    n = len(next(iter(calibrate.values())))
    if n < _MIN_IMAGES:
        return None
    fitted_on = {name: (train[name], calibrate[name]) for name in sorted(train)}
    if tolerated is not None:
        fitted_on[SHARPNESS] = tolerated
    envelopes = {name: _envelope(*both) for name, both in fitted_on.items()}
    worst = np.max([envelope.ood_score(calibrate[name]) for name, envelope in envelopes.items()], axis=0)
    return OODGate(envelopes, float(np.float32(max(limit_score(worst), 1e-3))))


def limit_score(scores: Floats) -> float:
    """The score above which 2 % of new images like these are: a new one is above the k-th of n with probability 1 - k / (n + 1).

    Args:
        scores: float (n,), n at least _MIN_IMAGES.
    """
    return float(np.sort(scores)[int(np.ceil((len(scores) + 1) * (1 - _FALSE_REJECTS) - 1e-9)) - 1])


def _envelope(train: Floats, calibrate: Floats) -> _Envelope:
    from scipy.linalg import eigh

    train = np.asarray(train, dtype=np.float64)
    n, d = train.shape
    mean, scale = train.mean(axis=0), train.std(axis=0)
    scale = np.maximum(scale, max(0.01 * scale.mean(), 1e-6))  # a constant feature may vary a little
    z = (train - mean) / scale
    k = max(1, min(_AXES, d // 2, n // 4))
    covariance = z.T @ z / n
    spread, axes = eigh(covariance, subset_by_index=[d - k, d - 1])
    rest = max((np.trace(covariance) - spread.sum()) / max(d - k, 1), 1e-3)
    spread = np.maximum(spread, rest)
    parts = [part.astype(np.float32) for part in (mean, scale, np.ascontiguousarray(axes.T), spread)]
    rest_of, identity = np.array([rest], np.float32), np.array([0.0, 1.0], np.float32)
    bare = _Envelope(parts[0], parts[1], parts[2], parts[3], rest_of, identity)
    middle, high = np.quantile(bare.log_distance(calibrate), [0.5, 0.84])
    usual = np.array([middle, max(high - middle, 1e-3)], np.float32)
    return replace(bare, usual=usual)


def gate_bytes(gate: OODGate) -> bytes:
    """The gate as safetensors; equal gates are equal bytes."""
    from safetensors.numpy import save

    tensors = {f"{name}/{field}": getattr(part, field) for name, part in gate.envelopes.items() for field in _FIELDS}
    return bytes(save({"limit": np.array([gate.limit], np.float32), **tensors}))


def gate_from(data: bytes) -> OODGate:
    """The gate that gate_bytes() wrote.

    Raises:
        ValueError, KeyError: the data is not a gate, or has a view that this version does not know.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors = load(data)
    except SafetensorError as error:
        raise ValueError(str(error)) from None
    names = sorted({name.rpartition("/")[0] for name in tensors} - {""})
    if not set(names) <= {*IMAGE_VIEWS, FEATURES}:
        raise ValueError("a view of another version")
    parts = {name: _Envelope(*(tensors[f"{name}/{field}"] for field in _FIELDS)) for name in names}
    return OODGate(parts, float(tensors["limit"][0]))


def read_gate(run: RunDir, card: Card) -> OODGate | None:
    """The gate of a run; None where it was trained without one.

    Raises:
        DataError: its file is missing or changed.
    """
    if card.gate_sha256 is None:
        return None
    try:
        data = read_regular(run.gate)
        if hashlib.sha256(data).hexdigest() == card.gate_sha256:
            return gate_from(data)
    except (OSError, ValueError, KeyError):
        pass
    raise DataError(f"{run.gate} is missing or not the file that the card describes. Restore it, or train again.")
