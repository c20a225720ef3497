"""The blocks of a metrics document for the abstain band, the OOD gate and the reliability diagram."""

from __future__ import annotations

from typing import Any

import numpy as np

from plainfilm.evaluate.metrics.calibration import reliability
from plainfilm.evaluate.metrics.calibration_curve import smooth_calibration
from plainfilm.evaluate.metrics.mean_calibration import mean_calibration
from plainfilm.evaluate.metrics.measure import confidences
from plainfilm.evaluate.metrics.point_metrics import confusion_matrix
from plainfilm.evaluate.metrics.predicted_class import predicted_classes
from plainfilm.evaluate.metrics.sample import Sample
from plainfilm.evaluate.ood.ood_gate import is_marked
from plainfilm.evaluate.operating.conformal import holds_for, in_set, is_singleton
from plainfilm.evaluate.predictions import AS_TRAINED, OOD, Predictions
from plainfilm.evaluate.stats import intervals
from plainfilm.evaluate.stats.intervals import Bools, Ints
from plainfilm.runs.card import Card
from plainfilm.schemas.calibration import MeanCalibration, Reliability, ReliabilityBin
from plainfilm.schemas.evaluate import Metric, TwoByTwo
from plainfilm.schemas.operating import AbstainBandReport, OODGateReport

_LEVEL = 0.95


def band_report(card: Card, predictions: Predictions) -> AbstainBandReport | None:
    """Coverage by class, the share not abstained and the error among them, both 2x2 tables; None without a band."""
    if card.band is None:
        return None
    probs, targs = predictions.probs, predictions.targs
    predicted = predicted_classes(probs, positive=card.positive_index, threshold=card.threshold)
    confident, covered = (
        is_singleton(card.band, probs, predicted, card.vocab),
        in_set(card.band, probs, card.vocab)[np.arange(len(targs)), targs],
    )
    rows, on = _unused_rows(predictions)
    return AbstainBandReport(
        level=card.band.level, lowest=card.band.lowest, on=on,
        coverage={name: _share(covered, rows & (targs == k), predictions) for k, name in enumerate(card.vocab)},
        kept=_share(confident, rows, predictions),
        error_among_kept=_share(predicted != targs, rows & confident, predictions),
        with_abstained=_two_by_two(predicted, rows, predictions, card.positive_index),
        without_abstained=_two_by_two(predicted, rows & confident, predictions, card.positive_index),
        holds=holds_for(card),
    )  # fmt: skip


def _two_by_two(predicted: Ints, rows: Bools, predictions: Predictions, positive: int | None) -> TwoByTwo | None:
    """The images in `rows`, bool (n,), by truth and predicted class; None for more than two classes.

    STARD asks for both tables: abstentions counted as predicted, and left out.
    Source: Bossuyt et al., STARD 2015, BMJ 2015;351:h5527, items 15 and 23; Cohen et al., BMJ Open 2016;6:e012799.
    """
    if positive is None:
        return None
    truth = predictions.targs
    sensitivity, specificity = (
        _share(predicted == truth, rows & ((truth == positive) == side), predictions) for side in (True, False)
    )
    counts = confusion_matrix(predicted[rows], truth[rows], 2)
    return TwoByTwo(rows=counts.tolist(), sensitivity=sensitivity, specificity=specificity)


def gate_report(predictions: Predictions) -> OODGateReport | None:
    """The share of images marked out of distribution; None for a run without an OOD gate."""
    if OOD not in predictions.frame:
        return None
    rows, on = _unused_rows(predictions)
    marked = is_marked(predictions.frame[OOD].to_numpy())
    return OODGateReport(on=on, marked=_share(marked, rows, predictions))


def reliability_report(card: Card, predictions: Predictions, sample: Sample, **draws: int) -> Reliability:
    """The diagram's points with the run's scaling, from the sample, and, where there is one, as trained.

    With it the smooth curve and calibration in the large. `draws`: n_boot and seed.
    """
    trained, classes = card.scaling.is_identity, [] if sample.positive is not None else list(sample.all_classes)
    return Reliability(
        temperature=card.temperature,
        bias=card.bias,
        before=[] if trained else _bins(predictions.at(AS_TRAINED).sample(card.positive_index, None)),
        after=_bins(sample),
        curve=smooth_calibration(sample, **draws),
        in_the_large=_marked(mean_calibration(sample, card.vocab), predictions),
        by_class={card.vocab[c]: _marked(mean_calibration(sample, card.vocab, c), predictions) for c in classes},
    )


def _bins(sample: Sample) -> list[ReliabilityBin]:
    return [
        ReliabilityBin(score=b.score, share=b.share.value, ci_low=b.share.low, ci_high=b.share.high, n=b.n)
        for b in reliability(*confidences(sample), sample.clusters, _LEVEL)
    ]


def _unused_rows(predictions: Predictions) -> tuple[Bools, str]:
    """bool (n,) and a description: the valid rows not used for band and gate where valid was divided, else all rows."""
    rows = predictions.untouched
    if rows is not None and rows.any():
        return rows, "the valid images not used to set band or gate"
    return np.ones(len(predictions.frame), dtype=bool), "all images"


def _share(hits: Bools, rows: Bools, predictions: Predictions) -> Metric:
    """Share of `hits` among `rows`, both bool (n,), with n, patients and interval."""
    n, patients = int(rows.sum()), predictions.patients
    counted: dict[str, Any] = {
        "n": n,
        "n_patients": None if patients is None else len(np.unique(predictions.groups[rows])),
    }
    if not n:
        return Metric(value=None, ci_low=None, ci_high=None, method="not estimable: no such image", **counted)
    clusters = intervals.renumbered(predictions.groups[rows])
    value, low, high, method = intervals.proportion(hits[rows], clusters, _LEVEL)
    return Metric(value=value, ci_low=low, ci_high=high, method=f"{method}{_narrow(predictions)}", **counted)


def _narrow(predictions: Predictions) -> str:
    """What the method of an interval says where images lack a patient key."""
    return "; likely too narrow" if (predictions.frame["patient"] == "").any() else ""


def _marked(found: MeanCalibration, predictions: Predictions) -> MeanCalibration:
    """Both numbers with what is said of their intervals."""
    both = {"difference": found.difference, "observed_expected": found.observed_expected}
    marked = {
        name: metric.model_copy(update={"method": f"{metric.method}{_narrow(predictions)}"})
        for name, metric in both.items()
        if metric.value is not None
    }
    return found.model_copy(update=marked)
