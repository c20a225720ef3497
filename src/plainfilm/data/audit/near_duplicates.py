"""Near duplicates: the same image twice, resized, brightened or saved again, so that the files differ.

Perceptual hashes propose pairs, pixels confirm them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from plainfilm.data.audit.probes import Pixels
from plainfilm.data.image.resize import resize
from plainfilm.data.table.groups import connected

# Of 256 bits. On the Kermany set at 224 px (17 million pairs) 30 finds all 34 pairs of identical files and no other;
# 40 finds 3 others, 50 finds 44, 60 finds 789.
MAX_DISTANCE, MIN_CORRELATION = 30, 0.98
HASH_SIZE, THUMBNAIL_PX = 16, 64  # ImageHash hashes 4 x 16 pixels a side

_STEP = 64  # images a thread reads at once: 10 MB at 224 px in colour
_BLOCK_CELLS = 1_000_000  # pairs compared at once: 8 MB for each word
_CONFIRM_AT_ONCE = 1000  # pairs; two thumbnails each: 16 MB as float64


def perceptual_hashes(pixels: Pixels) -> np.ndarray:
    """A 16 x 16 pHash of every image, uint8 (n, 32), bits packed.

    Args:
        pixels: uint8 (n, h, w) or (n, h, w, 3), 0..255; colour counts by its mean.
    Source: ImageHash's phash(hash_size=16) of the image at 64 x 64: signs of the lowest 16 x 16 cosine coefficients
        about their median.
    """

    def hashed(start: int) -> np.ndarray:
        return np.array([_hash(thumbnail) for thumbnail in _thumbnails(pixels[start : start + _STEP])])

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:  # Pillow releases the GIL while it resizes
        parts = list(pool.map(hashed, range(0, len(pixels), _STEP)))
    return np.concatenate([np.empty((0, HASH_SIZE**2 // 8), np.uint8), *parts])


def near_pairs(hashes: np.ndarray, pixels: Pixels) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, sorted, that show the same image; identical ones are among them.

    At most MAX_DISTANCE bits of their hashes differ, and the pixels of their thumbnails correlate by MIN_CORRELATION or
    more. A flat image matches no other. Time grows with n^2 (0.1 s for 5,840 images, 20 s for 100,000), memory with the
    number of pairs alone: 10,000 copies of a file make 50 million pairs, so leave out copies first.

    Args:
        hashes: uint8 (n, 32), see `perceptual_hashes`.
        pixels: the images that were hashed.
    """
    found: list[tuple[int, int]] = []
    for first, second in _alike(hashes):
        for start in range(0, len(first), _CONFIRM_AT_ONCE):
            some = slice(start, start + _CONFIRM_AT_ONCE)
            pairs = np.column_stack([first[some], second[some]])
            found += [(int(i), int(j)) for i, j in pairs[_correlation(pairs, pixels) >= MIN_CORRELATION]]
    return sorted(found)


def near_groups(pairs: Iterable[tuple[int, int]], identical: np.ndarray) -> list[list[int]]:
    """Rows that are near duplicates of each other, directly or in a chain; each group is sorted, and so is the list.

    Args:
        pairs: as from `near_pairs`.
        identical: (n,), content hashes; a pair of the same content is an exact duplicate and joins nothing here.
    """
    identical = np.asarray(identical)
    joined = [(i, j) for i, j in pairs if identical[i] != identical[j]]
    if not joined:
        return []
    group = connected(len(identical), *np.array(joined).T)
    groups: dict[int, list[int]] = {}
    for row in np.unique(joined):
        groups.setdefault(int(group[row]), []).append(int(row))
    return sorted(groups.values())


def _hash(thumbnail: np.ndarray) -> np.ndarray:
    """pHash of uint8 (64, 64), uint8 (32,)."""
    import imagehash
    from PIL import Image

    return np.packbits(imagehash.phash(Image.fromarray(thumbnail), hash_size=HASH_SIZE).hash)


def _thumbnails(pixels: np.ndarray) -> Iterator[np.ndarray]:
    """Grey uint8 (64, 64) of each image."""
    for image in np.asarray(pixels):
        grey = image if image.ndim == 2 else np.rint(image.mean(axis=2)).astype(np.uint8)
        yield resize(grey, THUMBNAIL_PX)


def _alike(hashes: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of rows, i < j, whose hashes differ by MAX_DISTANCE bits or fewer, two int (m,) for each block of rows."""
    words = np.ascontiguousarray(hashes).view(np.uint64)
    # A flat image has no coefficient but the mean: one bit. A thousand black images would be half a million pairs.
    rows = np.flatnonzero(np.bitwise_count(words).sum(axis=1) > 1)
    words = np.ascontiguousarray(words[rows].T)
    step = max(1, _BLOCK_CELLS // max(len(rows), 1))
    for start in range(0, len(rows), step):
        rest = words[:, start:]
        distance = np.zeros((min(step, rest.shape[1]), rest.shape[1]), np.uint16)
        for word in rest:
            distance += np.bitwise_count(word[: len(distance), None] ^ word[None, :])
        i, j = np.nonzero(distance <= MAX_DISTANCE)
        ahead = i < j
        yield rows[start + i[ahead]], rows[start + j[ahead]]


def _correlation(pairs: np.ndarray, pixels: Pixels) -> np.ndarray:
    """Pearson's correlation of the thumbnails of each pair, float (m,); 0 where one of them is flat."""
    seen, place = np.unique(pairs, return_inverse=True)
    flat = [next(_thumbnails(pixels[i : i + 1])).ravel() for i in seen]
    centred = np.array(flat, dtype=np.float64)
    centred -= centred.mean(axis=1, keepdims=True)
    norm = np.sqrt((centred**2).sum(axis=1, keepdims=True))
    centred /= np.where(norm > 0, norm, 1.0)
    first, second = place.reshape(-1, 2).T
    return np.asarray(np.einsum("ij,ij->i", centred[first], centred[second]))
