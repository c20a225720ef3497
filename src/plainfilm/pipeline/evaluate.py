"""What `evaluate` asks beside the metrics of a split: external images, subgroups, other prevalences, and what is kept."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from plainfilm.base.events import Listener
from plainfilm.base.files import atomic_write
from plainfilm.config import ExperimentConfig
from plainfilm.errors import UsageError
from plainfilm.evaluate.document import Asked, answer, save_metrics
from plainfilm.evaluate.heldout import look_at_external
from plainfilm.evaluate.metrics.subgroup_columns import subgroup_names
from plainfilm.evaluate.shift.external_set import read_external
from plainfilm.evaluate.shift.generalization_gap import external_block
from plainfilm.evaluate.shortcuts.probe_baseline import read_train_probes
from plainfilm.pipeline.weights_overlap import refuse_taught
from plainfilm.runs.card import Card
from plainfilm.runs.folder import RunDir
from plainfilm.schemas.documents import EvaluateDocument, marks


def questions(
    card: Card, cfg: ExperimentConfig, rows: pd.DataFrame, prevalences: list[float] | None, by: str | None,
    data: Path | None = None,
) -> Asked:  # fmt: skip
    """What is asked of these rows, checked; `by` may be a column of `data`, by default the DATA of the run.

    Raises:
        UsageError: more than two classes, or no such column. DataError: the CSV is gone.
    """
    if prevalences and card.positive is None:
        raise UsageError(f"--prevalence needs two classes; this run has {len(card.vocab)}. Leave it out.")
    data = data or (Path(cfg.data.path) if cfg.data.path else None)
    return Asked(prevalences or [], by, [] if by is None else subgroup_names(rows, by, data))


def evaluate_external(
    run: RunDir, card: Card, cfg: ExperimentConfig, rows: pd.DataFrame, path: Path, prevalences: list[float] | None,
    by: str | None, names: dict[str, str], patient_pattern: str | None, device: str, listener: Listener,
) -> EvaluateDocument:  # fmt: skip
    """All that can be refused is refused before the look."""
    external = read_external(
        path.absolute(), card, cfg, rows, names=names, patient_pattern=patient_pattern, listener=listener
    )
    first = refuse_taught(external.rows, run, card)
    asked = questions(card, cfg, external.rows, prevalences, by, external.path)
    probes = read_train_probes(run, rows)
    predictions, pixels, looks = look_at_external(run, card, external, device, listener, keep=cfg.data.cache)
    document = answer(run, card, external.name, predictions, cfg, looks, asked)
    block = external_block(run, card, cfg, rows, external, document.metrics, probes, pixels)
    return document.model_copy(
        update={"external": block, "notes": list(dict.fromkeys([*document.notes, *external.notes, *first]))}
    )


def save(run: RunDir, document: EvaluateDocument, *, keep: bool) -> EvaluateDocument:
    """The document, with its place in metrics.json and its figure where it is to be kept."""
    if keep:
        save_metrics(run, document)
        _draw_decision_curve(run, document)
    return document


def _draw_decision_curve(run: RunDir, document: EvaluateDocument) -> None:
    """The figure beside the numbers, of two classes."""
    if document.decision_curve is None or document.positive is None:
        return
    from plainfilm.plots.base import as_png
    from plainfilm.plots.decision_curve import plot_decision_curve

    curve = document.decision_curve
    title = f"{marks(document.notes)}Decision curve, {document.split}, {curve.n} images"
    figure = plot_decision_curve(curve, document.positive, title, document.threshold)
    atomic_write(run.figure(f"decision_curve_{document.split}"), as_png(figure))
