"""The blocks of a metrics document for the abstain band, the OOD gate and the reliability diagram."""

from __future__ import annotations

from typing import Any

import numpy as np

from plainfilm.evaluate.metrics.calibration import reliability
from plainfilm.evaluate.metrics.measure import confidences
from plainfilm.evaluate.metrics.predicted_class import predicted_classes
from plainfilm.evaluate.metrics.sample import Sample
from plainfilm.evaluate.operating.conformal import LIKE_VALID, in_set, is_singleton
from plainfilm.evaluate.predictions import AS_TRAINED, OOD, Predictions
from plainfilm.evaluate.stats import intervals
from plainfilm.evaluate.stats.intervals import Bools
from plainfilm.runs.card import Card
from plainfilm.schemas.evaluate import Metric
from plainfilm.schemas.operating import AbstainBandReport, OODGateReport, Reliability, ReliabilityBin

_LEVEL = 0.95


def band_report(card: Card, predictions: Predictions) -> AbstainBandReport | None:
    """Coverage by class, the share not abstained and the error among them; None without a band."""
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
        holds=LIKE_VALID,
    )  # fmt: skip


def gate_report(predictions: Predictions) -> OODGateReport | None:
    """The share of images marked out of distribution; None for a run without an OOD gate."""
    if OOD not in predictions.frame:
        return None
    rows, on = _unused_rows(predictions)
    marked = predictions.frame[OOD].to_numpy() > 1
    return OODGateReport(on=on, marked=_share(marked, rows, predictions))


def reliability_report(card: Card, predictions: Predictions, sample: Sample) -> Reliability:
    """The diagram's points with the run's scaling, from the sample, and, where there is one, as trained."""
    trained = card.scaling.is_identity
    return Reliability(
        temperature=card.temperature,
        bias=card.bias,
        before=[] if trained else _bins(predictions.at(AS_TRAINED).sample(card.positive_index, None)),
        after=_bins(sample),
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
    clusters = np.unique(predictions.groups[rows], return_inverse=True)[1]
    value, low, high, method = intervals.proportion(hits[rows], clusters, _LEVEL)
    narrow = "; likely too narrow" if (predictions.frame["patient"] == "").any() else ""
    return Metric(value=value, ci_low=low, ci_high=high, method=f"{method}{narrow}", **counted)
