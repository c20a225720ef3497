"""Do pictures from elsewhere look like those the network learned from, whatever it makes of them?

A classifier that sees 16 numbers of a picture (brightness, contrast, sharpness, black borders; no place, no lung) is
asked to tell outside from inside: at 0.5 it cannot. Classes are drawn in the same shares on both sides, since another
share of sick patients would move the numbers by itself.
Source: Lopez-Paz & Oquab, ICLR 2017 (classifier two-sample test).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from plainfilm.data.audit.probes import PERCENTILES, Pixels, cross_validated, image_statistics
from plainfilm.evaluate.shortcuts.probe_auroc import shortcut_metric
from plainfilm.evaluate.shortcuts.probe_baseline import TrainProbes
from plainfilm.evaluate.stats.delong import midranks
from plainfilm.schemas.evaluate import DomainShift

_PROBE = "picture statistics"
_NAMES = (
    "mean brightness", "contrast", *(f"percentile {q}" for q in PERCENTILES), "sharpness", "sharpness at half size",
    "black rows at the border", "black columns at the border", "share of 0", "share of 255", "colour",
)  # fmt: skip
_MOST_TRAIN = 1_500  # more change the interval little, and the trees take their time
_MIN_PATIENTS = 2


def domain_shift(
    probes: TrainProbes, rows: pd.DataFrame, pixels: Pixels, *, seed: int, has_patients: bool = True
) -> DomainShift | None:
    """How far the statistics of external pictures tell them from train pictures; None where there are too few patients.

    Args:
        rows: of the external images, with `label` and `group`. pixels: uint8 (n, h, w) or (n, h, w, 3), as the network
            sees them.
        seed: of the draw of train images and of the division into folds.
        has_patients: False where a side has no patient key, and each image counts as its own.
    """
    chosen = _same_shares(
        probes.rows["label"].to_numpy(), rows["label"].to_numpy(), np.random.default_rng([seed, 0xD81F])
    )
    inside = probes.known[_PROBE][chosen]
    outside = image_statistics(pixels)[_PROBE]
    features = np.concatenate([inside, outside]).astype(np.float32)
    labels = np.repeat([0, 1], [len(inside), len(outside)])
    own = probes.rows["group"].to_numpy()[chosen]
    groups = np.concatenate([own, rows["group"].to_numpy() + 1 + own.max(initial=0)])
    if any(len(np.unique(groups[labels == side])) < _MIN_PATIENTS for side in (0, 1)):
        return None
    probs = cross_validated(features, labels, groups, seed=seed)
    people = groups if has_patients else None
    auroc = shortcut_metric(probs, labels, groups, people, positive=1, crossed=True)
    alone = {
        name: shortcut_metric(_as_probs(values), labels, groups, people, positive=1, crossed=False)
        for name, values in zip(_NAMES, features.T, strict=True)
    }
    return DomainShift(auroc=auroc, features=alone, train_images=len(inside))


def _same_shares(inside: np.ndarray, outside: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Positions in `inside` (labels, (n,)) of as many as possible, with the classes in the shares of `outside`."""
    classes, wanted = np.unique(outside, return_counts=True)
    places = [np.flatnonzero(inside == name) for name in classes]
    times = min([_MOST_TRAIN / len(outside), *(len(place) / n for place, n in zip(places, wanted, strict=True))])
    taken = [rng.choice(place, int(times * n), replace=False) for place, n in zip(places, wanted, strict=True)]
    return np.sort(np.concatenate(taken)).astype(np.int64)


def _as_probs(values: np.ndarray) -> np.ndarray:
    """Ranks of a statistic in 0..1, float (n, 2): an AUROC knows nothing but the order."""
    ranks = midranks(values.astype(np.float64)) / len(values)
    return np.column_stack([1 - ranks, ranks])
