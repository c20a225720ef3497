"""`plainfilm report`: one HTML file from a run folder; it only reads files, runs no network and opens no image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from plainfilm.base.command_line import shell_word
from plainfilm.base.events import EventCallback, silent
from plainfilm.errors import OccupiedError, UsageError
from plainfilm.evaluate.finished import FinishedRun
from plainfilm.report.page import GENERATOR, write_report
from plainfilm.report.run_data import read_reported_run
from plainfilm.runs.folder import RunDir
from plainfilm.runs.people_card import FIELDS, open_fields, read_people_card, write_people_card
from plainfilm.runs.verified_files import say_unverified
from plainfilm.schemas.documents import CardDocument, ReportDocument


def report_run(
    root: Path, *, out: Path | None = None, names: bool = False, data: Path | None = None,
    on_event: EventCallback = silent,
) -> ReportDocument:  # fmt: skip
    """Write the report of a finished run.

    Args:
        out: the HTML file; None: report.html in the run folder.
        names: also show file names, the run's folder and its command as typed. These may contain patient names.
        data: where DATA is now, if it was moved: whether its images are there is checked and said; the page is the same.
    Raises:
        DataError: no finished run, or one of its files is damaged. SealError: the test-set ledger was changed.
        OccupiedError: `out` is a file not written by `report`, or the run is being written. UsageError: `out` is a folder.
    """
    run = RunDir.open(root)
    path = run.report if out is None else out.absolute()
    _refuse_foreign(path)
    if data is not None:
        FinishedRun.open(run, data, on_event)
    if not path.is_relative_to(run.root):  # a read-only run can still be reported elsewhere
        document = write_report(read_reported_run(run), path, names=names)
    else:
        with run.lock():
            document = write_report(read_reported_run(run), path, names=names)
    if data is None:  # else it was said above
        say_unverified(run, on_event)
    return document


def fill_card(root: Path, settings: Sequence[str]) -> CardDocument:
    """`plainfilm card`: the fields of card.yaml after `settings`, FIELD=TEXT, where an empty text opens a field again.

    Writes the file where there is none, or where there are settings.

    Raises:
        UsageError: no such field, one that is given twice, or a text that is too long.
    """
    run = RunDir.open(root)
    written = bool(settings) or not run.people_card.exists()
    if written:
        with run.lock():
            write_people_card(run, settings)
    filled = read_people_card(run)
    fields = [
        {"name": name, "in_model_card": bool(field.section), "claim": list(field.claim), "question": field.question, "text": filled.get(name)}
        for name, field in FIELDS.items()
    ]  # fmt: skip
    facts = {"run": str(root), "file": str(run.people_card), "written": written, "open": len(open_fields(filled))}
    return CardDocument.model_validate({**facts, "fields": fields})


def _refuse_foreign(path: Path) -> None:
    if path.is_dir():
        raise UsageError(
            f"--out {path} is a folder; expected a file. Give a name in it, e.g. --out {shell_word(str(path / 'report.html'))}"
        )
    if not path.exists():
        return
    head = b""
    if path.is_file():  # reading from a pipe would block forever
        with path.open("rb") as file:
            head = file.read(4096)
    if GENERATOR.encode() not in head:
        raise OccupiedError(
            f"{path} exists and is not a plainfilm report; it is not overwritten. Choose another --out."
        )
