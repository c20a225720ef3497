"""Terminal output of export and predict."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from plainfilm.base.listing import LISTED
from plainfilm.cli.render.next_steps import print_next
from plainfilm.schemas.documents import ExportDocument, PredictDocument
from plainfilm.schemas.not_judged import ABSTAINED, BAND_NOT_JUDGED, GATE_NOT_JUDGED, OUT_OF_DISTRIBUTION

_MOST = 10  # classes in the last line of predict


def print_export(out: Console, document: ExportDocument) -> None:
    """Files of the bundle, and how far ONNX differs from torch."""
    for name, size in document.files.items():
        out.print(f"{name:18} {size / 1e6:9.3f} MB")
    apart = max(document.differences.values())
    out.print(f"ONNX (opset {document.opset}) differs from torch by at most {apart:.1e} on {document.pictures} images.")
    out.print(f"MODEL_CARD.md: {document.not_reported} fields are NOT REPORTED; only a person can fill them in.")
    if document.parent_sha256 is not None:
        out.print(f"A new version: card.yaml has changed since the bundle with manifest {document.parent_sha256[:12]}.")
    for note in document.notes:
        out.print(f"NOTE: {note}")
    out.print(f"Bundle: {document.out}", soft_wrap=True)
    bundle = Path(document.out)
    card = [("card", Path(document.run))] if document.not_reported else []
    print_next(out, *card, ("predict", bundle, "IMAGES", "--out", "scores.csv"), ("serve", bundle))


def print_predict(out: Console, document: PredictDocument) -> None:
    """Counts by predicted class, and where the rows are."""
    out.print(predict_summary(document))
    if document.out:
        out.print(f"Predictions: {document.out}", soft_wrap=True)


def predict_summary(document: PredictDocument) -> str:
    """One sentence, e.g. '7 images (120 img/s): 3 predicted NORMAL, 4 predicted PNEUMONIA; 1 abstained, ...'."""
    predicted = _by_class(document.called)
    speed = f"{document.pictures / document.seconds:.0f} img/s" if document.seconds > 1 else f"{document.seconds:.1f} s"
    return (
        f"{document.pictures:,} {'image' if document.pictures == 1 else 'images'} ({speed}): {predicted}; "
        f"{_judged(document.unsure, ABSTAINED, BAND_NOT_JUDGED)}, {_judged(document.unlike, OUT_OF_DISTRIBUTION, GATE_NOT_JUDGED)}, {document.failed:,} not scored{_left_out(document.left_out)}."
    )


def _by_class(counts: dict[str, int]) -> str:
    """Images by predicted class, e.g. '3 predicted NORMAL, 4 predicted PNEUMONIA'; of many classes the most frequent ten."""
    names = list(counts)
    if len(names) > LISTED:
        names = sorted(counts, key=lambda name: -counts[name])[:_MOST]
    named = [name for name in names if counts[name] or len(counts) <= LISTED]
    shown = [f"{counts[name]:,} predicted {name}" for name in named]
    others = [n for name, n in counts.items() if name not in named]
    if not sum(others):
        return ", ".join(shown) or "no class predicted"
    return f"{', '.join(shown)}, {sum(others):,} predicted one of {len(others):,} others"


def _left_out(by_rule: dict[str, int]) -> str:
    """What was found in folders and by globs and has no row, e.g. '; links not followed (--follow-links): 2'."""
    named = {
        "link": "links not followed (--follow-links)", "named twice": "files named twice, scored once",
        "empty folder": "empty folders",
    }  # fmt: skip
    others = sum(n for rule, n in by_rule.items() if rule not in named)
    counts = {"files in the folders that are not images": others} | {
        text: by_rule.get(rule, 0) for rule, text in named.items()
    }
    return "".join(f"; {text}: {n:,}" for text, n in counts.items() if n)


def _judged(n: int | None, what: str, else_: str) -> str:
    return f"{what.lower()}: {else_}" if n is None else f"{n:,} {what.lower()}"
