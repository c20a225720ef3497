"""tune.html: the page of a study, one file with its figures embedded, which loads nothing else."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from plainfilm import __version__
from plainfilm.base.files import atomic_write, png_uri
from plainfilm.config.tune import Axis, TuneConfig
from plainfilm.plots.base import as_png
from plainfilm.plots.tune import plot_bars, plot_parallel, plot_search
from plainfilm.schemas.documents import RESEARCH_ONLY
from plainfilm.schemas.number_text import limits_text
from plainfilm.schemas.tune import TuneDocument
from plainfilm.tune.space import choice_code


def write_page(path: Path, document: TuneDocument, tune: TuneConfig) -> None:
    """Write the page; it depends on the document and the section tune alone."""
    env = Environment(
        loader=PackageLoader("plainfilm"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )  # fmt: skip
    env.filters |= {"limits": lambda metric: limits_text(metric.ci_low, metric.ci_high), "value": _value_text}
    figures = {name: png_uri(as_png(figure)) for name, figure in _figures(document, tune).items()}
    atomic_write(path, env.get_template("tune.html.j2").render(
        study=document, tune=tune, figures=figures, research_only=RESEARCH_ONLY, version=__version__
    ))  # fmt: skip


def _value_text(value: Any) -> str:
    """A value of a config for people: 0.00213, compact, [16, 32]."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _figures(document: TuneDocument, tune: TuneConfig) -> dict[str, Figure]:
    trials = document.trials
    select = np.array([math.nan if trial.select is None else trial.select for trial in trials])
    found = {"history": plot_search(np.array([trial.number for trial in trials]), select, [t.status for t in trials])}
    places = {key: np.array([_place(axis, t.params[key]) for t in trials]) for key, axis in tune.space.items()}
    shown = np.isfinite(select) & np.all([np.isfinite(each) for each in places.values()], axis=0)
    if shown.sum() > 1:
        ticks = {key: _ticks(axis) for key, axis in tune.space.items()}
        found["parallel"] = plot_parallel({k: each[shown] for k, each in places.items()}, ticks, select[shown])
    if document.importance:
        names = list(document.importance)
        found["importance"] = plot_bars(
            names, list(document.importance.values()), "Importance (fANOVA)", "share of variance"
        )
    timed = [(str(trial.number), trial.seconds / 60) for trial in trials if trial.seconds is not None]
    if timed:
        found["time"] = plot_bars(
            [n for n, _ in timed], [m for _, m in timed], "Time of each trial", "minutes in epochs"
        )
    return found


def _place(axis: Axis, value: Any) -> float:
    """Where a value is on its axis, 0..1; NaN off it."""
    if axis.choice is not None:
        texts = [choice_code(each) for each in axis.choice]
        return texts.index(choice_code(value)) / (len(texts) - 1) if choice_code(value) in texts else math.nan
    low, high = axis.int or axis.log or axis.uniform or (0, 1)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        return math.nan
    if axis.log is not None:
        return math.log(value / low) / math.log(high / low)
    return float((value - low) / (high - low))


def _ticks(axis: Axis) -> list[tuple[float, str]]:
    if axis.choice is not None:
        return [(i / (len(axis.choice) - 1), _value_text(value)) for i, value in enumerate(axis.choice)]
    low, high = axis.int or axis.log or axis.uniform or (0, 1)
    return [(0.0, f"{low:g}"), (1.0, f"{high:g}")]
