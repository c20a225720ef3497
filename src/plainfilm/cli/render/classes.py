"""Tables with a row or column for each class: with many classes the first and the last five, and a line for the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich.table import Table

from plainfilm.base.listing import ENDS, LISTED, both_ends
from plainfilm.cli.screen import Screen, fits
from plainfilm.schemas.documents import Confusion, DataCounts, Metric
from plainfilm.schemas.evaluate import ranked_classes
from plainfilm.schemas.interpret import confused_pairs
from plainfilm.schemas.number_text import NOT_ESTIMABLE, estimate_text, reasons

_PAIRS = 10  # of classes that are confused
_FACTS = (("width", "{:.0f}"), ("height", "{:.0f}"), ("bytes_per_pixel", "{:.3f}"))
_SHOWN = {"auroc": "AUROC", "sensitivity": "sensitivity", "specificity": "specificity"}
_NUMBERS = 20  # '0.741 [0.300, 0.950]'


def _grid(names: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A plain table; the first column is left-aligned, the others are right-aligned."""
    table = Table(box=None, pad_edge=False)
    for i, name in enumerate(names):
        table.add_column(name, justify="right" if i else "left")
    for row in rows:
        table.add_row(*row)
    return table


def _ends(ranked: Sequence[str], row: Mapping[str, Sequence[str]]) -> list[Sequence[str]]:
    """The rows of all classes, or of either end with '...' between them."""
    return [("...",) if name is None else row[name] for name in both_ends(ranked)]


def _title(out: Screen, many: int, ranked: str, source: str = "all are in --json") -> None:
    if many > LISTED:
        out.print(f"{many:,} classes, the {ENDS} with {ranked}; {source}:")


def print_split_counts(out: Screen, counts: DataCounts) -> None:
    """Images of each split by class, in columns where they fit, else a row for each class."""
    head, classes = ["split", "images", "patients"], list(counts.classes)
    rows = {
        name: [name, str(part.images), "unknown" if part.patients is None else f"{part.patients}{part.more_keys()}"]
        for name, part in counts.splits.items()
    }
    beside = {name: [str(part.classes.get(label, 0)) for label in classes] for name, part in counts.splits.items()}
    wide = _grid([*head, *classes], [[*rows[name], *beside[name]] for name in rows])
    if len(classes) <= LISTED and fits(wide, out.width):
        out.print(wide)
        return
    out.print(_grid(head, rows.values()))
    _title(out, len(classes), "the most and with the fewest images")
    by_class = {label: [label, *(each[i] for each in beside.values())] for i, label in enumerate(classes)}
    ranked = sorted(classes, key=lambda label: -sum(part.classes.get(label, 0) for part in counts.splits.values()))
    out.print(_grid(["class", *rows], _ends(ranked, by_class)))


def print_audited_classes(out: Screen, classes: Mapping[str, Mapping[str, object]], wide: Table) -> None:
    """How the classes differ as files: `wide` with a column for each class where it fits, else a row for each class."""
    if len(classes) <= LISTED and fits(wide, out.width):
        out.print(wide)
        return
    _title(out, len(classes), "the most and with the fewest images", "all are in audit.json")
    rows = {name: [name, *_audited_row(facts)] for name, facts in classes.items()}
    ranked = sorted(classes, key=lambda name: -int(str(classes[name]["images"])))
    out.print(_grid(["by class", "images", "patients", "width", "height", "bytes/pixel"], _ends(ranked, rows)))
    out.print("Width, height and bytes per pixel are medians.")


def _audited_row(facts: Mapping[str, object]) -> list[str]:
    """Images, patients, and the medians of width, height and bytes per pixel of one class."""
    medians = [form.format(facts[name]["median"]) for name, form in _FACTS]  # type: ignore[index]
    return [str(facts["images"]), str(facts["patients"] or "unknown"), *medians]


def print_per_class(out: Screen, per_class: Mapping[str, Mapping[str, Metric]]) -> None:
    """AUROC, sensitivity and specificity of each class against the rest, by sensitivity where there are many."""
    if not per_class:
        return
    out.print("The metrics are means over the classes, each against the rest; by class:")
    _title(out, len(per_class), "the highest and with the lowest sensitivity")
    ranked = both_ends(ranked_classes(per_class) if len(per_class) > LISTED else list(per_class))
    rows = [("...",) if name is None else (name, *(_text(per_class[name][key]) for key in _SHOWN)) for name in ranked]
    table = _grid(["", *_SHOWN.values()], rows)
    for column in table.columns:
        column.justify = "left"
    if fits(table, out.width):
        out.print(table)
    else:
        _print_below_names(out, rows)
    for line in reasons((_SHOWN[key], per_class[name][key]) for name in ranked if name for key in _SHOWN):
        out.print(line)


def _print_below_names(out: Screen, rows: Sequence[Sequence[str]]) -> None:
    """Each class in a line of its own with its numbers below, where the names leave no room beside them."""
    for name, *cells in [("", *_SHOWN.values()), *rows]:
        if name:
            out.print(name)
        if cells:
            out.print(("  " + "  ".join(f"{cell:<{_NUMBERS}}" for cell in cells)).rstrip())


def _text(metric: Metric) -> str:
    return estimate_text(metric) if metric.value is not None else NOT_ESTIMABLE


def print_confusion(out: Screen, found: Confusion) -> None:
    """Counts by true and predicted class; where they do not fit, columns by number, or the most frequent confusions."""
    k, rows = len(found.labels), [list(map(str, row)) for row in found.rows]
    wide = _grid(["", *found.labels], ([name, *row] for name, row in zip(found.labels, rows, strict=True)))
    numbered = _grid(
        ["", *(str(i + 1) for i in range(k))], ([f"{i + 1} {found.labels[i]}", *rows[i]] for i in range(k))
    )
    shown = wide if fits(wide, out.width) else numbered
    if k <= LISTED and fits(shown, out.width):
        out.print(f"Confusion (rows = truth{'' if shown is wide else '; columns by number'}):")
        out.print(shown)
        return
    _print_confused(out, found)


def _print_confused(out: Screen, found: Confusion) -> None:
    """The most frequent confusions, a line each."""
    pairs, sizes = confused_pairs(found.rows, found.labels), dict(zip(found.labels, map(sum, found.rows), strict=True))
    wrong = sum(pair.images for pair in pairs)
    out.print(
        f"Most frequent confusions, of {wrong:,} wrong predictions of {sum(sizes.values()):,}{':' if pairs else '.'}"
    )
    for pair in pairs[:_PAIRS]:
        out.print(f"  {pair.images} of {sizes[pair.truth]} {pair.truth} predicted {pair.predicted}")
    if len(pairs) > _PAIRS:
        out.print(f"  ... and {len(pairs) - _PAIRS:,} other pairs of classes; the whole matrix is in --json")
