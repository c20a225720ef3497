"""`plainfilm recalibrate`: a new version of a run or bundle whose operating point fits another place."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import ValidationError

from plainfilm.base.events import EventCallback, silent
from plainfilm.config import EvaluateConfig
from plainfilm.data.table.saved_table import COLUMNS
from plainfilm.errors import DataError, UsageError
from plainfilm.evaluate.ood.ood_gate import share_marked
from plainfilm.evaluate.operating.conformal import fit_band
from plainfilm.evaluate.operating.operating_point import scaling_fields, threshold_fields
from plainfilm.evaluate.operating.threshold_range import Threshold
from plainfilm.evaluate.operating.thresholds import is_fixed
from plainfilm.evaluate.shift.external_set import ExternalRequest
from plainfilm.evaluate.stats.intervals import Bools, renumbered
from plainfilm.evaluate.test_ledger import seal_of
from plainfilm.recalibrate.by_prevalence import by_prevalence
from plainfilm.recalibrate.local_fit import LocalPoint, LocalRule, LocalScores, fit_local, halves
from plainfilm.recalibrate.local_gate import refitted_gate
from plainfilm.recalibrate.local_images import LocalImages, Parent, open_parent, read_local
from plainfilm.recalibrate.local_report import LocalReport, cross_judged, judged, learning_curve, report
from plainfilm.recalibrate.new_version import Version, lineage, place_of, write_version
from plainfilm.runs.card import AbstainBand, Card
from plainfilm.schemas.marks import RECALIBRATED, is_marked
from plainfilm.schemas.number_text import estimate_text
from plainfilm.schemas.operating import Recalibration
from plainfilm.schemas.recalibrate import LearningPoint, RecalibrateDocument

_CHANCE = 0.5  # AUROC
_BAND_PATIENTS = 20  # of each class; with fewer the band is dropped
# notes on the parent's operating point, which are about another one now
_REPLACED = (RECALIBRATED, "TEMPERATURE", "BOUND", "NO ABSTAIN BAND")
_METHODS = ("auto", "intercept", "platt")


@dataclass(frozen=True)
class RecalibrateRequest:
    """What is recalibrated on, and how.

    on: the local images; labelled, or, with `prevalence`, without labels. out: the new version; None: beside the parent.
    method: auto, intercept or platt. cross_fit: fit on all, judge each half by the fit of the other. refit_gate: set the
    OOD gate's limit again. prevalence: share of positive images, 0..1, which sets the threshold alone. seed: of halves
    and draws. data: where the run's DATA is now, if it was moved.
    """

    on: ExternalRequest
    out: Path | None = None
    method: str = "auto"
    cross_fit: bool = False
    refit_gate: bool = False
    prevalence: float | None = None
    seed: int = 0
    device: str = "cpu"
    data: Path | None = None


def recalibrate(path: Path, request: RecalibrateRequest, on_event: EventCallback = silent) -> RecalibrateDocument:
    """A new version beside the parent, which stays as it is.

    Raises:
        UsageError: options that do not fit. OccupiedError: the place is taken. DataError, BundleError, SealError: the
            parent or the local images cannot be read, or are not external to it.
    """
    if request.method not in _METHODS:
        raise UsageError(f"--method {request.method!r} is not known; expected {', '.join(_METHODS)}.")
    parent = open_parent(path, request.device, request.data, on_event)
    place = place_of(parent, path, request.out)
    if request.on.path.is_dir() and place.is_relative_to(request.on.path.absolute()):
        raise UsageError(
            f"--out {place} is inside the local images; it would be read as a class. Choose another --out."
        )
    if request.prevalence is not None:
        return by_prevalence(parent, path, place, request.on.path, request.prevalence, request.seed, on_event)
    local = read_local(parent, request.on, on_event)
    made = _fitted(parent, path, local, request)
    written = write_version(parent, path, place, made.version)
    return _document(parent, path, place, local, made, written)


@dataclass(frozen=True)
class _Fitted:
    """What was done, what it was judged to do, the version that has it, and what is said of it."""

    about: Recalibration
    report: LocalReport
    curve: list[LearningPoint]
    version: Version
    notes: list[str]


def _fitted(parent: Parent, path: Path, local: LocalImages, request: RecalibrateRequest) -> _Fitted:
    card, scores, seed = parent.card, local.scores, request.seed
    how = LocalRule(card.scaling, card.threshold, _rule_of(card), card.positive_index, request.method)
    fits = halves(scores, seed)
    used = np.ones_like(fits) if request.cross_fit else fits
    point, judging = fit_local(scores.among(used), how), scores.among(~fits)
    if request.cross_fit:
        before, after, on = judged(scores, how.as_it_is, how.positive), cross_judged(scores, fits, how), scores
    else:
        before, after, on = judged(judging, how.as_it_is, how.positive), judged(judging, point, how.positive), judging
    found = report(on, before, after, positive=how.positive, has_patients=local.has_patients, seed=seed)
    _refuse_inverted(found)
    gate, ood_factor = refitted_gate(parent, local, used) if request.refit_gate else (None, 1.0)
    about, fitted = _about(parent, path, local, used, point, found, cross_fit=request.cross_fit), scores.among(used)
    threshold, band = (
        _threshold(fitted, point, how, has_patients=local.has_patients, seed=seed),
        _band(card, fitted, point, seed),
    )
    said = [threshold.note if threshold else "", _not_better(found), _no_slope(point), _no_band(card, band)]
    notes = [*local.notes, *filter(None, said)]
    kept = [note for note in notes if is_marked(note)]
    changed = {
        **scaling_fields(point.scaling, card.vocab), **threshold_fields(threshold), "band": band, "recalibration": about,
        **({"threshold_rule": how.rule} if threshold else {}),
        **({"threshold_chosen_on": "local images"} if threshold and not is_fixed(how.rule) else {}),
        "notes": [_note(about), *kept, *(note for note in card.notes if not note.startswith(_REPLACED))],
        **({"gate_sha256": hashlib.sha256(gate).hexdigest(), "gate_kinds": None} if gate else {}),
    }  # fmt: skip
    new = card.model_copy(update=changed)
    return _Fitted(
        about, found, learning_curve(scores.among(fits), judging, how, seed),
        Version(new, gate, _local_rows(local, used), ood_factor), [*new.notes, *(note for note in notes if note not in kept)],
    )  # fmt: skip


def _refuse_inverted(found: LocalReport) -> None:
    """Refuse scores that clearly rank the classes the wrong way round: no line with a rising slope mends that."""
    auroc = found.before["auroc"]
    if auroc.ci_high is not None and auroc.ci_high < _CHANCE:
        raise DataError(
            f"On the local images the score ranks the classes the wrong way round: AUROC {estimate_text(auroc)}, below 0.5. Check "
            "the labels and --map; recalibration cannot mend a ranking."
        )


def _not_better(found: LocalReport) -> str:
    """The note on a version that does not improve the patients who fitted nothing."""
    brier = found.difference["brier"]
    if brier.value is None or brier.value < 0:
        return ""
    return f"NOT BETTER: the Brier score of the images that judge changed by {estimate_text(brier, '+.3f')}; below 0 is better."


def _no_slope(point: LocalPoint) -> str:
    if point.method == point.wanted:
        return ""
    return "NO SLOPE: none between 0.1 and 10 fits these images best, so that the intercept alone was fitted."


def _no_band(card: Card, band: AbstainBand | None) -> str:
    if card.band is None or band is not None:
        return ""
    return f"NO ABSTAIN BAND: a class has fewer than {_BAND_PATIENTS} fitted local patients."


def _rule_of(card: Card) -> str:
    """The run's rule for the threshold, where it is one that can be applied again."""
    try:
        return EvaluateConfig(threshold=card.threshold_rule).threshold
    except ValidationError:
        return EvaluateConfig().threshold


