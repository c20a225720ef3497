"""From a split's predictions to the metrics document that evaluate prints and metrics.json keeps."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plainfilm.base.files import dump_json
from plainfilm.base.listing import some
from plainfilm.errors import DataError
from plainfilm.evaluate.abstention_document import band_report, gate_report, reliability_report
from plainfilm.evaluate.finished import FinishedRun
from plainfilm.evaluate.metrics.decision_curve import decision_curve
from plainfilm.evaluate.metrics.likelihood_ratios import likelihood_ratios
from plainfilm.evaluate.metrics.macro_means import macro_means
from plainfilm.evaluate.metrics.measure import measure_per_class, measure_sample
from plainfilm.evaluate.metrics.point_metrics import confusion_matrix, is_among_highest
from plainfilm.evaluate.metrics.prevalence import restated
from plainfilm.evaluate.metrics.sample import Sample, make_sample, metric
from plainfilm.evaluate.metrics.subgroups import subgroup_table
from plainfilm.evaluate.predictions import CHANGE, Predictions
from plainfilm.evaluate.shift.external_set import PREFIX
from plainfilm.evaluate.stats.intervals import Floats, Ints, proportion
from plainfilm.runs.card import KEPT_BEST, Card
from plainfilm.runs.folder import RunDir
from plainfilm.runs.metrics_file import saved_splits
from plainfilm.runs.run_manifest import write_file
from plainfilm.schemas.documents import Confusion, EvaluateDocument, Metric
from plainfilm.schemas.evaluate import PerPatient
from plainfilm.schemas.marks import is_marked


@dataclass(frozen=True)
class ExtraBlocks:
    """Optional blocks requested beside the metrics.

    prevalences: shares, 0..1. column: of subgroups; names: the subgroup of each image, '' = not given.
    """

    prevalences: list[float] = field(default_factory=list)
    column: str | None = None
    names: list[str] = field(default_factory=list)


_TOP_3_FROM = 5  # classes: of three, every image has its own among three
_NO_EXTRA_BLOCKS = ExtraBlocks()


def evaluate_document(
    finished: FinishedRun, split: str, predictions: Predictions, accesses: tuple[int, int],
    asked: ExtraBlocks = _NO_EXTRA_BLOCKS,
) -> EvaluateDocument:  # fmt: skip
    """The metrics document of one split, from saved predictions; the network does not run here.

    Args:
        accesses: of this set, by this run and by all runs.
    """
    card, positive, draws = finished.card, finished.positive, _draws(finished)
    sample, narrow = predictions.sample(positive, card.threshold), bool((predictions.frame["patient"] == "").any())
    per_class = {} if positive is not None else measure_per_class(sample, **draws)
    matrix, metrics = confusion_matrix(sample.predicted, sample.targs, len(card.vocab)), measure_sample(sample, **draws)
    at_half = metrics if positive is None else measure_sample(sample.at(0.5), **draws)  # more classes have no threshold
    return EvaluateDocument(
        run=str(finished.run.root), split=split, opened=accesses[0], opened_set=accesses[1], threshold=card.threshold,
        positive=card.positive, notes=[*_card_notes(card, split), *chosen_on_valid(card, split), *_never_predicted(sample, card.vocab, split, recalibrated=card.recalibration is not None)],
        metrics=warned(metrics, narrow), metrics_at_half=warned(at_half, narrow),
        per_class={card.vocab[k]: warned(metrics, narrow) for k, metrics in per_class.items()},
        top_3_accuracy=_top_3(sample, narrow), macro=macro_means(metrics, sample, card.vocab), likelihood_ratios=warned(likelihood_ratios(sample), narrow),
        confusion=Confusion(labels=card.vocab, rows=matrix.tolist()), temperature=card.temperature, bias=card.bias,
        threshold_range=card.threshold_range, reliability=reliability_report(card, predictions, sample, **draws),
        band=band_report(card, predictions), gate=gate_report(predictions),
        unadapted=warned(_unadapted(finished, split, predictions), narrow),
        **_blocks_beside(finished, predictions, sample, asked, narrow=narrow),
    )  # fmt: skip


def _top_3(sample: Sample, narrow: bool) -> Metric | None:
    """Share of images whose true class is among the three highest scores; None for fewer than five classes, or no image."""
    if len(sample.all_classes) < _TOP_3_FROM or not len(sample.targs):
        return None
    hits = is_among_highest(sample.probs, sample.targs, 3)
    return warned({"": metric(proportion(hits, sample.clusters), sample, sample.everyone)}, narrow)[""]


def _unadapted(finished: FinishedRun, split: str, predictions: Predictions) -> dict[str, Metric]:
    """Metrics of external images at the operating point before a recalibration; none where there was none."""
    about = finished.card.recalibration
    if about is None or not split.startswith(PREFIX):
        return {}
    before = finished.card.model_copy(update={"temperature": about.parent.temperature, "bias": about.parent.bias})
    sample = predictions.at(before.scaling).sample(finished.positive, about.parent.threshold)
    return measure_sample(sample, **_draws(finished))


def _card_notes(card: Card, split: str) -> list[str]:
    """The notes of the run; beside external images those on how its data were read say that they speak of these."""
    if not split.startswith(PREFIX):
        return card.notes
    return [note if is_marked(note) else f"Training data: {note}" for note in card.notes]


def _never_predicted(sample: Sample, vocab: list[str], split: str, *, recalibrated: bool = False) -> list[str]:
    """One note that names the classes that have images here and are never predicted; none where there is no such class.

    The threshold of a recalibrated version was set on local images; --threshold, which takes valid ones, is no way out.
    """
    images, predicted = (np.bincount(which, minlength=len(vocab)) for which in (sample.targs, sample.predicted))
    missed = [c for c in np.argsort(-images, kind="stable").tolist() if images[c] and not predicted[c]]
    if not missed:
        return []
    who = some([f"{vocab[c]} ({images[c]} {'image' if images[c] == 1 else 'images'})" for c in missed], 3)
    what = "1 class is" if len(missed) == 1 else f"{len(missed):,} classes are"
    todo = "Train longer, with more of their images or with --balance auto"
    if sample.positive is not None:
        todo = "Try another --threshold"
        if recalibrated:
            local = split.startswith(PREFIX)
            todo = "Recalibrate on more of its images" if local else "The threshold was set for another place"
    return [f"{what} never predicted on {split}: {who}. {todo}."]


def _draws(finished: FinishedRun) -> dict[str, Any]:
    """The options of `measure_sample` that the config sets."""
    return {"n_boot": finished.cfg.evaluate.n_boot, "seed": finished.cfg.train.seed}


def _blocks_beside(
    finished: FinishedRun, predictions: Predictions, sample: Sample, asked: ExtraBlocks, *, narrow: bool
) -> dict[str, Any]:
    """Further blocks: metrics per patient, decision curve, PPV and NPV at other prevalences, subgroups."""
    draws, blocks = _draws(finished), dict[str, Any]()
    changed = CHANGE in predictions.frame  # a mean over corrupted copies of an image has no use
    if predictions.patients is not None and not changed:
        blocks["per_patient"] = _per_patient(finished, predictions, predictions.patients, narrow=narrow)
    if not changed:
        blocks["decision_curve"] = decision_curve(sample, **draws)
    if asked.prevalences:
        rows = restated(sample, asked.prevalences)
        blocks["at_prevalence"] = [
            row.model_copy(update=warned({"ppv": row.ppv, "npv": row.npv}, narrow)) for row in rows
        ]
    if asked.column is not None:
        table = subgroup_table(sample, asked.names, asked.column, finished.card.vocab, seed=draws["seed"])
        groups = [group.model_copy(update={"metrics": warned(group.metrics, narrow)}) for group in table.groups]
        blocks["subgroups"] = table.model_copy(update={"groups": groups})
    return blocks


def _per_patient(finished: FinishedRun, predictions: Predictions, patients: np.ndarray, *, narrow: bool) -> PerPatient:
    """Metrics of each patient's mean score; `patients`: str (n,)."""
    people = _mean_per_patient(predictions.probs, predictions.targs, predictions.groups, patients)
    each = make_sample(
        people.probs, people.targs, people.groups, np.arange(len(people.targs)), positive=finished.positive,
        threshold=finished.card.threshold,
    )  # fmt: skip
    metrics = measure_sample(each, **_draws(finished))
    return PerPatient(
        patients=len(people.targs), disagreeing=people.disagreeing, metrics=warned(metrics, narrow),
        macro=macro_means(metrics, each, finished.card.vocab),
    )  # fmt: skip


