"""Features of a frozen network on disk, so that a second training of its head passes no image through it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from plainfilm.base.events import EventCallback
from plainfilm.data.cache.rows import PixelRows, about_pixels
from plainfilm.data.cache.store import NEARLY_FULL, CacheBlock, Store, cache_folder, why_not_written
from plainfilm.data.image.decode import DecodeSpec
from plainfilm.errors import DataError


class FeatureCache:
    """Features of a set of images, one block for each ordered set and network.

    A block is used only for the same images in the same order, since the last bits of a feature may depend on the batch
    that its image was in; so a result is bit-identical with and without the cache.

    Args:
        sha256s: of each image's file, in the order of the pixels.
        spec: the preprocessing of the pixels.
        network: name and options of the network, shown by `cache ls`.
        on_event: gets a note where a block is damaged or the cache cannot be written.
    """

    def __init__(
        self, sha256s: Sequence[str], spec: DecodeSpec, network: dict[str, Any], on_event: EventCallback
    ) -> None:
        self.rows = [f"{i}:{sha256}" for i, sha256 in enumerate(sha256s)]  # a file may be there twice
        self.sha256s, self.spec, self.network, self.on_event = sha256s, spec, network, on_event
        self.about = {"pixels": about_pixels(spec), "network": network}

    def part(self, rows: np.ndarray) -> FeatureCache:
        """The cache of some of the images, int (m,) in this order."""
        return FeatureCache([self.sha256s[row] for row in rows], self.spec, self.network, self.on_event)

    def read(self, made_by: dict[str, Any]) -> np.ndarray | None:
        """Float32 (n, d) as written under the same `made_by`; None where there are none, or they are damaged."""
        store = self._store(made_by)
        for block in store.blocks():
            if block.row_of.keys() != set(self.rows):
                continue
            try:
                numbers = np.array([block.row_of[row] for row in self.rows])
                return PixelRows([block.pixels], np.zeros_like(numbers), numbers)[:].view(np.float32)
            except DataError:
                self._drop(store, block)
        return None

    def write(self, made_by: dict[str, Any], features: np.ndarray) -> bool:
        """Keep float32 (n, d) of the images; where the cache cannot be written, a note says why, and it returns False.

        Args:
            made_by: everything besides images and preprocessing that determines the features, as JSON.
        """
        store = self._store(made_by)
        try:
            with store.lock():
                if store.has_room_for(features.nbytes):
                    store.write(self.rows, np.ascontiguousarray(features).view(np.uint8))
                    return True
            why = NEARLY_FULL
        except (OSError, NotImplementedError) as error:
            why = why_not_written(error)
        self.on_event("note", {"text": f"The cache cannot be written ({why}); features are kept in memory only."})
        return False

    def _store(self, made_by: dict[str, Any]) -> Store:
        return Store(cache_folder(), {**self.about, **made_by}, "features")

    def _drop(self, store: Store, block: CacheBlock) -> None:
        store.drop(block)
        self.on_event("note", {"text": "Features in the cache were damaged; they are computed again."})
