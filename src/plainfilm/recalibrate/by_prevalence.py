"""`plainfilm recalibrate --prevalence-threshold P`: the threshold alone, from unlabelled images and their share of positives."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from plainfilm.base.events import EventCallback
from plainfilm.data.split.valid_roles import calibrates
from plainfilm.errors import UsageError
from plainfilm.evaluate.finished import SHIFTED, FinishedRun
from plainfilm.evaluate.ood.ood_gate import share_marked
from plainfilm.evaluate.stats.intervals import Floats
from plainfilm.recalibrate import prevalence
from plainfilm.recalibrate.local_images import Parent, ParentBundle
from plainfilm.recalibrate.new_version import Version, lineage, write_version
from plainfilm.recalibrate.unlabelled import Unlabelled, read_unlabelled
from plainfilm.schemas.marks import RECALIBRATED
from plainfilm.schemas.operating import Recalibration
from plainfilm.schemas.recalibrate import OtherPrevalence, PrevalenceCheck, RecalibrateDocument

_OTHERS = (-0.1, 0.1)  # how wrong the stated share may be


def by_prevalence(
    parent: Parent,
    path: Path,
    place: Path,
    on: Path,
    share: float,
    seed: int,
    on_event: EventCallback,
) -> RecalibrateDocument:
    """A version whose threshold predicts a share of the unlabelled images positive; scores stay as they are.

    Raises:
        UsageError: more than two classes, or a share outside 0..1.
    """
    card, positive = parent.card, parent.card.positive_index
    if positive is None:
        raise UsageError(
            "--prevalence-threshold needs two classes; with more, the class with the highest score is predicted."
        )
    if not 0 < share < 1:
        raise UsageError(
            f"--prevalence-threshold {share:g} is outside 0..1; give the share of positive images, e.g. 0.3."
        )
    with parent.known.decoding():
        images = read_unlabelled(parent, on, on_event)
    scores = card.scaling.probs(images.logits)[:, positive]
    threshold = prevalence.threshold_for(scores, share)
    about = _about(parent, path, images, share)
    notes = [_note(about), *(note for note in card.notes if not note.startswith("BOUND"))]
    changed = {
        "threshold": threshold, "threshold_rule": f"{share:g} predicted positive", "threshold_range": None,
        "threshold_chosen_on": "unlabelled local images", "recalibration": about,
        "notes": notes,
    }  # fmt: skip
    rows = pd.DataFrame({"path": images.paths, "sha256": images.keys, "use": "unlabelled"})
    new = card.model_copy(update=changed)
    written = write_version(parent, path, place, Version(new, None, rows))
    return RecalibrateDocument(
        run=str(place), parent=str(path), method="prevalence", n_images=about.images, n_patients=None,
        fitted_images=about.images, fitted_patients=None, positive=card.positive, intercept=None, slope=None,
        threshold=threshold, threshold_before=card.threshold, threshold_rule=new.threshold_rule, threshold_range=None,
        before={}, after={}, difference={}, learning_curve=[], prevalence=share,
        other_prevalences=[_other(scores, share + step, threshold) for step in _OTHERS if 0 < share + step < 1],
        prevalence_check=_check(parent, scores, positive, seed), written=written,
        ood_marked=share_marked(images.ood),
        notes=[*notes, *images.notes],
    )  # fmt: skip


def _about(parent: Parent, path: Path, images: Unlabelled, share: float) -> Recalibration:
    return Recalibration(
        method="prevalence", **lineage(parent, path),
        images=len(images.paths), patients=None, fitted_images=len(images.paths), fitted_patients=None,
        fingerprint=hashlib.sha256("\n".join(sorted(images.keys)).encode()).hexdigest(), prevalence=share,
    )  # fmt: skip


def _note(about: Recalibration) -> str:
    return (
        f"{RECALIBRATED}: by prevalence. The threshold predicts the share {about.prevalence:g} of {about.images:,} unlabelled local "
        f"images positive ({about.date}). It is right where that share is."
    )


def _other(scores: Floats, share: float, threshold: float) -> OtherPrevalence:
    other = prevalence.threshold_for(scores, share)
    changed = int(((scores >= other) != (scores >= threshold)).sum())
    return OtherPrevalence(prevalence=round(share, 10), threshold=other, changed=changed)


def _check(parent: Parent, scores: Floats, positive: int, seed: int) -> PrevalenceCheck:
    """What the scores themselves say of the share, where the run's own calibrate images can be compared."""
    if why := _incomparable(parent):
        return PrevalenceCheck(p=None, em=None, bbse=None, says=why)
    card = parent.card
    known, labels = _calibrate_scores(parent.known, positive)
    found = prevalence.nearest_mixture(scores, known, labels, seed)
    if found.p < prevalence.REJECTED:
        return PrevalenceCheck(p=found.p, em=None, bbse=None, says="Prevalence alone does not explain these scores.")
    em = prevalence.em_share(scores, float(labels.mean()))
    bbse = prevalence.bbse_share(scores, known, labels, card.threshold if card.threshold is not None else 0.5)
    return PrevalenceCheck(p=found.p, em=em, bbse=bbse, says="Another prevalence alone can explain these scores.")


def _incomparable(parent: Parent) -> str:
    """Why unlabelled scores cannot be compared with those of valid; '' where they can."""
    card = parent.card
    if isinstance(parent, ParentBundle):
        return "A bundle holds no valid scores, so the share cannot be compared with them."
    if card.recalibration is not None or card.threshold_chosen_on == SHIFTED:
        return "The run's scores are not scaled to its valid images, so the share cannot be compared with them."
    return "" if card.bias else "The run's scores have no fitted bias, so they say nothing about the share."


def _calibrate_scores(run: FinishedRun, positive: int) -> tuple[Floats, np.ndarray]:
    """Scores of the valid images that set the operating point, and whether each is positive."""
    valid, used = run.predictions("valid").at(run.card.scaling), calibrates(run.part("valid"))
    return valid.probs[used, positive], np.asarray(valid.targs[used] == positive)
