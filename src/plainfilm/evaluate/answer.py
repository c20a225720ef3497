"""A split's predictions become the document that evaluate prints and metrics.json keeps."""

from __future__ import annotations

import json
from typing import Any

from plainfilm.card import Card
from plainfilm.config import ExperimentConfig
from plainfilm.evaluate.metrics import calls, confusion_matrix, measure, measure_per_class
from plainfilm.evaluate.predictions import Predictions
from plainfilm.runs import RunDir, atomic_write, dump_json
from plainfilm.schemas import Confusion, EvaluateDocument, Metric

CHOSEN_ON_VALID = "The epoch and the threshold were chosen on the valid images; scores on them flatter."


def answer(
    run: RunDir, card: Card, split: str, predictions: Predictions, cfg: ExperimentConfig, looks: tuple[int, int]
) -> EvaluateDocument:
    positive = card.vocab.index(card.positive) if card.positive else None
    sample: dict[str, Any] = dict(
        probs=predictions.probs, targs=predictions.targs, clusters=predictions.groups, patients=predictions.patients,
        positive=positive, n_boot=cfg.evaluate.n_boot, seed=cfg.train.seed,
    )  # fmt: skip
    called = calls(predictions.probs, positive=positive, threshold=card.threshold)
    matrix = confusion_matrix(called, predictions.targs, len(card.vocab))
    per_class = {} if positive is not None else measure_per_class(threshold=None, **sample)
    return EvaluateDocument(
        run=str(run.root), split=split, opened=looks[0], opened_set=looks[1], threshold=card.threshold,
        positive=card.positive, notes=[*card.notes, *([CHOSEN_ON_VALID] if split == "valid" else [])],
        metrics=_warned(measure(threshold=card.threshold, **sample)),
        metrics_at_half=_warned(measure(threshold=None if positive is None else 0.5, **sample)),
        per_class={card.vocab[k]: _warned(metrics) for k, metrics in per_class.items()},
        confusion=Confusion(labels=card.vocab, rows=matrix.tolist()),
    )  # fmt: skip


def _warned(metrics: dict[str, Metric]) -> dict[str, Metric]:
    """Each interval of a set without a patient key says that it is likely too narrow."""
    return {
        name: metric
        if metric.n_patients is not None or metric.value is None
        else metric.model_copy(update={"method": f"{metric.method}; likely too narrow"})
        for name, metric in metrics.items()
    }


def save_metrics(run: RunDir, document: EvaluateDocument) -> None:
    saved = json.loads(run.metrics.read_text(encoding="utf-8")) if run.metrics.is_file() else {"schema_version": 1}
    atomic_write(run.metrics, dump_json({**saved, document.split: document.model_dump(mode="json", exclude={"run"})}))
