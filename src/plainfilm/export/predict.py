"""`plainfilm predict`: scores many images with a bundle, one row each, in the order given."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast, get_args

from plainfilm.base.events import EventCallback, silent
from plainfilm.base.files import atomic_write
from plainfilm.data.image import sandbox
from plainfilm.data.image.modes import DEPTHS
from plainfilm.data.table.positive_class import BY_ALPHABET
from plainfilm.errors import DataError, OccupiedError, UsageError
from plainfilm.export.glob_walk import LINK
from plainfilm.export.input_paths import Inputs, few_or_agreed
from plainfilm.export.prediction_rows import RowSink
from plainfilm.export.scorer import ABSTAIN, OOD, Bundle, Prediction, open_bundle
from plainfilm.schemas.documents import HEAT_MAPS, PredictDocument, marks

_REPORT_EVERY = 10.0  # seconds
_LINKS = " Links are entered with --follow-links."


@dataclass(frozen=True)
class Changes:
    """What the user sets in place of the bundle's: threshold, 0..1, and bits, of integers above 8 bits."""

    threshold: float | None = None
    bits: int | None = None


@dataclass
class _Counts:
    """Counts of the images so far, by outcome."""

    predicted: Counter[str] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)
    failed: int = 0

    def add(self, found: Prediction) -> None:
        if found.error:
            self.failed += 1
        else:
            self.predicted[found.label] += 1
            self.flags.update(found.flags)

    @property
    def images(self) -> int:
        return self.failed + self.predicted.total()


def predict_files(
    path: Path, inputs: Inputs, sink: RowSink, *, at: Changes | None = None, heat: Path | None = None,
    threads: int | None = None, agree: Callable[[str], bool] = lambda _: True, on_event: EventCallback = silent,
) -> PredictDocument:  # fmt: skip
    """Scores of all images that `inputs` name, written row by row; memory grows with their paths only.

    Args:
        at: what is taken in place of the bundle's own. heat: a new folder for one heat map per row.
        agree: asked when folders and globs hold more files than input_paths.MANY.
    Raises:
        BundleError: the bundle does not match its manifest. DataError: no image was found.
        OccupiedError: the sink's file or `heat` exists. UsageError: a threshold with more than two classes, or
            outside 0..1; no usual depth; more files, and `agree` says no. MissingError: ONNX Runtime is missing, or torch for heat maps.
    """
    _refuse_occupied(sink.out, heat)
    draw = _drawer(path, heat) if heat else None
    began = time.monotonic()
    bundle = _changed(open_bundle(path, threads), at or Changes(), on_event)
    if heat is not None:
        _make(heat)
    for note in bundle.card.notes:
        if marks([note]) or BY_ALPHABET in note or (heat is not None and note.startswith(HEAT_MAPS)):
            on_event("note", {"text": note})
    vocab, counts, left_out = bundle.card.vocab, _Counts(), Counter[str]()
    todo = few_or_agreed(replace(inputs, tiff=bool(bundle.card.decode.get("tiff"))), left_out, agree)
    reported = time.monotonic()
    with sink.opened(vocab) as write, closing(bundle.predict_each(todo)) as rows:
        for number, (name, found) in enumerate(rows, 1):
            counts.add(found)
            write(name, found)
            if draw is not None and not found.error:
                draw(bundle, number, name, found)
            if time.monotonic() - reported > _REPORT_EVERY:
                reported = time.monotonic()
                on_event("scored", {"done": number, "seconds": reported - began})
        if not counts.images:
            rules = "; ".join(f"{n} {rule}" for rule, n in left_out.items())
            raise DataError(f"No image was found{f' ({rules})' if rules else ''}. Give files, folders or globs of PNG, JPEG, BMP, WebP, PGM, PPM or DICOM.{_LINKS if left_out[LINK] else ''}")  # fmt: skip
    return PredictDocument(
        bundle=str(path), out=str(sink.out) if sink.out else None, pictures=counts.images, scored=counts.predicted.total(),
        failed=counts.failed, called={name: counts.predicted[name] for name in vocab},
        unsure=None if bundle.card.band is None else counts.flags[ABSTAIN],
        unlike=None if bundle.gate is None else counts.flags[OOD], left_out=dict(left_out), threshold=bundle.card.threshold, notes=bundle.card.notes,
        seconds=round(time.monotonic() - began, 3),
    )  # fmt: skip


