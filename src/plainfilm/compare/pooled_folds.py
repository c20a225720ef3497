"""Folds of a k-fold experiment as one set of scores: each image once, scored by the network of its fold.

Folds are no repeats: each lacks the images of the others, and they share most train images, so the spread over folds is
neither that over patients nor that over trainings. Their images together are a sample of patients like any other.
Source: Bengio & Grandvalet, J Mach Learn Res 2004;5:1089 (no unbiased variance from the folds themselves).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from plainfilm.compare.scored_run import Scored
from plainfilm.errors import DataError
from plainfilm.evaluate.stats.intervals import Ints, renumbered
from plainfilm.schemas.compare import Folds

POOLED = (
    "Folds are pooled: each image once, scored by the network of its fold; limits are over patients. Folds share train "
    "images, so their spread is no error and is not given."
)


def is_fold(run: Scored) -> bool:
    """Whether the run is a fold of a k-fold experiment."""
    return run.cfg.data.split == "kfold"


def by_seed(runs: Sequence[Scored]) -> list[Scored]:
    """One set of scores for each seed of a configuration: that of its run, or of its folds together.

    Raises:
        DataError: an image is in two folds of a seed.
    """
    folds: dict[int, list[Scored]] = {}
    for run in runs:
        folds.setdefault(run.cfg.train.seed, []).append(run)
    return [each for of_seed in folds.values() for each in (_one(of_seed) if is_fold(of_seed[0]) else of_seed)]


def folds_of(runs: Sequence[Scored]) -> Folds | None:
    """How many folds the runs of a configuration are; None where they are none."""
    if not is_fold(runs[0]):
        return None
    seeds = [run.cfg.train.seed for run in runs]
    return Folds(done=min(seeds.count(seed) for seed in set(seeds)), of=runs[0].cfg.data.folds)


def _one(folds: Sequence[Scored]) -> list[Scored]:
    return [_pooled(folds)] if len(folds) > 1 else list(folds)


def _pooled(folds: Sequence[Scored]) -> Scored:
    """Rows sorted by content, as those of a run. Each fold's own threshold has decided its predicted classes."""
    _refuse_shared(folds)
    images, targs = (np.concatenate([getattr(run, name) for run in folds]) for name in ("images", "targs"))
    order = np.lexsort((targs, images))
    people = [run.patients for run in folds if run.patients is not None]
    fingerprints = [_digest(sorted(f"{image} {targ}" for image, targ in zip(images, targs, strict=True)))]
    fingerprints += [_digest(sorted(run.fingerprint_valid for run in folds))]
    return replace(
        folds[0], images=images[order], targs=targs[order], groups=_groups(folds)[order], folds=len(folds),
        fingerprint=fingerprints[0], fingerprint_valid=fingerprints[1],
        patients=np.concatenate(people)[order] if len(people) == len(folds) else None,
        probs=np.concatenate([run.probs for run in folds])[order],
        predicted=np.concatenate([run.predicted for run in folds])[order],
    )  # fmt: skip


def _groups(folds: Sequence[Scored]) -> Ints:
    """Groups numbered across the folds, int (n,): no patient is in two folds."""
    numbers, start = [], 0
    for run in folds:
        found = renumbered(run.groups) + start
        numbers.append(found)
        start = int(found.max()) + 1
    return np.concatenate(numbers)


def _refuse_shared(folds: Sequence[Scored]) -> None:
    seen: dict[str, Scored] = {}
    for run in folds:
        for image in set(run.images.tolist()):
            other = seen.setdefault(image, run)
            if other is not run:
                raise DataError(
                    f"{other.root.name} and {run.root.name} are folds of one seed, but share {run.split} images: they are "
                    "not of one partition. Train all folds on the same DATA with the same options."
                )


def _digest(lines: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
