"""Everything on the page that is a picture: the run's figures, those drawn here where it has none, and the worst images."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np

from plainfilm.base.sanitize import sanitized
from plainfilm.errors import DataError
from plainfilm.evaluate.metrics.predicted_class import predicted_classes
from plainfilm.plots import base
from plainfilm.report.run_data import ReportedRun
from plainfilm.schemas.documents import marks

_SHOWN = 12
_PNG = b"\x89PNG\r\n\x1a\n"
_MOST_BYTES = 8_000_000  # of one figure; ours have at most 0.5 MB
HEAT_NOTE = "Heat maps are not evidence of location: they show what the score reacts to, roughly."
# name of the figure -> (section, caption); {split} is filled in
_FIGURES = {
    "history": ("training", "Accuracy and loss per epoch; the kept epoch is marked"),
    "scores_{split}": ("operating", "How the scores of both classes lie about the threshold"),
    "roc_{split}": ("metrics", "ROC curve with a 95 % band and the operating point"),
    "precision_recall_{split}": ("metrics", "Precision against recall with a 95 % band"),
    "reliability_{split}": ("calibration", "Reliability: share of hits against score"),
    "decision_curve_{split}": ("operating", "Decision curve: net benefit against threshold"),
    "confused_{split}": ("errors", "Both errors, worst first"),
    "heat_deletion": ("heat", "Deletion: how the score falls as hot or random pieces are taken away"),
    "heat_randomised": ("heat", "Heat after the weights were randomised"),
    "heat_field": ("heat", "Mean heat and the central field"),
}


@dataclass(frozen=True)
class _EmbeddedImage:
    """A PNG as a data URI, with the words for who cannot see it."""

    source: str
    caption: str


@dataclass(frozen=True)
class _Worst:
    """One image of the largest losses; `row` counts from 0 in predictions/<split>.csv; `name` '' unless wanted."""

    source: str
    row: int
    truth: str
    called: str
    score: float
    name: str


def collect(found: ReportedRun) -> dict[str, list[_EmbeddedImage]]:
    """The figures by section: the PNGs in figures/ that `interpret` made, and a history and scores drawn here without."""
    drawn: dict[str, list[_EmbeddedImage]] = {section: [] for section, _ in _FIGURES.values()}
    for pattern, (section, caption) in _FIGURES.items():
        name = pattern.format(split=found.split)
        png = _saved(found, name) or _drawn(found, pattern)
        if png:
            drawn[section].append(_EmbeddedImage(_data_uri(png), caption))
    return drawn


def has_heat(found: ReportedRun) -> bool:
    """Whether `interpret` made heat maps: only then does the sheet of the largest losses show more than pictures."""
    return found.run.figure("heat_deletion").is_file()


def heat_sheet(found: ReportedRun) -> _EmbeddedImage | None:
    """The largest losses with heat, as `interpret` drew them."""
    png = _saved(found, f"top_losses_{found.split}") if has_heat(found) else None
    caption = f"Largest losses of {found.split}, each beside its heat map for the class called. {HEAT_NOTE}"
    return _EmbeddedImage(_data_uri(png), caption) if png else None


def _data_uri(png: bytes) -> str:
    """What an img element shows without asking anybody."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


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
    if pattern == "scores_{split}" and found.card.positive is not None and found.card.threshold is not None:
        scored, k = found.predictions(found.split), found.card.vocab.index(found.card.positive)
        # a dollar would begin a formula, and a broken one ends matplotlib
        vocab = [sanitized(name, 24).replace("$", r"\$") for name in found.card.vocab]
        names = (vocab[1 - k], vocab[k])
        title = f"{mark}Scores, {found.split}, {len(scored.frame)} images"
        return base.as_png(base.plot_scores(scored.probs[:, k], scored.targs == k, found.card.threshold, names, title))
    return None


def worst_images(found: ReportedRun, *, names: bool) -> list[_Worst]:
    """The images of the largest losses as the network saw them, worst first; none where the pictures were not kept.

    Raises:
        DataError: predictions or pictures are damaged.
    """
    path = found.run.top_images(found.split)
    if not path.is_file():
        return []
    pictures, scored = _pictures(found), found.predictions(found.split)
    positive = found.card.vocab.index(found.card.positive) if found.card.positive else None
    called = predicted_classes(scored.probs, positive=positive, threshold=found.card.threshold)
    relative = found.rows.loc[found.rows["split"] == found.split, "relative"].tolist()
    return [
        _Worst(
            _data_uri(_as_png(picture)), int(i), found.card.vocab[scored.targs[i]], found.card.vocab[called[i]],
            float(scored.probs[i, called[i] if positive is None else positive]), relative[i] if names else "",
        )
        for i, picture in zip(scored.worst(len(pictures)), pictures[:_SHOWN], strict=False)
    ]  # fmt: skip


def _pictures(found: ReportedRun) -> np.ndarray:
    """uint8 (n, h, w) or (n, h, w, 3)."""
    path = found.run.top_images(found.split)
    try:
        pictures: np.ndarray = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
    except (OSError, ValueError, EOFError):
        pictures = np.zeros(0)
    if pictures.dtype != np.uint8 or pictures.ndim not in (3, 4) or (pictures.ndim == 4 and pictures.shape[3] != 3):
        raise DataError(
            f"predictions/{path.name} of {found.run.root} is damaged. Restore it from a backup, or remove it: the report then shows no pictures."
        )
    return pictures


def _as_png(picture: np.ndarray) -> bytes:
    """At most about 320 pixels wide: every k-th pixel of a larger one."""
    from matplotlib.image import imsave

    step = -(-picture.shape[1] // 320)
    picture = picture[::step, ::step]
    picture = np.repeat(picture[..., None], 3, axis=2) if picture.ndim == 2 else picture
    buffer = io.BytesIO()
    nothing: dict[str, Any] = {"Software": None}
    imsave(buffer, np.ascontiguousarray(picture), format="png", metadata=nothing)
    return buffer.getvalue()
