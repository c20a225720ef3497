"""Do external images differ from the train images, whatever the network predicts for them?

A classifier gets 16 statistics of each image (brightness, contrast, sharpness, black borders; no position, no anatomy)
and separates external from train images: an AUROC of 0.5 means that it cannot. Both sides have the same class shares,
since another share of sick patients would move the statistics by itself.
Source: Lopez-Paz & Oquab, ICLR 2017 (classifier two-sample test).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from plainfilm.data.audit.probes import PERCENTILES, Pixels, cross_validated, image_statistics
from plainfilm.evaluate.shortcuts.probe_baseline import TrainProbes
from plainfilm.evaluate.shortcuts.shortcut_warning import shortcut_metric
from plainfilm.schemas.evaluate import DomainShift

_PROBE = "picture statistics"
_NAMES = (
    "mean brightness", "contrast", *(f"percentile {q}" for q in PERCENTILES), "sharpness", "sharpness at half size",
    "black rows at the border", "black columns at the border", "share of 0", "share of 255", "colour",
)  # fmt: skip
_MOST_TRAIN = 1_500  # more images hardly narrow the interval, and the trees take longer
_MIN_PATIENTS = 2


def domain_shift(
    probes: TrainProbes, rows: pd.DataFrame, pixels: Pixels, *, seed: int, has_patients: bool = True
) -> DomainShift | None:
    """How well image statistics separate external from train images; None where there are too few patients.

    Args:
        rows: of the external images, with `label` and `group`. pixels: uint8 (n, h, w) or (n, h, w, 3), as the network
            sees them.
        seed: for drawing train images and for the folds.
        has_patients: False where a side has no patient key and each image counts as its own patient.
    """
    chosen = _same_shares(
        probes.rows["label"].to_numpy(), rows["label"].to_numpy(), np.random.default_rng([seed, 0xD81F])
    )
    internal = probes.known[_PROBE][chosen]
    external = image_statistics(pixels)[_PROBE]
    features = np.concatenate([internal, external]).astype(np.float32)
    labels = np.repeat([0, 1], [len(internal), len(external)])
    own = probes.rows["group"].to_numpy()[chosen]
    groups = np.concatenate([own, rows["group"].to_numpy() + 1 + own.max(initial=0)])
    if any(len(np.unique(groups[labels == side])) < _MIN_PATIENTS for side in (0, 1)):
        return None
    probs = cross_validated(features, labels, groups, seed=seed)
    patients = groups if has_patients else None
    auroc = shortcut_metric(probs, labels, groups, patients, positive=1, crossed=True)
    alone = {
        name: shortcut_metric(_as_probs(values), labels, groups, patients, positive=1, crossed=False)
        for name, values in zip(_NAMES, features.T, strict=True)
    }
    return DomainShift(auroc=auroc, features=alone, train_images=len(internal))


def _same_shares(internal: np.ndarray, external: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Positions in `internal` (labels, (n,)), as many as possible with the class shares of `external`."""
    classes, wanted = np.unique(external, return_counts=True)
    places = [np.flatnonzero(internal == name) for name in classes]
    times = min([_MOST_TRAIN / len(external), *(len(place) / n for place, n in zip(places, wanted, strict=True))])
    taken = [rng.choice(place, int(times * n), replace=False) for place, n in zip(places, wanted, strict=True)]
    return np.sort(np.concatenate(taken)).astype(np.int64)


def _as_probs(values: np.ndarray) -> np.ndarray:
    """Ranks of a statistic in 0..1, float (n, 2): an AUROC depends on the order alone."""
    ranks = rankdata(values.astype(np.float64)) / len(values)
    return np.column_stack([1 - ranks, ranks])
