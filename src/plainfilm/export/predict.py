"""`plainfilm predict`: many pictures through a bundle, one row each, in the order they were given."""

from __future__ import annotations

import json
import sys
import tempfile
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal, TextIO

from plainfilm.base.events import EventCallback, silent
from plainfilm.base.files import atomic_file, atomic_write
from plainfilm.base.sanitize import INVISIBLE
from plainfilm.errors import DataError, OccupiedError, UsageError
from plainfilm.export.input_paths import image_paths
from plainfilm.export.scorer import ABSTAIN, OOD, Bundle, Prediction, open_bundle
from plainfilm.schemas.documents import PredictDocument, marks

_Format = Literal["csv", "jsonl"]
_TELL_EVERY = 10.0  # seconds
_Write = Callable[[str], object]


@dataclass
class _Counts:
    """What became of the pictures so far."""

    called: Counter[str] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)
    failed: int = 0

    def add(self, found: Prediction) -> None:
        if found.error:
            self.failed += 1
        else:
            self.called[found.label] += 1
            self.flags.update(found.flags)

    @property
    def images(self) -> int:
        return self.failed + self.called.total()


def predict_files(
    path: Path, words: Sequence[str], *, out: Path | None = None, form: _Format = "csv", threshold: float | None = None,
    heat: Path | None = None, threads: int | None = None, stdin: Iterable[bytes] = (), stdout: TextIO | None = None,
    on_event: EventCallback = silent,
) -> PredictDocument:  # fmt: skip
    """Scores of all pictures that `words` name, written row by row; memory does not grow with their number.

    Args:
        words: files, folders, globs, or '-' for the lines of `stdin`.
        out: a file that appears when all is done; None writes to `stdout`.
        threshold: in place of the bundle's, 0..1. heat: a new folder for a heat map of each row.
    Raises:
        BundleError: the bundle is not what its manifest says. DataError: nothing was found.
        OccupiedError: `out` or `heat` exists. UsageError: a threshold with more than two classes, or outside 0..1.
        MissingError: ONNX Runtime is missing, or torch for heat maps.
    """
    _refuse_occupied(out, heat)
    draw = _drawer(path, heat) if heat else None
    began = time.monotonic()
    bundle = _at(open_bundle(path, threads), threshold)
    if heat is not None:
        _make(heat)
    for note in bundle.card.notes:
        if marks([note]):
            on_event("note", {"text": note})
    vocab, counts, left_out = bundle.card.vocab, _Counts(), Counter[str]()
    line = (_csv_line if form == "csv" else _json_line)(vocab)
    todo = image_paths(words, stdin, left_out, tiff=bool(bundle.card.decode.get("tiff")))
    told = time.monotonic()
    with _sink(out, stdout or sys.stdout) as write:
        for number, (name, found) in enumerate(bundle.predict_each(todo), 1):
            if number == 1 and form == "csv":  # no header where there is no picture
                write(_csv_header(vocab))
            counts.add(found)
            write(line(name, found))
            if draw is not None and not found.error:
                draw(bundle, number, name, found)
            if time.monotonic() - told > _TELL_EVERY:
                told = time.monotonic()
                on_event("scored", {"done": number, "seconds": told - began})
        if not counts.images:
            rules = "; ".join(f"{n} {rule}" for rule, n in left_out.items())
            raise DataError(f"No picture was found{f' ({rules})' if rules else ''}. Give files, folders or globs of PNG, JPEG, BMP or DICOM.")  # fmt: skip
    return PredictDocument(
        bundle=str(path), out=str(out) if out else None, pictures=counts.images, scored=counts.called.total(),
        failed=counts.failed, called={name: counts.called[name] for name in vocab}, unsure=counts.flags[ABSTAIN],
        unlike=counts.flags[OOD], left_out=dict(left_out), threshold=bundle.card.threshold, notes=bundle.card.notes,
        seconds=round(time.monotonic() - began, 3),
    )  # fmt: skip


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
    """The folder for heat maps, before the work: a row must not be lost for want of a right."""
    try:
        heat.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=heat):
            pass
    except OSError as error:
        raise DataError(
            f"Heat maps cannot be written to {heat} ({error.strerror}). Choose another folder for --heatmaps."
        ) from None


