"""Local images without labels, scored by a run's network or a bundle's."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from plainfilm.base.events import EventCallback
from plainfilm.data.archives.unpack import data_folder
from plainfilm.data.errors import DecodeError
from plainfilm.data.image import sandbox
from plainfilm.data.image.decode import DecodeSpec, read_bytes
from plainfilm.errors import DataError, SealError
from plainfilm.evaluate.shift.known_images import refuse_sealed_folder, sealed_files
from plainfilm.evaluate.stats.intervals import Floats
from plainfilm.export.input_paths import Inputs, image_paths
from plainfilm.recalibrate.local_images import Parent

_TOGETHER = 2048  # images decoded and scored at once


@dataclass(frozen=True)
class Unlabelled:
    """Images with the network's logits float (n, k), their paths and the SHA-256 of their files.

    ood: float (n,), None without a gate. notes: files that were left out.
    """

    logits: Floats
    paths: tuple[str, ...]
    keys: tuple[str, ...]
    ood: np.ndarray | None
    notes: tuple[str, ...]


def read_unlabelled(parent: Parent, path: Path, on_event: EventCallback) -> Unlabelled:
    """Every image below `path`, equal files once; nothing is written.

    Raises:
        SealError: images of the run's test set. DataError: images of its train or valid set, or none that can be read.
    """
    own, card, began = parent.known.rows, parent.card, time.monotonic()
    refuse_sealed_folder(path.absolute(), sealed_files(own))
    sealed, learned = (frozenset(own.loc[(own["split"] == "test") == test, "sha256"]) for test in (True, False))
    left_out: Counter[str] = Counter()
    spec, seen, paths, parts = DecodeSpec(**card.decode), set[str](), list[str](), []
    images = _decoded(data_folder(path, spec.megapixels).path, spec, seen, left_out, tiff=bool(card.decode.get("tiff")))
    while batch := list(islice(images, _TOGETHER)):
        if sealed & seen:
            raise SealError(
                f"{path} holds an image of this run's sealed test set. Give images of the other place only."
            )
        if learned & seen:
            raise DataError(
                f"{path} holds an image of this run's train or valid set. Give images of the other place only."
            )
        paths += [name for name, _, _ in batch]
        parts.append((tuple(key for _, key, _ in batch), *parent.score(np.stack([pixels for _, _, pixels in batch]))))
        on_event("scored", {"done": len(paths), "seconds": time.monotonic() - began})
    if not parts:
        raise DataError(f"{path} holds no image that can be read. Give a folder of images of the other place.")
    ood = [part[2] for part in parts if part[2] is not None]
    return Unlabelled(
        np.concatenate([part[1] for part in parts]), tuple(paths), tuple(key for part in parts for key in part[0]),
        np.concatenate(ood) if ood else None, tuple(f"Not used: {n} {why}." for why, n in sorted(left_out.items())),
    )  # fmt: skip


def _decoded(
    path: Path, spec: DecodeSpec, seen: set[str], left_out: Counter[str], *, tiff: bool
) -> Iterator[tuple[str, str, np.ndarray]]:
    """Path, file hash and pixels of each image that can be read; `seen` gets the hashes, `left_out` the others."""
    for name in image_paths(Inputs([str(path)], tiff=tiff), left_out):
        try:
            data = read_bytes(name, spec.megapixels)
            key = hashlib.sha256(data).hexdigest()
            if key in seen:
                left_out["identical files"] += 1
                continue
            seen.add(key)
            yield name, key, sandbox.pixels_of(data, spec)
        except (DecodeError, OSError, ValueError):
            left_out["files that cannot be read"] += 1
