"""The pages as HTML; every text of a run is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from plainfilm import __version__
from plainfilm.base.command_line import command_line
from plainfilm.base.sanitize import sanitized
from plainfilm.board.curves import HEIGHT, WIDTH, make_panels
from plainfilm.board.label_errors import read_label_errors
from plainfilm.board.query import MOST, Query, of_run
from plainfilm.board.rows import Listed
from plainfilm.board.run_row import MB, bounded, read_csv_columns
from plainfilm.board.side_by_side import side_by_side
from plainfilm.board.verdicts import Verdict
from plainfilm.errors import PlainfilmError
from plainfilm.runs.folder import RunDir
from plainfilm.runs.saved_config import read_run_yaml
from plainfilm.schemas.compare import NOT_TESTED
from plainfilm.schemas.documents import RESEARCH_ONLY
from plainfilm.schemas.number_text import estimate_text, p_text
from plainfilm.schemas.run_list import RunRow

_STATIC = {"board.css": "text/css", "board.js": "text/javascript"}
_SHARED = {"serve.css": "text/css", "icon.svg": "image/svg+xml"}
_SOON, _SELDOM = 3, 30  # seconds between two refreshes: while a run goes on, and else
_HEADS = (
    ("name", "Run"), ("valid", "Valid AUROC"), ("test", "Test AUROC"), ("status", "Status"), ("model", "Network"), ("data", "Data"),
    ("split", "Split"), ("accesses", "Accesses"), ("minutes", "Minutes"),
)  # fmt: skip
_BROKEN = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError)


def static_files() -> dict[str, tuple[bytes, str]]:
    """Styles and script by path, with their media types; the styles of `serve` are shared."""
    found = {}
    for package, names in (("plainfilm.board", _STATIC), ("plainfilm.serve", _SHARED)):
        for name, kind in names.items():
            found[f"/static/{name}"] = ((files(package) / "static" / name).read_bytes(), kind)
    return found


class Pages:
    """Makes the pages of a board."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._environment = Environment(
            loader=PackageLoader("plainfilm", "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        self._environment.filters |= {"sanitized": sanitized, "estimate": estimate_text, "p": p_text}
        self._environment.globals |= {"version": __version__, "research_only": RESEARCH_ONLY, "of_run": of_run}

    def board(self, listed: Listed, query: Query, verdict: Verdict | None) -> bytes:
        """The table, and what is shown of the chosen runs.

        Args:
            verdict: None where fewer than two are chosen.
        """
        chosen = {name: listed.rows[name] for name in query.runs}
        live = (verdict is not None and verdict.pending) or any(row.status == "running" for row in listed.rows.values())
        histories, configs, wrong = _of_chosen(chosen)
        return self._made(
            "board.html.j2", root=str(self.root), query=query, heads=_HEADS, rows=query.wanted.sorted(list(listed.rows.values())), notes=listed.notes,
            chosen=chosen, most=MOST, every=_SOON if live else _SELDOM, live=live, panels=make_panels(histories),
            keys=side_by_side(configs) if configs else None, configs=list(configs), wrong=wrong, verdict=verdict, width=WIDTH,
            height=HEIGHT, not_tested=NOT_TESTED, has_report={name: has_report(row) for name, row in chosen.items()},
            command=command_line("compare", *(row.path for row in chosen.values())),
        )  # fmt: skip

    def run(self, row: RunRow) -> bytes:
        """One run: its numbers, its config, and the label errors that `interpret` listed."""
        run, wrong, found, keys = RunDir(Path(row.path)), [], None, {}
        try:
            found = read_label_errors(run)
        except PlainfilmError as error:
            wrong.append(str(error))
        except _BROKEN as error:
            wrong.append(f"The label errors cannot be read ({type(error).__name__}).")
        try:
            keys = side_by_side({row.name: read_run_yaml(run)}).same
        except PlainfilmError as error:
            wrong.append(str(error))
        return self._made(
            "board_run.html.j2", row=row, keys=keys, wrong=wrong, has_report=has_report(row),
            errors=found[0] if found else [], count=found[1] if found else None,
            interpret=command_line("interpret", row.path), make_report=command_line("report", row.path),
        )  # fmt: skip

    def _made(self, template: str, **facts: Any) -> bytes:
        return self._environment.get_template(template).render(facts).encode()


def has_report(row: RunRow) -> bool:
    """Whether the run has a report of its own: a link may lead anywhere on this machine."""
    path = RunDir(Path(row.path)).report
    return path.is_file() and not path.is_symlink()


def _of_chosen(chosen: Mapping[str, RunRow]) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """Histories and configs by run, and what of them cannot be read."""
    histories: dict[str, Any] = {}
    configs: dict[str, Any] = {}
    wrong: list[str] = []
    for name, row in chosen.items():
        run = RunDir(Path(row.path))
        for into, read in (
            (histories, lambda run=run, row=row: read_csv_columns(run, run.history, done=row.status == "done")),
            (configs, lambda run=run: read_run_yaml(run) if bounded(run.config, MB) else {}),
        ):
            try:
                into[name] = read()
            except PlainfilmError as error:
                wrong.append(f"{name}: {error}")
            except _BROKEN as error:
                wrong.append(f"{name}: a file cannot be read ({type(error).__name__}).")
    return histories, configs, wrong
