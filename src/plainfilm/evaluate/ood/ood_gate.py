"""The input gate: is a picture like those the network learned from, or is its score about nothing?

A classifier gives a photo of a cat a score. The gate looks at each picture in three ways (layout, grey levels, and
what the network's last layer sees), measures how far it is from the train images in each, and marks it as "unlike the
training images" when the farthest of the three is farther than nearly all of `calibrate`.

It marks and never changes a score. numpy only: `predict` runs it without torch, on pixels and features.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from plainfilm.errors import DataError
from plainfilm.evaluate.ood.image_features import image_features
from plainfilm.evaluate.stats.intervals import Floats
from plainfilm.runs.card import Card
from plainfilm.runs.folder import RunDir

# Of calibrate; 0.05 of other patients is what is promised. Over 25 cuts of valid of the Kermany set (two networks, 520
# images in each half) others were 0.018 on average and at most 0.039; with 0.03 here 2 of 25 cuts were above 0.05.
_FALSE_REJECTS = 0.02
_MIN_IMAGES = 49  # in calibrate: of fewer none is beyond the limit
NO_GATE = f"NO INPUT GATE: under {_MIN_IMAGES} valid images to set its limit on."
_AXES = 64  # directions kept of each view
FEATURES = "features"
_FIELDS = ("mean", "scale", "axes", "spread", "rest", "usual")  # of an Envelope, on disk


@dataclass(frozen=True)
class _Envelope:
    """Where the train images lie in one view of them: a Gaussian with `k` directions of its own and one common spread
    for the rest (probabilistic PCA).

    `mean`, `scale`: float32 (d,); `axes`: (k, d), orthonormal; `spread`: (k,), variances along them; `rest`: (1,),
    variance in each other direction; `usual`: (2,), median of the log distance on calibrate, and how far its 84th
    percentile lies above it.
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
        outside = np.maximum((z**2).sum(axis=1) - (along**2).sum(axis=1), 0) / self.rest[0]
        return np.asarray(np.log((along**2 / self.spread).sum(axis=1) + outside + 1e-12))

    def strangeness(self, x: Floats) -> Floats:
        """How much farther than usual, in units in which calibrate has about a standard normal's upper half."""
        return np.asarray((self.log_distance(x) - self.usual[0]) / self.usual[1])


@dataclass(frozen=True)
class OODGate:
    """An envelope for each view, and the strangeness from which a picture is marked."""

    envelopes: Mapping[str, _Envelope]
    limit: float

    def score(self, pixels: Any, features: Floats) -> tuple[Floats, list[str]]:
        """How unlike the train images each picture is, float (n,), above 1 = marked; and the view that says so.

        Args:
            pixels: uint8 (n, h, w) or (n, h, w, 3), as decode() gives them.
            features: float (n, d), what the network's last layer sees.
        """
        if not len(pixels):
            return np.empty(0), []
        views = {**image_features(pixels), FEATURES: features}
        each = np.column_stack([envelope.strangeness(views[name]) for name, envelope in self.envelopes.items()])
        names = list(self.envelopes)
        return each.max(axis=1) / self.limit, [names[i] for i in each.argmax(axis=1)]


def fit_gate(train: Mapping[str, Floats], calibrate: Mapping[str, Floats]) -> OODGate | None:
    """The gate from views (n, d) by name, of the train images (envelopes) and of calibrate (limit).

    None where calibrate has under MIN_IMAGES images.
    """
    n = len(next(iter(calibrate.values())))
    if n < _MIN_IMAGES:
        return None
    envelopes = {name: _envelope(train[name], calibrate[name]) for name in sorted(train)}
    worst = np.max([envelope.strangeness(calibrate[name]) for name, envelope in envelopes.items()], axis=0)
    # one new image lies above the k-th of n with probability 1 - k / (n + 1)
    limit = np.sort(worst)[int(np.ceil((n + 1) * (1 - _FALSE_REJECTS) - 1e-9)) - 1]
    return OODGate(envelopes, float(np.float32(max(limit, 1e-3))))


def _envelope(train: Floats, calibrate: Floats) -> _Envelope:
    from scipy.linalg import eigh

    train = np.asarray(train, dtype=np.float64)
    n, d = train.shape
    mean, scale = train.mean(axis=0), train.std(axis=0)
    scale = np.maximum(scale, max(0.01 * scale.mean(), 1e-6))  # what never varied may vary a little
    z = (train - mean) / scale
    k = max(1, min(_AXES, d // 2, n // 4))
    covariance = z.T @ z / n
    spread, axes = eigh(covariance, subset_by_index=[d - k, d - 1])
    rest = max((np.trace(covariance) - spread.sum()) / max(d - k, 1), 1e-3)
    spread = np.maximum(spread, rest)
    parts = [part.astype(np.float32) for part in (mean, scale, np.ascontiguousarray(axes.T), spread)]
    rest_of, nothing = np.array([rest], np.float32), np.array([0.0, 1.0], np.float32)
    bare = _Envelope(parts[0], parts[1], parts[2], parts[3], rest_of, nothing)
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
        ValueError, KeyError: it holds something else.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors = load(data)
    except SafetensorError as error:
        raise ValueError(str(error)) from None
    names = sorted({name.rpartition("/")[0] for name in tensors} - {""})
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
        data = run.gate.read_bytes()
        if hashlib.sha256(data).hexdigest() == card.gate_sha256:
            return gate_from(data)
    except (OSError, ValueError, KeyError):
        pass
    raise DataError(f"{run.gate} is missing or not the file that the card describes. Restore it, or train again.")
