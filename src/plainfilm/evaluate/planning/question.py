"""What a study shall show, with everything that is assumed about it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from plainfilm.evaluate.planning.design import BOTH, Design
from plainfilm.evaluate.planning.latent import latent_correlation
from plainfilm.evaluate.stats.intervals import Floats

METRICS = {"auroc": BOTH, "accuracy": BOTH, "sensitivity": (1,), "specificity": (0,)}  # and the images that each counts


class _Scores(NamedTuple):
    """Normal scores behind a metric: an image is right where its score is below the cut of the model.

    For auroc, sqrt(2) cuts lie between the classes. `icc`: correlation of two images of one patient; `correlation`: of
    two models on one image.
    """

    cuts: Floats
    icc: float
    correlation: float


@dataclass(frozen=True)
class Question:
    """A metric of one model and the width of its 95 % interval, or of two models on the same images and their test.

    value: true value of the metric, 0..1; other: that of the second model, None for one.
    width: None where any width is reported. power: share of such studies that shall succeed.
    icc: correlation of two images of one patient. correlation: of the two models on one image. Both are of what the
        metric counts: being right, or the score within a class (auroc).
    """

    metric: str
    value: float
    other: float | None
    width: float | None
    power: float
    icc: float
    correlation: float
    design: Design

    @property
    def values(self) -> tuple[float, ...]:
        """The true value of each model."""
        return (self.value,) if self.other is None else (self.value, self.other)

    @property
    def sides(self) -> tuple[int, ...]:
        """Columns of `design.images` that the metric counts."""
        return METRICS[self.metric]

    @cached_property
    def scores(self) -> _Scores:
        """The normal scores that give these values and correlations.

        Raises:
            UsageError: none do.
        """
        cuts = np.asarray(ndtri(self.values))
        if self.metric == "auroc":
            return _Scores(cuts, self.icc, self.correlation)
        icc = latent_correlation(self.value, self.value, self.icc)
        between = 0.0 if self.other is None else latent_correlation(self.value, self.other, self.correlation)
        return _Scores(cuts, icc, between)
