"""Whom a study takes: patients with their numbers of images of either class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from plainfilm.evaluate.stats.intervals import Bools, Floats, Ints

BOTH = (0, 1)  # columns of Design.images: negative, positive


@dataclass(frozen=True, eq=False)
class Design:
    """Kinds of patients.

    images: int (k, 2), negative and positive images of a patient of each kind.
    shares: float (k,), how often each kind comes; sum 1.
    """

    images: Ints
    shares: Floats

    @staticmethod
    def of_one_class(sizes: Ints, prevalence: float) -> Design:
        """Patients of one class each, with numbers of images that are equally frequent in both classes."""
        none = np.zeros_like(sizes)
        images = np.concatenate([np.stack([sizes, none], axis=1), np.stack([none, sizes], axis=1)])
        return Design(images, np.repeat([1 - prevalence, prevalence], len(sizes)) / len(sizes))

    @staticmethod
    def like(images: Ints) -> Design:
        """Patients drawn from these, int (m, 2), each as often as any other."""
        return Design(images, np.full(len(images), 1 / len(images)))

    def mean(self, sides: Sequence[int] = BOTH) -> float:
        """Images of these classes per patient."""
        return float(self.shares @ self._sizes(sides))

    def alike(self, sides: Sequence[int]) -> float:
        """How many images of these classes the patient of an image has, that one included, on average over images."""
        return float(self.shares @ self._sizes(sides) ** 2) / self.mean(sides)

    def _sizes(self, sides: Sequence[int]) -> Ints:
        return np.asarray(self.images[:, list(sides)].sum(axis=1))

    def draw(self, u: Floats) -> tuple[Ints, Bools]:
        """One patient for each `u` (m,), uniform in 0..1: of every image its patient, int (n,), and whether it is positive."""
        kinds = np.searchsorted(np.cumsum(self.shares)[:-1], u, side="right")
        images, m = self.images[kinds], len(u)
        patients = np.repeat(np.arange(m), images.sum(axis=1))
        return patients, np.repeat(np.tile([False, True], m), images.ravel())