def _at(bundle: Bundle, threshold: float | None) -> Bundle:
    """The bundle at another threshold."""
    if threshold is None:
        return bundle
    if bundle.card.positive is None:
        raise UsageError("--threshold needs two classes; with more, the class with the highest score is called.")
    if not 0 <= threshold <= 1:
        raise UsageError(f"--threshold {threshold:g} is outside 0..1; scores are probabilities.")
    return bundle.at(threshold)


@contextmanager
def _sink(out: Path | None, stdout: TextIO) -> Iterator[_Write]:
    """Where rows go. In a file UTF-8, in a terminal nothing that it would obey; what cannot be encoded is an escape."""
    if out is not None:
        with atomic_file(out) as file:
            yield _writer(file)
        return
    encoding, terminal = stdout.encoding or "utf-8", stdout.isatty()

    def write(line: str) -> None:
        shown = _visible(line[:-1]) + "\n" if terminal else line
        stdout.write(shown.encode(encoding, "backslashreplace").decode(encoding))

    yield write
    stdout.flush()


def _writer(file: IO[bytes]) -> _Write:
    return lambda line: file.write(line.encode("utf-8", "backslashreplace"))


def _drawer(path: Path, folder: Path) -> Callable[[Bundle, int, str | Path, Prediction], None]:
    """What writes the heat map of a row, named by its number."""
    from plainfilm.export.heatmaps import heat_figure, heat_maps, require_torch

    require_torch()
    from plainfilm.plots.base import as_png

    def draw(bundle: Bundle, number: int, name: str | Path, found: Prediction) -> None:
        pixels = bundle.pixels(name)
        heat = heat_maps(path, pixels, found.label)
        of = bundle.card.positive or found.label
        flags = f" ({', '.join(found.flags)})" if found.flags else ""
        caption = f"Row {number}: called {found.label}, score for class {of} {found.score:.3f}{flags}"
        atomic_write(folder / f"{number:06d}.png", as_png(heat_figure(pixels, heat, caption, found.label)))

    return draw


_FORMULA = "=+-@\uff1d\uff0b\uff0d\uff20"  # what a spreadsheet takes for the start of one, and their wide forms


_Line = Callable[[str | Path, Prediction], str]


def _columns(vocab: Sequence[str]) -> list[str]:
    """Names of the columns, in order."""
    return ["path", "label", "score", *(f"prob_{name}" for name in vocab), "flag", "error"]


def _inert(text: str) -> str:
    """A text as a spreadsheet may hold it: what would begin a formula gets an apostrophe.

    Source: OWASP, CSV Injection.
    """
    begins = text.lstrip()[:1]
    return f"'{text}" if text[:1] in ("\t", "\r", "\n") or (begins and begins in _FORMULA) else text


def _visible(text: str) -> str:
    """A text as a terminal may show it: what moves the cursor or the reading direction is written as an escape."""
    return "".join(repr(c)[1:-1] if unicodedata.category(c) in INVISIBLE else c for c in text)


def _csv_header(vocab: Sequence[str]) -> str:
    """The first line, with its end."""
    return _csv([_inert(name) for name in _columns(vocab)])


def _csv_line(vocab: Sequence[str]) -> _Line:
    """What makes a CSV line, with its end, of a path and its prediction; numbers with 9 significant digits."""

    def line(path: str | Path, found: Prediction) -> str:
        numbers = [found.score, *(found.probs.get(name) for name in vocab)]
        shown = ["" if value is None else f"{value:.9g}" for value in numbers]
        texts = [_inert(text) for text in ("; ".join(found.flags), found.error)]
        return _csv([_inert(str(path)), _inert(found.label), *shown, *texts])

    return line


def _json_line(vocab: Sequence[str]) -> _Line:
    """What makes a JSON line; ASCII only, so that any name is whole on any terminal and pipe."""

    def line(path: str | Path, found: Prediction) -> str:
        numbers = [found.score, *(found.probs.get(name) for name in vocab)]
        rounded = [None if value is None else float(f"{value:.9g}") for value in numbers]
        values = [str(path), found.label, *rounded, "; ".join(found.flags), found.error]
        return json.dumps(dict(zip(_columns(vocab), values, strict=True))) + "\n"

    return line


def _csv(cells: Sequence[str]) -> str:
    """RFC 4180; Python's csv leaves a lone carriage return bare, at which others end the line."""
    quoted = ('"' + cell.replace('"', '""') + '"' if any(c in cell for c in ',"\r\n') else cell for cell in cells)
    return ",".join(quoted) + "\n"
