"""The line on the log odds that local labelled images ask for, fitted on one half of their patients and judged on the other.

Everything is a function of arrays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from plainfilm.errors import DataError
from plainfilm.evaluate.metrics.calibration import fit_bias
from plainfilm.evaluate.metrics.predicted_class import predicted_classes
from plainfilm.evaluate.operating.thresholds import choose_threshold
from plainfilm.evaluate.stats.intervals import Bools, Floats, Ints
from plainfilm.runs.scaling import Scaling

# fitted patients from which the slope is fitted too, in all and of the rarer class
_SLOPE_PATIENTS, _SLOPE_OF_RARER = 100, 20
_FEWEST = 2  # patients of each class in each half


@dataclass(frozen=True)
class LocalScores:
    """Scored local images: logits float (n, k) of the network, targs int (n,), clusters int (n,) (patients, or groups of
    identical images), keys (n,): the hash of each file."""

    logits: Floats
    targs: Ints
    clusters: Ints
    keys: tuple[str, ...]

    def among(self, rows: Bools) -> LocalScores:
        """Some of the images, their clusters as they are."""
        keys = tuple(key for key, here in zip(self.keys, rows, strict=True) if here)
        return LocalScores(self.logits[rows], self.targs[rows], self.clusters[rows], keys)

    @property
    def patients(self) -> int:
        return len(np.unique(self.clusters))

    @property
    def patients_of_class(self) -> list[int]:
        return [len(np.unique(self.clusters[self.targs == k])) for k in range(self.logits.shape[1])]


@dataclass(frozen=True)
class LocalPoint:
    """What the fit gives: the scaling of the network's logits, what it adds to the parent's, and the threshold.

    `method`: the line that was fitted; `wanted`: the line that was asked for, or due by the number of patients.
    """

    method: str
    wanted: str
    added: Scaling
    scaling: Scaling
    threshold: float | None

    def probs(self, scores: LocalScores) -> Floats:
        return self.scaling.probs(scores.logits)

    def predicted(self, scores: LocalScores, positive: int | None) -> Ints:
        return predicted_classes(self.probs(scores), positive=positive, threshold=self.threshold)


@dataclass(frozen=True)
class LocalRule:
    """How a fit is made: the parent's scaling and threshold, the rule for the new one, the positive class, and which line."""

    parent: Scaling
    threshold: float | None
    rule: str
    positive: int | None
    method: str = "auto"  # intercept, platt (intercept and slope), or auto: by the number of fitted patients

    @property
    def as_it_is(self) -> LocalPoint:
        """The parent's own operating point."""
        return LocalPoint("none", "none", Scaling(), self.parent, self.threshold)


def halves(scores: LocalScores, seed: int = 0) -> Bools:
    """bool (n,), the images that fit: of each class every second patient, in the order of a hash of their files.

    Raises:
        DataError: a class has too few patients for two halves.
    """
    first = _first_of_each(scores, seed)
    fits = np.zeros(int(scores.clusters.max()) + 1, dtype=bool)
    for k in range(scores.logits.shape[1]):
        mine = sorted(found for found in first if found[2] == k)
        if len(mine) < 2 * _FEWEST:
            raise DataError(
                f"A class has {len(mine)} patients among the local images, and {2 * _FEWEST} are needed, half of them to "
                "judge. Add labelled images, or set the threshold alone: --prevalence-threshold."
            )
        for _, cluster, _ in mine[::2]:
            fits[cluster] = True
    return fits[scores.clusters]


def _first_of_each(scores: LocalScores, seed: int) -> list[tuple[str, int, int]]:
    """Of each cluster the smallest hash of its files, its number, and the class of that file."""
    found: dict[int, tuple[str, int, int]] = {}
    for key, cluster, targ in zip(scores.keys, scores.clusters.tolist(), scores.targs.tolist(), strict=True):
        digest = hashlib.sha256(f"recalibrate {seed} {key}".encode()).hexdigest()
        found[cluster] = min(found.get(cluster, ("g", 0, 0)), (digest, cluster, targ))  # 'g' is behind every hash
    return list(found.values())


def fit_local(scores: LocalScores, how: LocalRule) -> LocalPoint:
    """The line on these images, and the threshold that the rule chooses on them after it.

    Two classes: log odds become intercept + slope times the parent's. More: a bias for each class, and with `platt` a
    temperature. The intercept alone below 100 patients or 20 of the rarer class: a slope from fewer is mostly noise.

    Args:
        scores: of at least one image of each class.
    """
    wanted = _method(scores) if how.method == "auto" else how.method
    method, added = _line(how.parent.logits(scores.logits), scores, wanted)
    scaling = how.parent.then(added)
    threshold = None
    if how.positive is not None:
        probs = scaling.probs(scores.logits)[:, how.positive]
        threshold = choose_threshold(how.rule, probs, scores.targs == how.positive, scores.clusters)
    return LocalPoint(method, wanted, added, scaling, threshold)


def _line(logits: Floats, scores: LocalScores, method: str) -> tuple[str, Scaling]:
    """The line, and its method: the intercept alone where no finite slope is best, since the scores separate the classes."""
    found = fit_bias(logits, scores.targs) if method == "platt" else None
    if found is not None:
        return method, found
    return "intercept", fit_bias(logits, scores.targs, temperature=False) or Scaling()


def _method(scores: LocalScores) -> str:
    enough = scores.patients >= _SLOPE_PATIENTS and min(scores.patients_of_class) >= _SLOPE_OF_RARER
    return "platt" if enough else "intercept"


def draws_of(scores: LocalScores, patients: int, draws: int, seed: int) -> list[Bools]:
    """Rows bool (n,) of `draws` random sets of so many patients, each class in its share, at least one patient of each."""
    of_cluster = {cluster: k for _, cluster, k in _first_of_each(scores, 0)}
    numbers, classes = np.array(sorted(of_cluster)), np.array([of_cluster[c] for c in sorted(of_cluster)])
    rng, found = np.random.default_rng([seed, patients]), []
    for _ in range(draws):
        picked = [rng.permutation(numbers[classes == k])[:n] for k, n in enumerate(_shares(classes, patients))]
        found.append(np.isin(scores.clusters, np.concatenate(picked)))
    return found


def _shares(classes: Ints, patients: int) -> Sequence[int]:
    """How many of `patients` are of each class: in proportion, rounded, at least one."""
    each = np.bincount(classes) / len(classes) * patients
    return [max(1, int(n)) for n in np.floor(each + 0.5)]
