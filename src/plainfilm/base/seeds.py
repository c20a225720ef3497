"""Randomness as a function: counter-based streams from (seed, ...), independent of process state.

A draw depends only on the numbers given, so the order of work, the number of threads, or a stop and resume cannot
change it. splitmix64: Steele, Lea & Flood, OOPSLA 2014.
"""

from __future__ import annotations

import numpy as np

# The purpose of a stream; part of its key, so two purposes never share numbers.
ORDER, AUGMENT, DROPOUT, INIT, CORRUPTION, SUBSET, HEAT = 1, 2, 3, 4, 5, 6, 7


def _splitmix64(x: np.ndarray) -> np.ndarray:
    """One scrambling round, uint64 -> uint64, any shape."""
    with np.errstate(over="ignore"):
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        scrambled: np.ndarray = x ^ (x >> np.uint64(31))
        return scrambled


def mix(*parts: int | np.ndarray) -> np.ndarray:
    """uint64 hash of a tuple of non-negative integers; arrays broadcast, and each element gets its own hash."""
    state = np.zeros((), dtype=np.uint64)
    for part in parts:
        state = _splitmix64(state ^ _splitmix64(np.asarray(part).astype(np.uint64)))
    return state


def uniform(*parts: int | np.ndarray) -> np.ndarray:
    """float64 in [0, 1), one for each element of the broadcast parts."""
    return (mix(*parts) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def torch_seed(*parts: int) -> int:
    """A seed for torch.manual_seed, 0 .. 2**63 - 1."""
    return int(mix(*parts) >> np.uint64(1))


def content_key(sha256: str) -> int:
    """63-bit key of an image's content, from its file's SHA-256."""
    return int(sha256[:16], 16) >> 1
