"""A finished run's saved scores on one split, in the same order as other runs on the same images.

No image is opened and no network runs; test scores are read only if `evaluate` has recorded a test-set access.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from plainfilm.config import ExperimentConfig
from plainfilm.errors import DataError, SealError
from plainfilm.evaluate.finished import SHIFTED, FinishedRun
from plainfilm.evaluate.metrics.measure import accuracy_metric, auroc_metric, rate_metric
from plainfilm.evaluate.metrics.point_metrics import sensitivity_statistic
from plainfilm.evaluate.metrics.predicted_class import predicted_classes
from plainfilm.evaluate.metrics.sample import Sample, counts, drawn, make_sample, metric, missing, with_room
from plainfilm.evaluate.predictions import CHANGE
from plainfilm.evaluate.stats import intervals
from plainfilm.evaluate.stats.intervals import Bools, Floats, Ints
from plainfilm.evaluate.test_ledger import no_test_access, seal_of
from plainfilm.runs.card import Card
from plainfilm.schemas.documents import Metric

_SPECIFICITY = 0.90
SENSITIVITY_AT = "sensitivity_at_specificity_90"
# Config keys in which repeats of one experiment may differ, and keys that change no result.
REPEATS, WITHOUT_EFFECT = (("train", "seed"), ("data", "fold")), (("data", "cache"), ("data", "sandbox"))
LEVEL, BOOT_DRAWS = 0.95, 1_000


@dataclass(frozen=True)
class Scored:
    """One run on one split. Rows are sorted by content, so row i is the same image in every run on these images.

    `key`: the config without its repeat, as JSON, and what it was recalibrated on; `repeat`: (seed, fold); `images`: str (n,), SHA-256 of each file;
    `fingerprint` of the sorted (file, label) pairs, `fingerprint_valid` of the valid images; `groups`: int (n,);
    `patients`: str (n,) or None; `predicted`: int (n,), at the stored threshold (more than two classes: by the largest
    score); `folds`: how many folds of an experiment these are together.
    """

    root: Path
    cfg: ExperimentConfig
    card: Card
    split: str
    images: np.ndarray
    fingerprint: str
    fingerprint_valid: str
    groups: np.ndarray
    patients: np.ndarray | None
    probs: Floats
    targs: Ints
    predicted: Ints
    folds: int = 1

    @property
    def key(self) -> str:
        local = self.card.recalibration
        return _config_key(self.cfg) + (local.model_dump_json() if local else "")

    @property
    def repeat(self) -> tuple[int, int]:
        return self.cfg.train.seed, self.cfg.data.fold

    @property
    def positive(self) -> int | None:
        return self.card.positive_index

    @property
    def views(self) -> tuple[int, ...]:
        """Columns scored one against the rest: the positive class of two, or every class of more."""
        return tuple(range(len(self.card.vocab))) if self.positive is None else (self.positive,)

    @property
    def hits(self) -> Bools:
        """bool (n,), predicted correctly."""
        return np.asarray(self.predicted == self.targs)

    @property
    def log_losses(self) -> Floats:
        """float (n,), nats."""
        of_truth = self.probs[np.arange(len(self.targs)), self.targs]
        return np.asarray(-np.log(np.clip(of_truth, 1e-12, None)))

    @cached_property
    def sample(self) -> Sample:
        """The scores checked and in canonical order.

        Raises:
            DataError: there are no images.
        """
        if not len(self.targs):
            raise DataError(f"The run {self.root} has no {self.split} images.")
        found = make_sample(self.probs, self.targs, self.groups, self.patients, positive=self.positive, threshold=None)
        return replace(found, predicted=self.predicted[found.order])

    @cached_property
    def metrics(self) -> dict[str, Metric]:
        """auroc, accuracy, sensitivity at specificity 0.90 (two classes) and log_loss, with 95 % intervals."""
        sample = self.sample
        return self.noted(
            {
                "auroc": auroc_metric(sample.classes, sample, LEVEL),
                "accuracy": accuracy_metric(sample, LEVEL),
                SENSITIVITY_AT: _sensitivity_at(sample),
                "log_loss": _log_loss(self.log_losses, self.groups, sample),
            }
        )

    @property
    def rates(self) -> dict[str, Metric]:
        """auroc, accuracy, sensitivity and specificity, with 95 % intervals."""
        of_class = {
            name: rate_metric(name, self.sample.classes, self.sample, LEVEL) for name in ("sensitivity", "specificity")
        }
        return {name: self.metrics[name] for name in ("auroc", "accuracy")} | self.noted(of_class)

    def noted(self, found: dict[str, Metric]) -> dict[str, Metric]:
        """The metrics with the number of folds in their method, where these are several."""
        if self.folds == 1:
            return found
        return {n: m.model_copy(update={"method": f"{m.method}; {self.folds} folds pooled"}) for n, m in found.items()}


def _config_key(cfg: ExperimentConfig) -> str:
    """The config as JSON, without the keys in which repeats differ."""
    tree = cfg.model_dump(mode="json")
    for section, name in (*REPEATS, *WITHOUT_EFFECT):
        del tree[section][name]
    return json.dumps(tree, sort_keys=True)


def read_scored(root: Path, split: str) -> Scored:
    """The scores that a finished run saved for `split`.

    Raises:
        DataError: no finished run, a damaged file, or one of another version. SealError: no test-set access is recorded.
    """
    finished = FinishedRun.open(root)
    run, card = finished.run, finished.card
    if split == "test" and no_test_access(run, card):
        raise SealError(no_test_access(run, card))
    part, predictions = finished.part(split), finished.predictions(split)
    order = _content_order(part)
    people, images = predictions.patients, part["sha256"].to_numpy(dtype=str)
    if split == SHIFTED:
        images = np.char.add(images, np.char.add(" ", part[CHANGE].to_numpy(dtype=str)))
    probs = predictions.probs[order]
    return Scored(
        run.root, finished.cfg, card, split, images[order], seal_of(part), seal_of(finished.part("valid")),
        predictions.groups[order], None if people is None else people[order], probs, predictions.targs[order],
        predicted_classes(probs, positive=card.positive_index, threshold=card.threshold),
    )  # fmt: skip


def _content_order(part: pd.DataFrame) -> Ints:
    """Row order by file content; the order of identical files does not matter, as they have identical scores."""
    last = [CHANGE] if CHANGE in part else []
    return np.lexsort([part[name].to_numpy(dtype=str) for name in (*last, "relative", "label", "sha256")])


def _sensitivity_at(sample: Sample, specificity: float = _SPECIFICITY) -> Metric:
    """Sensitivity at the lowest threshold whose specificity on the same images is at least `specificity`.

    Each bootstrap draw of whole patients finds the threshold again: with a fixed threshold, the nominal coverage of 0.95
    was 0.60 to 0.79.
    """
    if sample.positive is None:
        return missing("more than two classes", sample, sample.everyone)
    truth, scores = sample.targs == sample.positive, sample.probs[:, sample.positive]
    if truth.all() or not truth.any():
        return missing("one class only", sample, truth)
    statistic = sensitivity_statistic(scores, truth, specificity)
    value = float(statistic(np.ones((1, len(scores))))[0])
    draws = intervals.bootstrap({"at": statistic}, sample.clusters, BOOT_DRAWS, seed=0)["at"]
    missed = len(np.unique(sample.clusters[truth])) * (1 - value)
    rarer = min(intervals.kish_patients(sample.clusters[truth == side]) for side in (True, False))
    patients = len(np.unique(sample.clusters))
    found = intervals.drawn_mean(value, draws, seen=missed, rarer=rarer, patients=patients, level=LEVEL)
    return metric(drawn(found, sample), sample, truth)


def _log_loss(losses: Floats, groups: np.ndarray, sample: Sample) -> Metric:
    """Mean cross-entropy in nats, Student's t over patients.

    The upper limit also allows for wrong predictions that were not observed.
    """
    value, (n, people) = float(losses.mean()), counts(sample, sample.everyone)
    if len(np.unique(losses)) < 2:
        return missing("fewer than two different losses", sample, sample.everyone)
    sums = pd.Series(losses - value).groupby(groups).sum().to_numpy() / len(losses)
    m = len(sums)
    half = intervals.t_quantile(LEVEL, m - 1) * float(m / max(m - 1, 1) * (sums @ sums)) ** 0.5
    cost = float(-np.log(np.clip(1 - sample.probs.max(axis=1), 1e-12, None)).mean())
    high = value + with_room(half, cost, sample, LEVEL)
    return Metric(value=value, ci_low=max(0.0, value - half), ci_high=high, n=n, n_patients=people,
                  method="clustered t")  # fmt: skip
