"""The abstain band: which scores are too close to those of another class (split conformal prediction).

The prediction set of an image holds every class whose score reaches that class's limit, a low quantile of the scores of
its own images in `calibrate`. The classifier abstains unless the set is the predicted class alone. For new patients *of
the same kind* the set holds the true class with the chosen probability, class by class, whatever the network's quality;
for others nothing is guaranteed.
"""

from __future__ import annotations

import numpy as np

from plainfilm.evaluate.stats.intervals import Bools, Floats, Ints
from plainfilm.runs.card import AbstainBand, Card

LIKE_VALID = "It holds for images like the valid images only: same kind of patients, machine and files."
LIKE_LOCAL = "It holds for images like the local images only that set it: same kind of patients, machine and files."
_BAND_STREAM = 0xBA2D


def holds_for(card: Card) -> str:
    """For which images the card's band holds."""
    about = card.recalibration
    return LIKE_VALID if about is None or about.prevalence is not None else LIKE_LOCAL


def patients_needed(level: float) -> int:
    """Fewest patients of a class for which its coverage can be guaranteed: 9 for 0.90."""
    return int(np.ceil(level / (1 - level) - 1e-9))


def fit_band(
    probs: Floats, targs: Ints, groups: Ints, vocab: list[str], *, level: float, seed: int
) -> AbstainBand | None:
    """The lowest score of each class that keeps it in the prediction set; None where a class has too few patients.

    One image of each patient is drawn, since images of one patient are not exchangeable with those of another. With n
    patients of a class, its k-th lowest score is the limit, k = floor((n + 1) (1 - level)).

    Args:
        probs: float (n, k). targs: int (n,). groups: int (n,), patients or groups of identical images.
        level: coverage in 0..1.
    Source: Vovk, Gammerman & Shafer, Algorithmic Learning in a Random World, 2005, 4.5 (by class); Sadinle, Lei &
        Wasserman, J Am Stat Assoc 2019;114:223 (least ambiguous sets).
    """
    rng, lowest, patients = np.random.default_rng([seed, _BAND_STREAM]), {}, {}
    for k, name in enumerate(vocab):
        of_class = np.flatnonzero(targs == k)
        drawn = _one_each(of_class, groups[of_class], rng)
        place = int(np.floor((len(drawn) + 1) * (1 - level) + 1e-9))
        if place < 1:
            return None
        lowest[name], patients[name] = float(np.sort(probs[drawn, k])[place - 1]), len(drawn)
    return AbstainBand(level=level, lowest=lowest, patients=patients)


def _one_each(rows: Ints, groups: Ints, rng: np.random.Generator) -> Ints:
    """One of `rows` for each group, drawn at random, in the groups' order."""
    shuffled = rng.permutation(len(rows))
    first = np.unique(groups[shuffled], return_index=True)[1]
    return np.asarray(rows[shuffled[first]])


def in_set(band: AbstainBand, probs: Floats, vocab: list[str]) -> Bools:
    """bool (n, k), the prediction set of each image; it may hold no class, one or several."""
    return np.asarray(probs >= np.array([band.lowest[name] for name in vocab]))


def is_singleton(band: AbstainBand, probs: Floats, predicted: Ints, vocab: list[str]) -> Bools:
    """bool (n,), whether the prediction set is the predicted class alone; otherwise the classifier abstains."""
    possible = in_set(band, probs, vocab)
    return np.asarray((possible.sum(axis=1) == 1) & possible[np.arange(len(predicted)), predicted])
