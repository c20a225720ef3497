"""Groups of rows that must stay together."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import numpy as np
from numpy.typing import ArrayLike


def connected(n: int, first: ArrayLike, second: ArrayLike) -> np.ndarray:
    """The group of each of `n` rows, int64 (n,), numbered from 0: rows first[i] and second[i], and chains of them, share one."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows, columns = np.asarray(first, dtype=np.int64), np.asarray(second, dtype=np.int64)
    graph = coo_array((np.ones(len(rows)), (rows, columns)), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def join_groups(*keys: Iterable[Hashable | None]) -> np.ndarray:
    """Groups of rows that share any key, directly or in a chain: int64 (n,), the position of the group's first row.

    Args:
        keys: one iterable per kind of key, each of length n; None joins nothing.
    """
    columns = [list(column) for column in keys]
    pairs: list[tuple[int, int]] = []
    for column in columns:
        first_with: dict[Hashable, int] = {}
        pairs += [(first_with.setdefault(key, i), i) for i, key in enumerate(column) if key is not None]
    if not columns[0]:
        return np.zeros(0, dtype=np.int64)
    group = connected(len(columns[0]), *np.array(pairs, dtype=np.int64).reshape(-1, 2).T)
    return np.asarray(np.unique(group, return_index=True)[1][group], dtype=np.int64)