def warned(metrics: dict[str, Metric], narrow: bool) -> dict[str, Metric]:
    """Mark each interval as likely too narrow where images lack a patient key (`narrow`)."""
    if not narrow:
        return metrics
    return {
        name: metric
        if metric.value is None
        else metric.model_copy(update={"method": f"{metric.method}; likely too narrow"})
        for name, metric in metrics.items()
    }


def chosen_on_valid(card: Card, split: str = "valid") -> list[str]:
    """The note that goes with valid scores: what was chosen on these same images."""
    if split == "test" or split.startswith(PREFIX):
        return []
    chosen = ["the epoch"] if card.kept_by == KEPT_BEST else []
    chosen += [_scaling_name(card)] if not card.scaling.is_identity and not _scaled_locally(card) else []
    chosen += ["the threshold"] if card.threshold_chosen_on.startswith("valid") else []
    if not chosen:
        return []
    verb = "was" if len(chosen) == 1 else "were"
    listed = " and ".join([", ".join(chosen[:-1]), chosen[-1]] if chosen[:-1] else chosen)
    return [f"{listed.capitalize()} {verb} chosen on the valid images; scores on them are optimistic."]


def _scaled_locally(card: Card) -> bool:
    return card.recalibration is not None and card.recalibration.prevalence is None


def _scaling_name(card: Card) -> str:
    return "the temperature and bias" if card.bias else "the temperature"


def save_metrics(run: RunDir, document: EvaluateDocument) -> None:
    """Put one split's document into metrics.json; a damaged file is replaced: it can be computed again."""
    saved: dict[str, Any] = {}
    with suppress(DataError):
        saved = saved_splits(run)
    kept = document.model_dump(mode="json", exclude={"run", "written"})
    write_file(run, run.metrics, dump_json({"schema_version": 1, **saved, document.split: kept}))


class _Patients(NamedTuple):
    """One row per patient whose images all have the same label.

    probs: float (m, k), means over the patient's images. targs, groups: (m,); patients of one group are resampled
    together. disagreeing: patients left out, since their images have several labels.
    """

    probs: Floats
    targs: Ints
    groups: NDArray[np.int64]
    disagreeing: int


def _mean_per_patient(probs: Floats, targs: Ints, groups: ArrayLike, patients: ArrayLike) -> _Patients:
    """Mean scores by patient.

    Args:
        probs: float (n, k). targs: int (n,). groups: int (n,), constant within a patient. patients: (n,) int or str.
    """
    _, first, who = np.unique(np.asarray(patients), return_index=True, return_inverse=True)
    size = np.bincount(who)
    means = np.column_stack([np.bincount(who, weights=column) / size for column in probs.T])
    agree = np.ones(len(first), dtype=bool)
    agree[who[targs != targs[first][who]]] = False
    rows = first[agree]
    return _Patients(means[agree], targs[rows], np.asarray(groups)[rows], int((~agree).sum()))
