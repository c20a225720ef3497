"""Label errors: images whose label may be wrong, by confident learning on out-of-sample scores.

A listed image is not proof of an error: rare images and images that the network handles poorly are listed too, so a
person must review them.
Source: Northcutt, Jiang & Chuang, JAIR 2021;70:1373.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import pandas as pd

from plainfilm.evaluate.stats.intervals import Bools, Floats, Ints

_COLUMNS = ("path", "label", "score", "why")
_MANY = 0.10  # with 5 % planted wrong labels, a network with 1.6 % errors listed 3.7 %, one with 15 % errors 6.8 %


@dataclass(frozen=True)
class _LabelErrors:
    """Which of the given images appear mislabelled.

    `found`: bool (n,); `margin`: float (n,), in -2..2, how much better another class fits, each score taken relative to
    the mean for the class; `other`: int (n,), that class; `usual`: float (k,), mean score for each class over the
    images labelled with it, NaN for a class without images.
    """

    found: Bools
    margin: Floats
    other: Ints
    usual: Floats

    @property
    def order(self) -> Ints:
        """Positions of the images found, largest margin first; ties in table order."""
        ranked = np.argsort(-self.margin, kind="stable")
        return np.asarray(ranked[self.found[ranked]], dtype=np.int64)


def find_label_errors(probs: Floats, targs: Ints) -> _LabelErrors:
    """Images whose score for another class is at least usual for that class, and below usual for their label.

    The usual score of a class is its mean over the images with that label (the threshold of confident learning), so a
    class with low confidence throughout is judged by its own standard. Images are ordered by the margin
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
    # scores have 9 digits: a score that equals the usual one must not depend on the rounding of a mean
    return _LabelErrors((gain > -1e-9) & (loss < -1e-9), gain - loss, other, usual)


def label_errors_csv(found: _LabelErrors, relative: list[str], probs: Floats, targs: Ints, vocab: list[str]) -> str:
    """The list as CSV for people and `train --exclude`, worst first: path below DATA, label, score for it, and why."""
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
    """The number of label errors found, in a sentence.

    Args:
        folds: how many k-fold runs were used, and of how many; None: the valid images of one run.
    """
    n = len(found.order)
    among = f"{images} valid images" if folds is None else f"{images} images of {folds[0]} of {folds[1]} folds"
    if not n:
        return f"None of {among} appears to be mislabelled."
    verb, them = ("appears", "it") if n == 1 else ("appear", "them")
    many = " So many suggest errors of the network rather than of the labels." if n > _MANY * images else ""
    return f"{n} of {among} {verb} to be mislabelled; review {them}, this is not proof.{many}"