def _band(card: Card, scores: LocalScores, point: LocalPoint, seed: int) -> AbstainBand | None:
    """The abstain band of the fitted images; None where a class has too few patients, or the parent has none."""
    if card.band is None or min(scores.patients_of_class) < _BAND_PATIENTS:
        return None
    clusters = renumbered(scores.clusters)
    return fit_band(point.probs(scores), scores.targs, clusters, card.vocab, level=card.band.level, seed=seed)


def _threshold(
    scores: LocalScores, point: LocalPoint, how: LocalRule, *, has_patients: bool, seed: int
) -> Threshold | None:
    """The point's threshold with its range and note; None for more than two classes."""
    if how.positive is None:
        return None
    return Threshold.chosen(
        how.rule, point.probs(scores)[:, how.positive], scores.targs == how.positive, scores.clusters,
        has_patients=has_patients, seed=seed,
    )  # fmt: skip


def _about(
    parent: Parent, path: Path, local: LocalImages, used: Bools, point: LocalPoint, found: LocalReport,
    *, cross_fit: bool,
) -> Recalibration:  # fmt: skip
    card = parent.card
    line = (None, None) if card.positive_index is None else point.added.line(card.positive_index)
    fitted = local.scores.among(used)
    return Recalibration(
        method=point.method, **lineage(parent, path),
        images=len(local.rows), patients=local.patients, fitted_images=len(fitted.targs),
        fitted_patients=fitted.patients if local.has_patients else None, fingerprint=seal_of(local.rows[used]),
        intercept=line[0], slope=line[1], cross_fitted=cross_fit, before=found.before, after=found.after,
    )  # fmt: skip


def _note(about: Recalibration) -> str:
    people = "" if about.fitted_patients is None else f"{about.fitted_patients:,} local patients, "
    line = "intercept and slope" if about.method == "platt" else "the intercept"
    return (
        f"{RECALIBRATED}: on {people}{about.fitted_images:,} local images ({about.date}; {line}): scores and predicted classes are "
        "meant for that place."
    )


def _local_rows(local: LocalImages, used: Bools) -> pd.DataFrame:
    columns = [name for name in COLUMNS if name in local.rows]
    return local.rows[columns].assign(use=np.where(used, "fitted", "judged"))


def _document(
    parent: Parent, path: Path, place: Path, local: LocalImages, made: _Fitted, written: list[str]
) -> RecalibrateDocument:  # fmt: skip
    about, card = made.about, made.version.card
    return RecalibrateDocument(
        run=str(place), parent=str(path), method=about.method, n_images=about.images, n_patients=about.patients,
        fitted_images=about.fitted_images, fitted_patients=about.fitted_patients, positive=card.positive,
        intercept=about.intercept, slope=about.slope, threshold=card.threshold, threshold_before=parent.card.threshold,
        threshold_rule=card.threshold_rule, threshold_range=card.threshold_range, before=made.report.before,
        after=made.report.after, difference=made.report.difference, learning_curve=made.curve, other_prevalences=[],
        ood_marked=share_marked(local.ood),
        gate_refitted=made.version.gate is not None, notes=made.notes, written=written,
    )  # fmt: skip
