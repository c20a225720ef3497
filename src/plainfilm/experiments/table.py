"""`plainfilm experiments table`: turn run folders into RESULTS.md, results.csv and a figure of score against cost."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from plainfilm.base.files import atomic_write
from plainfilm.compare.margin import check_margin
from plainfilm.errors import DataError, UsageError
from plainfilm.evaluate.finished import SHIFTED
from plainfilm.experiments.aggregate import NOT_RUN, ResultsSection, Row, read_section, run_folders
from plainfilm.experiments.markdown import put_section, section_text
from plainfilm.experiments.results_csv import csv_rows, put_rows
from plainfilm.experiments.runner import OUT
from plainfilm.experiments.test_log import LOG, read_access_log
from plainfilm.schemas.compare import TableDocument, TableSection

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def make_table(given: Sequence[Path] | None, out: Path | None = None, *, margin: float | None = None) -> TableDocument:
    """Write sections for the given run folders or experiment files; other sections of the page are not changed.

    Args:
        given: None: every experiment in runs/experiments. An experiment's file beside a folder of its name belongs to
            the runs in it; alone, to those in runs/experiments.
        out: the folder of RESULTS.md; None: the one given folder that is read. An experiment's file, given or there,
            names the configurations that were not run.
        margin: of equivalence, a difference of AUROC above 0 and below 1; None: no verdict about it.
    Raises:
        UsageError: several folders and no `out`, or a margin outside 0..1.
        DataError: no run, a damaged one, or a page or CSV of another format. Nothing is written then.
    """
    check_margin(margin)
    out, given = out or _beside(given), list(given) if given else [OUT]
    places = _places(given, out)
    sections = [read_section(name, folder, file, margin) for name, (folder, file) in places.items()]
    page, table = out / "RESULTS.md", out / "results.csv"
    try:
        text = page.read_text(encoding="utf-8") if page.is_file() else ""
    except (OSError, UnicodeDecodeError):
        raise DataError(f"{page} cannot be read as text. Move it, or choose another --out.") from None
    accesses = {name: _logged(file, out) for name, (_, file) in places.items()}
    figures = {section.name: _draw(section) for section in sections}
    rows = put_rows(table, [row for section in sections for row in csv_rows(section)])
    for section in sections:
        links = {title: f"figures/{name}" for title, (name, _) in figures[section.name].items()}
        text = put_section(text, section.name, section_text(section, links, accesses[section.name]))
    drawn = []
    for name, png in (figure for of_one in figures.values() for figure in of_one.values()):
        drawn.append(out / "figures" / name)
        atomic_write(drawn[-1], png)
    atomic_write(table, rows)
    atomic_write(page, text)
    return TableDocument(
        page=str(page), csv=str(table), figures=[str(path) for path in drawn],
        sections=[_summary(section) for section in sections],
        notes=[f"{section.name}: not finished: {', '.join(section.unfinished)}" for section in sections if section.unfinished],
    )  # fmt: skip


def _beside(given: Sequence[Path] | None) -> Path:
    """The folder that is read: results lie beside their runs, and no file of a checkout changes unasked."""
    folders, files = _folders_and_files(given or [OUT])
    paired = {found.name for path in folders for found in _with_runs(path)}
    read = [*dict.fromkeys(folders), *(OUT / name for name in files if name not in paired)]
    if len(read) > 1:
        raise UsageError(
            f"One table of {len(read)} folders has no place of its own. Say where to write it: --out FOLDER."
        )
    return read[0]


def _file_of(folder: Path, out: Path) -> Path | None:
    """The experiment's file: in `out`, or, of a folder of runs/experiments, in experiments/."""
    name, own = f"{folder.name}.yaml", folder.parent == OUT.resolve()
    places = (out / name, Path("experiments") / name) if own else (out / name,)
    return next((path for path in places if path.is_file()), None)


def _logged(file: Path | None, out: Path) -> list[dict[str, Any]]:
    """The accesses in looks.jsonl beside the experiment's file, and in `out`, else in the project's.

    A section counts only those to its own test sets.
    """
    project = out / LOG if (out / LOG).is_file() else Path("experiments") / LOG
    logs = [project, *([file.parent / LOG] if file else [])]
    return [access for path in dict.fromkeys(path.resolve() for path in logs) for access in read_access_log(path)]


