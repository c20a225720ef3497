"""Images whose label may be wrong: confident learning on scores that the network gave without having learned the image.

A suspect is no proof: a rare film, or one that the network does not understand, looks the same. Somebody has to look.
Source: Northcutt, Jiang & Chuang, JAIR 2021;70:1373.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import pandas as pd

from plainfilm.evaluate.stats.intervals import Bools, Floats, Ints

_COLUMNS = ("path", "label", "score", "why")
_MANY = 0.10  # with 5 % planted wrong labels a network that errs in 1.6 % listed 3.7 %, one that errs in 15 % 6.8 %


@dataclass(frozen=True)
class _LabelErrors:
    """The images that look mislabelled among those asked about.

    `found`: bool (n,); `margin`: float (n,), in -2..2, how much better another class fits, each measured by what is
    usual for its own images; `other`: int (n,), that class; `usual`: float (k,), mean score of each class's own
    images for it, NaN for a class without images.
    """

    found: Bools
    margin: Floats
    other: Ints
    usual: Floats

    @property
    def order(self) -> Ints:
        """Positions of the suspects, the largest margin first; of equals the first in the table."""
        ranked = np.argsort(-self.margin, kind="stable")
        return np.asarray(ranked[self.found[ranked]], dtype=np.int64)


def find_label_errors(probs: Floats, targs: Ints) -> _LabelErrors:
    """Images whose score for another class is at least what is usual there, and below what is usual for their own.

    The usual score of a class is the mean over the images that carry its label (confident learning's threshold), so a
    class for which the network is never sure is judged by its own measure. Images are ordered by the margin
    (p_other - usual_other) - (p_label - usual_label).

    Args:
        probs: float (n, k), from a network that was not trained on these images.
        targs: int (n,), the labels.
    """
    n, k = probs.shape
    named = np.eye(k, dtype=bool)[targs]
    counts = named.sum(axis=0)
    usual = np.where(counts > 0, (probs * named).sum(axis=0) / np.maximum(counts, 1), np.nan)
    above = np.where(named | np.isnan(usual), -np.inf, probs - usual)
    other = above.argmax(axis=1)
    gain, loss = above[np.arange(n), other], (probs - usual)[np.arange(n), targs]
    # scores have 9 digits: an image that is exactly as usual must not depend on how a mean is rounded
    return _LabelErrors((gain > -1e-9) & (loss < -1e-9), gain - loss, other, usual)


def label_errors_csv(found: _LabelErrors, relative: list[str], probs: Floats, targs: Ints, vocab: list[str]) -> str:
    """The list as people and `train --exclude` read it, worst first: path below DATA, label, score for it, and why."""
    rows = []
    for i in found.order:
        own, other = targs[i], found.other[i]
        why = (
            f"score for {vocab[other]} {probs[i, other]:.3f} (its own images: {found.usual[other]:.3f} on average), "
            f"for {vocab[own]} {probs[i, own]:.3f} (its own: {found.usual[own]:.3f})"
        )
        rows.append((relative[i], vocab[own], f"{probs[i, own]:.6f}", why))
    buffer = io.StringIO()
    pd.DataFrame(rows, columns=list(_COLUMNS)).to_csv(buffer, index=False, lineterminator="\n")
    return buffer.getvalue()


def describe_label_errors(found: _LabelErrors, images: int, folds: tuple[int, int] | None) -> str:
    """How many of how many, and what that means.

    Args:
        folds: how many k-fold runs were asked, and of how many; None: the valid images of one run.
    """
    n = len(found.order)
    asked = f"{images} valid images" if folds is None else f"{images} images of {folds[0]} of {folds[1]} folds"
    if not n:
        return f"None of {asked} looks mislabelled."
    told = f"{n} of {asked} {'looks' if n == 1 else 'look'} mislabelled; look at {'it' if n == 1 else 'them'}, nothing is proved."
    return told if n <= _MANY * images else f"{told} So many speak against the network rather than the labels."