def decoding_in(mode: str) -> AbstractContextManager[None]:
    """`--sandbox auto|on|off` of predict: where images are decoded, and networks run, for the duration.

    Raises:
        UsageError: another word.
    """
    if mode not in get_args(sandbox.Mode):
        raise UsageError(f"--sandbox {mode!r} is not known; expected auto, on or off.")
    return sandbox.used(cast(sandbox.Mode, mode), option=True)


def _refuse_occupied(out: Path | None, heat: Path | None) -> None:
    if out is not None and out.exists():
        raise OccupiedError(f"{out} exists; predictions are never overwritten. Choose another --out.")
    if heat is not None and out is not None and out.absolute() == heat.absolute():
        raise UsageError(
            f"--out and --heatmaps are both {out}; one is a file, the other a folder. Give them two names."
        )
    if heat is not None and heat.exists() and (not heat.is_dir() or any(heat.iterdir())):
        what = "exists and is not empty" if heat.is_dir() else "is a file"
        raise OccupiedError(f"{heat} {what}. Choose another folder for --heatmaps.")


def _make(heat: Path) -> None:
    """Create the folder for heat maps before the work: a missing permission must not cost a row."""
    try:
        heat.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=heat):
            pass
    except OSError as error:
        raise DataError(
            f"Heat maps cannot be written to {heat} ({error.strerror}). Choose another folder for --heatmaps."
        ) from None


def _changed(bundle: Bundle, at: Changes, on_event: EventCallback) -> Bundle:
    """The bundle with another threshold, and another depth of integers above 8 bits."""
    bundle = bundle if at.threshold is None else _at(bundle, at.threshold)
    if at.bits is None:
        return bundle
    if at.bits not in DEPTHS:
        raise UsageError(f"--bits {at.bits} is not known; expected one of {', '.join(map(str, DEPTHS))}.")
    own = bundle.card.decode_spec().bits
    trained = f"{own}-bit images" if own else "8-bit images only"
    words = (
        f"Integers above 8 bits are divided by {2**at.bits - 1} (--bits {at.bits}); the model was trained on {trained}."
    )
    on_event("note", {"text": words})
    return bundle.reading(at.bits)


def _at(bundle: Bundle, threshold: float) -> Bundle:
    if bundle.card.positive is None:
        raise UsageError("--threshold needs two classes; with more, the class with the highest score is predicted.")
    if not 0 <= threshold <= 1:
        raise UsageError(f"--threshold {threshold:g} is outside 0..1; scores are probabilities.")
    return bundle.at(threshold)


def _drawer(path: Path, folder: Path) -> Callable[[Bundle, int, str | Path, Prediction], None]:
    """A function that writes the heat map of a row, named by its number."""
    from plainfilm.export.heatmaps import heat_figure, heat_maps, require_torch

    require_torch()
    from plainfilm.plots.base import as_png

    def draw(bundle: Bundle, number: int, name: str | Path, found: Prediction) -> None:
        pixels = bundle.pixels(name)
        heat = heat_maps(path, pixels, found.label)
        of = bundle.card.positive or found.label
        flags = f" ({', '.join(found.flags)})" if found.flags else ""
        caption = f"Row {number}: predicted {found.label}, score for class {of} {found.score:.3f}{flags}"
        atomic_write(folder / f"{number:06d}.png", as_png(heat_figure(pixels, heat, caption, found.label)))

    return draw