def _summary(section: ResultsSection) -> TableSection:
    best = section.rows[0].name if section.rows and section.rows[0].metrics else None
    not_run = [row.name for row in section.rows if not row.metrics]
    return TableSection(experiment=section.name, rows=len(section.rows), runs=section.runs, not_run=not_run, best=best)


def _places(given: Sequence[Path], out: Path) -> dict[str, tuple[Path, Path | None]]:
    """Experiment name -> (folder of its runs, its file or None)."""
    found: dict[str, tuple[Path, Path | None]] = {}

    def add(name: str, folder: Path, file: Path | None) -> None:
        if name in found and found[name][0].resolve() != folder.resolve():
            raise UsageError(f"Two folders are named {name!r} ({found[name][0]} and {folder}); rename one of them.")
        found[name] = folder, file

    folders, files = _folders_and_files(given)
    for path in folders:
        for folder in _with_runs(path):
            add(folder.name, folder, files.get(folder.name) or _file_of(folder, out))
    for name, file in files.items():
        if name not in found:
            add(name, OUT / name, file)
    return found


def _folders_and_files(given: Sequence[Path]) -> tuple[list[Path], dict[str, Path]]:
    """The folders, and the experiment files by name; what is neither counts as a folder, and is refused as one."""
    files = {path.stem: path for path in given if path.is_file() and path.suffix in (".yaml", ".yml")}
    return [path for path in given if path not in files.values()], files


def _with_runs(path: Path) -> list[Path]:
    """`path`, or the folders in it that contain run folders."""
    if not path.is_dir():
        raise DataError(
            f"{path} is not a folder. Train first (plainfilm experiments run FILE.yaml), or give a folder of runs."
        )
    path = path.resolve()  # '.' has no name
    if (path / "status.json").is_file():
        raise DataError(f"{path} is one run; give the folder that holds the runs: {path.parent}.")
    if run_folders(path):
        return [path]
    found = [child for child in sorted(path.iterdir()) if not child.name.startswith(".") and run_folders(child)]
    if not found:
        raise DataError(
            f"{path} has no run folder, nor does a folder in it. Train first: plainfilm experiments run FILE.yaml"
        )
    return found


def _draw(section: ResultsSection) -> dict[str, tuple[str, bytes]]:
    """Title -> file name and PNG of each figure; empty if nothing was run."""
    from plainfilm.plots.base import as_png

    rows = [row for row in section.rows if row.costs is not None and row.metrics["auroc"].mean is not None]
    if not rows:
        return {}
    name = _safe_name(section.name)
    against = (
        "training time and latency" if any(row.costs and row.costs.latency_ms for row in rows) else "training time"
    )
    found = {
        f"AUROC on {section.split} against {against}": (
            f"{name}.png",
            as_png(_draw_cost(section, rows)),
        )
    }
    if section.sized:
        title = f"AUROC on {section.split} against the number of train images"
        found[title] = (f"{name}-sizes.png", as_png(_draw_sizes(section, rows)))
    return found


def _draw_sizes(section: ResultsSection, rows: list[Row]) -> Figure:
    from plainfilm.plots.learning_curve import plot_sizes

    curves: dict[str, list[tuple[float, float, float]]] = {}
    for row in rows:
        auroc, images = row.metrics["auroc"], row.per_class or row.smallest
        if images is not None and auroc.mean is not None:
            curves.setdefault(row.way, []).append((images, auroc.mean, np.nan if auroc.sd is None else auroc.sd))
    whole = {row.smallest for row in rows} - {None}
    lines = {way: np.array(points) for way, points in curves.items()}
    return plot_sizes(lines, section.split, section.name, whole)


def _draw_cost(section: ResultsSection, rows: list[Row]) -> Figure:
    from plainfilm.plots.cost import plot_cost

    def numbers(values: list[float | None]) -> np.ndarray:
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)

    costs = [row.costs for row in rows if row.costs is not None]
    return plot_cost(
        [row.name for row in rows],
        numbers([row.metrics["auroc"].mean for row in rows]),
        numbers([row.metrics["auroc"].sd for row in rows]),
        [
            ("training time, minutes per run", numbers([cost.minutes for cost in costs])),
            ("latency on the CPU, ms per image", numbers([cost.latency_ms for cost in costs])),
        ],
        section.name,
        section.baseline.mean if section.baseline and section.split != SHIFTED else None,
        section.split,
    )


def _safe_name(name: str) -> str:
    """A section's name as a figure's file name."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "_", name) or NOT_RUN
