"""How many clusters there are among images: patients, or groups of identical images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def distinct(clusters: NDArray[np.int64]) -> int:
    """Number of different clusters, int (n,), each 0 or more; counted: sorting them for each of 1,000 classes takes a minute."""
    return int(np.count_nonzero(np.bincount(clusters)))
