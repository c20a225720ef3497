"""`--by COLUMN`: the metrics of subgroups, and whether they differ by more than chance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from plainfilm.evaluate.metrics.macro_means import macro_means
from plainfilm.evaluate.metrics.mean_calibration import difference_metric
from plainfilm.evaluate.metrics.measure import auroc_metric, rate_metric
from plainfilm.evaluate.metrics.sample import Sample, counts, missing
from plainfilm.evaluate.stats.auroc_interval import Ranked, SharedGap, auroc_interval, curve, shared_gap
from plainfilm.evaluate.stats.intervals import Bools, Floats, Interval, difference, proportion, renumbered
from plainfilm.evaluate.stats.multiple_testing import at_floor, holm
from plainfilm.evaluate.stats.subgroup_permutation import (
    DRAWS,
    MIN_PATIENTS,
    Sides,
    area_gap,
    exchanges,
    inverted_p,
    share_gap,
)
from plainfilm.schemas.evaluate import CONFINED, IN_THE_LARGE, Gap, Metric, Subgroup, Subgroups

_BLANK = "(blank)"
_RATE_SIDE = {"sensitivity": True, "specificity": False}  # among the positive images, or the others
_OF_BOTH = ("ppv", "npv")  # rates that need images of both classes


def subgroup_table(
    sample: Sample, names: Sequence[str], column: str, vocab: Sequence[str], *, seed: int = 0, level: float = 0.95
) -> Subgroups:
    """Metrics of each subgroup and the gaps between them; with more than two classes, of each class against the rest.

    Args:
        names: (n,) in the original order of the sample, the subgroup of each image, '' = not given.
        vocab: class names by index.
    """
    array = np.array([name or _BLANK for name in names])[sample.order]
    among = _confined_to(sample, array)
    rows = {name: array == name for name in sorted(set(array) - {_BLANK}) + [_BLANK] * (_BLANK in array)}
    if among is not None:
        rows = {name: row & (sample.targs == among) for name, row in rows.items()}
        rows = {name: row for name, row in rows.items() if row.any()}
    groups = [_subgroup(name, sample, row, among, vocab, level) for name, row in rows.items()]
    gaps = _gap_table(sample, rows, among, vocab, seed, level)
    return Subgroups(
        column=column, among=None if among is None else vocab[among], groups=groups, gaps=gaps, draws=_draws_for(len(gaps)),
        notes=_notes(sample, column, among, vocab),
    )  # fmt: skip


def _confined_to(sample: Sample, names: NDArray[np.str_]) -> int | None:
    """The one class of two whose images alone have a value (e.g. the subtype of a pneumonia); None where both have."""
    given = np.unique(sample.targs[names != _BLANK])
    present = np.unique(sample.targs)
    return int(given[0]) if sample.positive is not None and len(given) == 1 and len(present) == 2 else None


def _subgroup(name: str, sample: Sample, row: Bools, among: int | None, vocab: Sequence[str], level: float) -> Subgroup:
    metrics, part = _metrics(sample, row, among, vocab, level), _part_of(sample, row)
    return Subgroup(
        name=name, images=int(row.sum()), patients=counts(sample, row)[1], metrics=metrics,
        macro=macro_means(metrics, part, list(vocab)),
    )  # fmt: skip


def _part_of(sample: Sample, rows: Bools) -> Sample:
    """Some of the images, their clusters numbered from 0 again."""
    clusters = renumbered(sample.clusters[rows])
    return replace(
        sample, probs=sample.probs[rows], targs=sample.targs[rows], predicted=sample.predicted[rows], clusters=clusters,
        patients=None if sample.patients is None else sample.patients[rows],
    )  # fmt: skip


def _metrics(sample: Sample, row: Bools, among: int | None, vocab: Sequence[str], level: float) -> dict[str, Metric]:
    """Ranking, rates and calibration in the large; where the column is confined to a class, those estimable from it."""
    part = _part_of(sample, row)
    found = {name: rate_metric(name, part.classes, part, level) for name in (*_RATE_SIDE, *_OF_BOTH)}
    found[IN_THE_LARGE] = difference_metric(part, part.positive, level)
    if among is None:
        return {"auroc": auroc_metric(part.classes, part, level), **found}
    with_others = _part_of(sample, row | (sample.targs != among))
    auroc = auroc_metric(with_others.classes, with_others, level)
    against = f"{auroc.method}; against all images of {vocab[1 - among]}"
    other = "specificity" if among == sample.positive else "sensitivity"
    why = f"{CONFINED} {vocab[among]}"
    for name in (other, *_OF_BOTH, IN_THE_LARGE):
        found[name] = missing(why, part, np.zeros(len(part.targs), dtype=bool))
    return {"auroc": auroc.model_copy(update={"method": against}), **found}


def _gap_table(
    sample: Sample, rows: dict[str, Bools], among: int | None, vocab: Sequence[str], seed: int, level: float
) -> list[Gap]:
    """Every pair of subgroups and every metric that both may have; p adjusted for all of them."""
    testable = ["auroc", *_RATE_SIDE]
    if among is not None:
        testable = ["auroc", "sensitivity" if among == sample.positive else "specificity"]
    asked = [(a, b, name, c) for a, b in combinations(rows, 2) for name in testable for c in sample.classes]
    draws = _draws_for(len(asked))
    gaps = [
        _gap(_SubgroupPair(sample, rows[a], rows[b], name, c, among), (a, b, None if sample.positive == c else vocab[c]), draws, seed, level)
        for a, b, name, c in asked
    ]  # fmt: skip
    tested = [i for i, gap in enumerate(gaps) if gap.p is not None]
    p, floor = np.array([gaps[i].p for i in tested], dtype=np.float64), 1 / (1 + draws)
    adjusted = holm(p)
    lowest = p <= floor, at_floor(adjusted, floor)
    for i, value, *at in zip(tested, adjusted.tolist(), *(each.tolist() for each in lowest), strict=True):
        floors = dict(zip(("p_is_floor", "p_holm_is_floor"), at, strict=True))
        gaps[i] = gaps[i].model_copy(update={"p_holm": value, **floors})
    return gaps


def _draws_for(tests: int) -> int:
    """Holm multiplies the smallest p, 1 / (1 + draws), by the number of tests; it must stay well below 0.05."""
    return max(DRAWS, 60 * tests)


class _SubgroupPair(NamedTuple):
    """Two subgroups, `a` and `b` bool (n,), and the metric that is compared, of the class `c` against the rest.

    `among`: see `Subgroups`.
    """

    sample: Sample
    a: Bools
    b: Bools
    metric: str
    c: int
    among: int | None

    @property
    def positive(self) -> Bools:
        return np.asarray(self.sample.targs == self.c)

    @property
    def right(self) -> Bools:
        """Whether an image is correctly predicted as `c` or not `c`."""
        return np.asarray((self.sample.predicted == self.c) == self.positive)

    @property
    def needed(self) -> list[Bools]:
        """The classes of which both subgroups must have patients, each bool (n,)."""
        if self.among is not None:
            return [self.sample.targs == self.among]
        if self.metric == "auroc":
            return [self.positive, ~self.positive]
        return [self.positive == _RATE_SIDE[self.metric]]

    def estimate(self, own: Bools, level: float) -> Interval:
        """The metric of one subgroup."""
        if self.metric != "auroc":
            rows = own & self.needed[0]
            return proportion(self.right[rows], self.sample.clusters[rows], level)
        rows = own if self.among is None else own | (self.sample.targs != self.among)
        part = _part_of(self.sample, rows)
        return auroc_interval([curve(part.probs[:, self.c], self.positive[rows])], part.clusters, level)

    def ranked(self, own: Bools) -> Ranked:
        """The curve of one subgroup of a confined column against all images of the other class."""
        rows = own | (self.sample.targs != self.among)
        return Ranked(curve(self.sample.probs[rows, self.c], self.positive[rows]), self.sample.clusters[rows])

    def shared(self) -> SharedGap | None:
        """The gap of two areas against the same images; None for other metrics and columns, and without a variance."""
        if self.metric != "auroc" or self.among is None:
            return None
        return shared_gap(self.ranked(self.a), self.ranked(self.b), shared=self.among != self.c)

    def difference_at(self) -> Callable[[float], Interval]:
        """The interval of the gap as a function of its level; subgroups that share no image are independent."""
        shared = self.shared()
        if shared is not None:
            return shared.at
        return lambda level: difference(self.estimate(self.a, level), self.estimate(self.b, level))

    def exchanged(self, draws: int, seed: int) -> tuple[float, Floats]:
        """The observed studentised gap, and the gap after each exchange of patients."""
        rows = (self.a | self.b) & np.logical_or.reduce(self.needed)
        part = _part_of(self.sample, rows)
        sides = Sides(self.a[rows], part.clusters, self.positive[rows])
        swap = exchanges(sides, draws, np.random.default_rng([seed, 0x6A9]))
        swap = np.concatenate([np.zeros_like(swap[:1]), swap])
        scores = self.sample.probs[:, self.c]
        if self.metric != "auroc":
            found = share_gap(self.right[rows].astype(float), sides, swap)
        elif self.among is None:
            found = area_gap(scores[rows], sides, swap)
        else:  # the mean placement of an image in the other class is the AUROC against that class
            found = share_gap(curve(scores, self.positive).placed[rows], sides, swap)
        return float(found[0]), found[1:]


def _gap(pair: _SubgroupPair, names: tuple[str, str, str | None], draws: int, seed: int, level: float) -> Gap:
    facts = {"a": names[0], "b": names[1], "of": names[2], "metric": pair.metric, "p_holm": None}
    for own in (pair.a, pair.b):
        if any(len(np.unique(pair.sample.clusters[own & side])) < MIN_PATIENTS for side in pair.needed):
            return Gap(**facts, value=None, ci_low=None, ci_high=None, p=None, method=f"not estimable: {_TOO_FEW}")

    at = pair.difference_at()
    found = at(level)
    p = max(_two_sided_p(*pair.exchanged(draws, seed)), inverted_p(at))
    return Gap(**facts, value=found.value, ci_low=found.low, ci_high=found.high, p=p,
               method=f"{found.method}; p: permutation of patients, at least that of the interval")  # fmt: skip


_TOO_FEW = f"fewer than {MIN_PATIENTS} patients of a class in a subgroup"


def _notes(sample: Sample, column: str, among: int | None, vocab: Sequence[str]) -> list[str]:
    if among is None:
        return []
    return [
        f"Only images of {vocab[among]} have a {column}: its subgroups are compared on those images, "
        f"with AUROC against all {int((sample.targs != among).sum())} images of {vocab[1 - among]}."
    ]


def _two_sided_p(observed: float, drawn: Floats) -> float:
    """(1 + draws at least as extreme) / (1 + draws)."""
    far = abs(observed) - 1e-9 if np.isfinite(observed) else abs(observed)
    return float((1 + np.count_nonzero(np.abs(drawn) >= far)) / (1 + len(drawn)))
