"""A split's predictions become the document that evaluate prints and metrics.json keeps."""

from __future__ import annotations

import json
from typing import Any

from plainfilm.card import KEPT_BEST, Card
from plainfilm.config import ExperimentConfig
from plainfilm.evaluate.metrics import calls, confusion_matrix, measure, measure_per_class
from plainfilm.evaluate.predictions import Predictions
from plainfilm.evaluate.unsure import band_report, gate_report, reliability_report
from plainfilm.runs import RunDir, atomic_write, dump_json
from plainfilm.schemas import Confusion, EvaluateDocument, Metric


def answer(
    run: RunDir, card: Card, split: str, predictions: Predictions, cfg: ExperimentConfig, looks: tuple[int, int]
) -> EvaluateDocument:
    positive = card.vocab.index(card.positive) if card.positive else None
    sample: dict[str, Any] = dict(
        probs=predictions.probs, targs=predictions.targs, clusters=predictions.groups, patients=predictions.patients,
        positive=positive, n_boot=cfg.evaluate.n_boot, seed=cfg.train.seed,
    )  # fmt: skip
    narrow = bool((predictions.frame["patient"] == "").any())
    called = calls(predictions.probs, positive=positive, threshold=card.threshold)
    matrix = confusion_matrix(called, predictions.targs, len(card.vocab))
    per_class = {} if positive is not None else measure_per_class(threshold=None, **sample)
    return EvaluateDocument(
        run=str(run.root), split=split, opened=looks[0], opened_set=looks[1], threshold=card.threshold,
        positive=card.positive, notes=[*card.notes, *chosen_on_valid(card, split)],
        metrics=_warned(measure(threshold=card.threshold, **sample), narrow),
        metrics_at_half=_warned(measure(threshold=None if positive is None else 0.5, **sample), narrow),
        per_class={card.vocab[k]: _warned(metrics, narrow) for k, metrics in per_class.items()},
        confusion=Confusion(labels=card.vocab, rows=matrix.tolist()), temperature=card.temperature,
        reliability=reliability_report(card, predictions), band=band_report(card, predictions),
        gate=gate_report(predictions),
    )  # fmt: skip


def _warned(metrics: dict[str, Metric], narrow: bool) -> dict[str, Metric]:
    """Each interval says that it is likely too narrow where images lack a patient key."""
    if not narrow:
        return metrics
    return {
        name: metric
        if metric.value is None
        else metric.model_copy(update={"method": f"{metric.method}; likely too narrow"})
        for name, metric in metrics.items()
    }


def chosen_on_valid(card: Card, split: str = "valid") -> list[str]:
    """The sentence that belongs beside valid scores: what was chosen on those very images."""
    if split == "test":
        return []
    chosen = ["the epoch"] if card.kept_by == KEPT_BEST else []
    chosen += ["the temperature"] if card.temperature != 1 else []
    chosen += ["the threshold"] if card.threshold_chosen_on.startswith("valid") else []
    if not chosen:
        return []
    verb = "was" if len(chosen) == 1 else "were"
    listed = " and ".join([", ".join(chosen[:-1]), chosen[-1]] if chosen[:-1] else chosen)
    return [f"{listed.capitalize()} {verb} chosen on the valid images; scores on them flatter."]


def save_metrics(run: RunDir, document: EvaluateDocument) -> None:
    """Put one split's document into metrics.json; a damaged file is begun anew, since it can be made again."""
    try:
        saved = json.loads(run.metrics.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        saved = {"schema_version": 1}
    kept = document.model_dump(mode="json", exclude={"run"})
    atomic_write(run.metrics, dump_json({**saved, document.split: kept}))
