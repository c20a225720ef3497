"""All images on the page: the figures of the run, those drawn here where it has none, and the largest losses."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np

from plainfilm.base.files import png_uri
from plainfilm.base.listing import LISTED
from plainfilm.base.sanitize import sanitized
from plainfilm.errors import DataError
from plainfilm.evaluate.metrics.predicted_class import predicted_classes
from plainfilm.plots import base
from plainfilm.plots.curves import MOST_CURVES
from plainfilm.report.run_data import ReportedRun
from plainfilm.runs.run_manifest import read_verified
from plainfilm.schemas.documents import marks

_SHOWN = 12
_MATRIX = "confusion_{split}"
_PNG = b"\x89PNG\r\n\x1a\n"
_MOST_BYTES = 8_000_000  # of one figure; those of plainfilm have at most 0.5 MB
HEAT_NOTE = "Heat maps are not evidence of location; at best they show roughly what the score depends on."
# name of the figure -> (section, caption); {split} is filled in
_FIGURES = {
    "history": (
        "training",
        "Accuracy, loss and learning rate per epoch; the kept epoch is marked. Train scores are measured with dropout on, so they may be below those on valid.",
    ),
    "scores_{split}": ("operating", "Score distributions of both classes, with the threshold"),
    "roc_{split}": ("metrics", "ROC curve with a 95 % band and the operating point"),
    "precision_recall_{split}": ("metrics", "Precision-recall curve with a 95 % band"),
    _MATRIX: ("metrics", "Confusion matrix: each row is a true class, and darker cells are a larger share of it"),
    "reliability_{split}": (
        "calibration",
        "Reliability diagram: observed frequency against score, in bins and as a smooth curve with its 95 % band. Above the diagonal the scores are too low, below it too high.",
    ),
    "decision_curve_{split}": (
        "operating",
        "Decision curve: net benefit against threshold at this set's prevalence, with a 95 % band for all thresholds together",
    ),
    "confused_{split}": ("errors", "The errors by true class"),
    "heat_deletion": ("heat", "Deletion: how the score falls as the hottest or random patches are removed"),
    "heat_randomised": ("heat", "Heat maps after randomising the weights"),
    "heat_field": ("heat", "Mean heat and the central field"),
}


@dataclass(frozen=True)
class _EmbeddedImage:
    """A PNG as a data URI, with its caption, which is also the alternative text."""

    source: str
    caption: str


@dataclass(frozen=True)
class _Worst:
    """One image of the largest losses; `row` counts from 0 in predictions/<split>.csv; `name` is '' unless asked for."""

    source: str
    row: int
    truth: str
    predicted: str
    score: float
    name: str


def collect(found: ReportedRun) -> dict[str, list[_EmbeddedImage]]:
    """The figures by section: the PNGs that `interpret` made, or, without them, history and scores drawn here."""
    drawn: dict[str, list[_EmbeddedImage]] = {section: [] for section, _ in _FIGURES.values()}
    for pattern, (section, caption) in _FIGURES.items():
        if pattern == _MATRIX and len(found.card.vocab) <= LISTED:  # a table shows it
            continue
        name = pattern.format(split=found.split)
        png = _saved(found, name) or _drawn(found, pattern)
        if png:
            drawn[section].append(_EmbeddedImage(png_uri(png), _caption(pattern, caption, len(found.card.vocab))))
    return drawn


def _caption(pattern: str, caption: str, classes: int) -> str:
    """With more than two classes there is no operating point, and of many not every class has a curve."""
    if classes == 2 or not pattern.startswith(("roc", "precision")):
        return caption
    what = "ROC" if pattern.startswith("roc") else "Precision-recall"
    if classes > MOST_CURVES:
        return (
            f"{what}: mean over the classes, each against the rest, and the best and the worst class with a 95 % band"
        )
    return f"{what} curve of each class against the rest"


def heat_sheet(found: ReportedRun) -> _EmbeddedImage | None:
    """The largest losses with heat, as `interpret` drew them; None where the sheet of this split was drawn without."""
    drawn = found.has_heat and (found.heat is None or found.split in found.heat.sheets)
    png = _saved(found, f"top_losses_{found.split}") if drawn else None
    caption = f"Largest losses of {found.split}, each beside its heat map for the predicted class. {HEAT_NOTE}"
    return _EmbeddedImage(png_uri(png), caption) if png else None


def _saved(found: ReportedRun, name: str) -> bytes | None:
    path = found.run.figure(name)
    if not path.is_file() or path.stat().st_size > _MOST_BYTES:
        return None
    png = path.read_bytes()
    return png if png.startswith(_PNG) else None


def _drawn(found: ReportedRun, pattern: str) -> bytes | None:
    mark = marks(found.card.notes)
    if pattern == "history":
        return base.as_png(base.plot_history(found.history, found.kept, f"{mark}Training"))
    k = found.positive
    if pattern == "scores_{split}" and k is not None and found.card.threshold is not None:
        scored = found.predictions(found.split)
        # a dollar sign starts a formula, and matplotlib raises on a broken one
        vocab = [sanitized(name, 24).replace("$", r"\$") for name in found.card.vocab]
        names = (vocab[1 - k], vocab[k])
        title = f"{mark}Scores, {found.split}, {len(scored.frame)} images"
        return base.as_png(base.plot_scores(scored.probs[:, k], scored.targs == k, found.card.threshold, names, title))
    return None


def worst_images(found: ReportedRun, *, names: bool) -> list[_Worst]:
    """The images of the largest losses as input to the network, worst first; empty if they were not kept.

    Raises:
        DataError: the predictions or the images are damaged.
    """
    path = found.run.top_images(found.split)
    if not path.is_file():
        return []
    images, scored = _images(found), found.predictions(found.split)
    positive = found.positive
    predicted = predicted_classes(scored.probs, positive=positive, threshold=found.card.threshold)
    relative = found.part(found.split)["relative"].tolist()
    return [
        _Worst(
            png_uri(_as_png(image)), int(i), found.card.vocab[scored.targs[i]], found.card.vocab[predicted[i]],
            float(scored.probs[i, predicted[i] if positive is None else positive]), relative[i] if names else "",
        )
        for i, image in zip(scored.worst(len(images)), images[:_SHOWN], strict=False)
    ]  # fmt: skip


def _images(found: ReportedRun) -> np.ndarray:
    """uint8 (n, h, w) or (n, h, w, 3)."""
    path = found.run.top_images(found.split)
    try:
        images: np.ndarray = np.load(io.BytesIO(read_verified(found.run, path)), allow_pickle=False)
    except (OSError, ValueError, EOFError):
        images = np.zeros(0)
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] != 3):
        raise DataError(
            f"predictions/{path.name} of {found.run.root} is damaged. Restore it from a backup, or remove it: the report then shows no images."
        )
    return images


def _as_png(image: np.ndarray) -> bytes:
    """The image as PNG, at most about 320 pixels wide; a larger one is reduced to every k-th pixel."""
    from matplotlib.image import imsave

    step = -(-image.shape[1] // 320)
    image = image[::step, ::step]
    image = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image
    buffer = io.BytesIO()
    nothing: dict[str, Any] = {"Software": None}
    imsave(buffer, np.ascontiguousarray(image), format="png", metadata=nothing)
    return buffer.getvalue()
