"""The page of an audit: one HTML file with its figures embedded, which loads nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from plainfilm import __version__
from plainfilm.base.files import png_uri
from plainfilm.base.listing import LISTED, both_ends
from plainfilm.plots.audit import plot_copies, plot_histograms, plot_probes
from plainfilm.plots.base import as_png
from plainfilm.schemas.data import AuditDocument
from plainfilm.schemas.documents import RESEARCH_ONLY
from plainfilm.schemas.number_text import limits_text

_MAX_GROUPS = 12  # of duplicates that are drawn; all are in audit.json
_MEANING = {
    "ok": "No findings.",
    "unknown": "Nothing was found, but what the notes below name could not be judged.",
    "warn": "The images can be used; state the findings below beside every score made with them.",
    "fail": "A given split shares patients or copies, or identical images have two labels. Split again, or repair the data.",
}


def draw_page(audit: AuditDocument, rows: pd.DataFrame, pixels: Any, limit: float) -> str:
    """The HTML text.

    Args:
        rows: the used images, as in the table.
        pixels: uint8 (n, s, s[, 3]), row i of `rows`.
        limit: a probe whose lower bound is above this raises the banner.
    """
    env = Environment(loader=PackageLoader("plainfilm"), autoescape=True, undefined=StrictUndefined, trim_blocks=False)
    env.filters["limits"] = lambda metric: limits_text(metric.ci_low, metric.ci_high)
    place = {name: i for i, name in enumerate(rows["relative"])}
    copies = [
        (title, _copies(groups, place, pixels))
        for title, groups in (
            ("Copies in two given folders", audit.duplicates_across_splits),
            ("Identical images", audit.duplicates),
            ("Nearly identical images", audit.near_duplicates),
            ("Identical images under two labels (quarantined)", audit.label_conflicts),
        )
        if groups
    ]
    figures = {"probes": _probes(audit, limit), "histograms": _histograms(rows, pixels), "copies": copies}
    text: str = env.get_template("audit.html.j2").render(
        audit=audit, ends=both_ends(sorted(audit.classes, key=lambda name: -audit.classes[name]["images"])), listed=LISTED, figures=figures, findings=_findings(audit), meaning=_MEANING[audit.verdict],
        name=Path(audit.data).name or audit.data, research_only=RESEARCH_ONLY, version=__version__,
    )  # fmt: skip
    return text


def _findings(audit: AuditDocument) -> list[tuple[str, int | str]]:
    rules = Counter(row.rule for row in audit.ignored)
    across = audit.patients_across_splits
    return [
        ("files that cannot be used (quarantined)", len(audit.quarantined)),
        ("groups of identical images", len(audit.duplicates)),
        ("groups of nearly identical images", len(audit.near_duplicates)),
        ("groups of identical images under two labels", len(audit.label_conflicts)),
        ("patient keys in two given folders", "unknown" if across is None else len(across)),
        ("groups of identical images in two given folders", len(audit.duplicates_across_splits)),
        *((f"ignored: {rule}", count) for rule, count in sorted(rules.items())),
    ]


def _png(figure: Figure) -> str:
    return png_uri(as_png(figure))


def _probes(audit: AuditDocument, limit: float) -> str:
    known = [shortcut for shortcut in audit.shortcuts if shortcut.auroc.value is not None]
    if not known:
        return ""
    names = [s.probe if s.pixels == "file" else f"{s.probe} ({s.pixels})" for s in known]
    values, lows, highs = ([float(getattr(s.auroc, name)) for s in known] for name in ("value", "ci_low", "ci_high"))
    return _png(plot_probes(names, values, lows, highs, limit))


def _histograms(rows: pd.DataFrame, pixels: Any) -> str:
    facts = _differing_facts(rows, pixels)
    if not facts:
        return ""
    labels = rows["label"].to_numpy()
    split = {name: {str(c): values[labels == c] for c in sorted(set(labels))} for name, values in facts.items()}
    return _png(plot_histograms(split, "How the classes differ"))


def _differing_facts(rows: pd.DataFrame, pixels: Any) -> dict[str, np.ndarray]:
    """What distinguishes images without their content, float (n,) by name; not what is the same for all."""
    facts = {
        "bytes per pixel": (rows["bytes"] / (rows["width"] * rows["height"])).to_numpy(),
        "width, px": rows["width"].to_numpy(),
        "height, px": rows["height"].to_numpy(),
        "mean brightness, 0..255": np.array([pixels[i].mean() for i in range(len(rows))]),
    }
    return {name: values for name, values in facts.items() if len(values) and np.ptp(values) > 0}


def _copies(groups: Sequence[Sequence[str]], place: dict[str, int], pixels: Any) -> list[tuple[list[str], str]]:
    drawn = []
    for group in groups[:_MAX_GROUPS]:
        known = [name for name in group if name in place]
        png = _png(plot_copies([pixels[place[name]] for name in known[:6]], known)) if known else ""
        drawn.append((list(group), png))
    rest: list[tuple[list[str], str]] = [(list(group), "") for group in groups[_MAX_GROUPS:]]
    return drawn + rest
