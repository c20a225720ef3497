"""People judge patients, not films: the mean score of each patient's images, and the metrics of these means."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plainfilm.evaluate.stats.intervals import Floats, Ints


class Patients(NamedTuple):
    """One row per patient whose images agree about the class.

    probs: float (m, k), means over the patient's images. targs, groups: (m,); patients of one group are resampled
    together. disagreeing: patients left out, since their images belong to several classes.
    """

    probs: Floats
    targs: Ints
    groups: NDArray[np.int64]
    disagreeing: int


def mean_per_patient(probs: Floats, targs: Ints, groups: ArrayLike, patients: ArrayLike) -> Patients:
    """Mean scores by patient.

    Args:
        probs: float (n, k). targs: int (n,). groups: int (n,), constant within a patient. patients: (n,) int or str.
    """
    _, first, who = np.unique(np.asarray(patients), return_index=True, return_inverse=True)
    size = np.bincount(who)
    means = np.column_stack([np.bincount(who, weights=column) / size for column in probs.T])
    agree = np.ones(len(first), dtype=bool)
    agree[who[targs != targs[first][who]]] = False
    rows = first[agree]
    return Patients(means[agree], targs[rows], np.asarray(groups)[rows], int((~agree).sum()))
