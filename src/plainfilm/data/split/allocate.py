"""Whole groups assigned to parts: every class in every part, close to the requested shares."""

from __future__ import annotations

import numpy as np

from plainfilm.errors import DataError

_ATTEMPTS = 50
_TOLERANCE = 0.01  # of all images; groups are not moved for less


def allocate(groups: np.ndarray, labels: np.ndarray, shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Part of each row, int (n,): whole groups, every class in every part, image shares close to `shares`.

    Largest groups first, each to the part that is furthest behind its share of the classes assigned so far, so that
    patients with many images are spread like those with one.
    scikit-learn's StratifiedGroupKFold needs many more patients per class than three and makes equal folds only.

    Args:
        groups: int (n,), rows of one group share a number.
        labels: int (n,), 0..k-1.
        shares: float (parts,), sum 1.
    Raises:
        DataError: a class cannot be in every part.
    """
    _, group_of_row = np.unique(groups, return_inverse=True)
    counts = np.zeros((group_of_row.max() + 1, labels.max() + 1), dtype=np.int64)
    np.add.at(counts, (group_of_row, labels), 1)
    for attempt in range(_ATTEMPTS):
        part = np.full(len(counts), -1)
        if _one_of_each_class(part, counts, shares, rng, smallest=attempt == 0):
            break
    else:
        raise DataError(
            f"No division into {len(shares)} parts has every class in every part: too few patients, or patients with "
            "images of several classes. Collect more patients, or merge the smallest class with another."
        )
    _fill(part, counts, shares, rng)
    _even_out(part, counts, shares)
    return part[group_of_row]


def _one_of_each_class(
    part: np.ndarray, counts: np.ndarray, shares: np.ndarray, rng: np.random.Generator, *, smallest: bool
) -> bool:
    """Give every part one group of every class, the rarest class first; False when one runs out.

    The smallest groups disturb the shares least; where patients have several classes, only others may fit.
    """
    has = counts > 0
    for label in np.argsort(has.sum(axis=0), kind="stable"):
        for target in np.argsort(shares, kind="stable"):  # the smallest part takes the smallest group
            if has[part == target, label].any():
                continue
            free = np.flatnonzero((part == -1) & has[:, label])
            if len(free) == 0:
                return False
            size = counts[free].sum(axis=1)
            part[rng.choice(free[size == size.min()] if smallest else free)] = target
    return True


def _fill(part: np.ndarray, counts: np.ndarray, shares: np.ndarray, rng: np.random.Generator) -> None:
    have = np.stack([counts[part == target].sum(axis=0) for target in range(len(shares))])
    free = rng.permutation(np.flatnonzero(part == -1))
    free = free[np.argsort(-counts[free].sum(axis=1), kind="stable")]
    weight = 1.0 / counts.sum(axis=0) ** 2  # a rare class weighs as much as a common one
    weight_all = 1.0 / counts.sum() ** 2
    for group in free:
        new = counts[group]
        # The target is each part's share of what has been assigned so far, not of the whole: else all large groups (the
        # patients with many images) end up in train, with 1.8 images per patient against 1.0 in test.
        over = have - shares[:, None] * (have.sum(axis=0) + new)
        cost = ((2 * over + new) * new * weight).sum(axis=1)
        cost += (2 * over.sum(axis=1) + new.sum()) * new.sum() * weight_all
        target = int(np.argmin(cost))
        part[group] = target
        have[target] += new


def _even_out(part: np.ndarray, counts: np.ndarray, shares: np.ndarray) -> None:
    """Move single groups from the fullest part to the emptiest while that brings the image shares closer to the target.

    With many classes, balance per class can leave the sum of a part several points off.
    """
    size, total = counts.sum(axis=1), counts.sum()
    wanted = shares[:, None] * counts.sum(axis=0)
    for _ in range(len(counts)):
        over = np.array([size[part == target].sum() for target in range(len(shares))]) - shares * total
        source, target = int(np.argmax(over)), int(np.argmin(over))
        left = counts[part == source].sum(axis=0)
        movable = (part == source) & (size < over[source] - over[target]) & (left - counts >= (left > 0)).all(axis=1)
        if max(over[source], -over[target]) <= _TOLERANCE * total or not movable.any():
            return
        groups = np.flatnonzero(movable)
        have = counts[part == target].sum(axis=0)
        moved = np.abs(left - counts[groups] - wanted[source]) + np.abs(have + counts[groups] - wanted[target])
        gap = np.abs(size[groups] - min(over[source], -over[target]))
        part[groups[np.lexsort((gap, (moved / counts.sum(axis=0)).sum(axis=1)))[0]]] = target
