"""The table of runs at several widths: no number is cut, whatever the width."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from plainfilm.board.run_list import COLUMNS
from plainfilm.cli.commands.runs import _COLUMNS
from plainfilm.cli.render.runs import print_runs
from plainfilm.cli.screen import Screen
from plainfilm.schemas.evaluate import Metric
from plainfilm.schemas.run_list import RunRow, RunScores, RunsDocument


def scores(value: float) -> RunScores:
    return RunScores(auroc=Metric(value=value, ci_low=value - 0.05, ci_high=value + 0.04, n=80, n_patients=40, method="m"))  # fmt: skip


def row(name: str, **facts: object) -> RunRow:
    known = {
        "model": "resnet18",
        "data": "/d/films",
        "split": "patient",
        "status": "done",
        "opened": 0,
        "minutes": 12.3,
    }
    return RunRow(path=f"/r/{name}", name=name, **{**known, **facts})  # type: ignore[arg-type]


def printed(rows: list[RunRow], width: int, monkeypatch: pytest.MonkeyPatch, found: int | None = None) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    file = io.StringIO()
    document = RunsDocument(folder="runs", found=len(rows) if found is None else found, runs=rows, notes=[])
    print_runs(Screen(set(), file=file), document)
    return file.getvalue()


ROWS = [
    row("20261129-135757-resnet18-1a2b", valid=scores(0.9), test=scores(0.87), opened=1),
    row("20261129-145757-paper-3c4d", model="paper", status="running", epochs=3, valid=None),
    row("x", status="done", valid=scores(0.8), problem="timing.csv of /r/x is damaged. Restore it."),
]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 140, 200])
def test_every_number_and_name_is_there_at_any_width(width: int, monkeypatch: pytest.MonkeyPatch):
    text = printed(ROWS, width, monkeypatch)
    for found in (
        "0.900 [0.850, 0.940]",
        "0.870 [0.820, 0.910]",
        "0.800",
        "20261129-135757-resnet18-1a2b",
        "3 runs below runs",
    ):
        assert found in " ".join(text.split()), found
    assert "running, 3 epochs" in " ".join(text.split())
    assert "* x: timing.csv of /r/x is damaged. Restore it." in text


@pytest.mark.parametrize("width", [80, 140])
def test_lines_fit_the_screen(width: int, monkeypatch: pytest.MonkeyPatch):
    assert max(map(len, printed(ROWS, width, monkeypatch).splitlines())) <= width


def test_what_all_runs_share_is_said_once_where_room_is_short(monkeypatch: pytest.MonkeyPatch):
    rows = [row(f"experiments/grid/resnet18-seed{i}", valid=scores(0.8 + i / 100)) for i in range(3)]
    lines = printed(rows, 80, monkeypatch).splitlines()
    assert lines[0] == "All: model resnet18, data films, split patient, status done, test AUROC -,"
    assert lines[2].split() == ["run", "valid", "AUROC"]
    assert "model" in printed(rows, 160, monkeypatch).splitlines()[0]


def test_filtered_and_empty_lists_say_so(monkeypatch: pytest.MonkeyPatch):
    assert "1 of 3 runs below runs" in printed([ROWS[0]], 80, monkeypatch, found=3)
    assert "0 of 3 runs below runs" in printed([], 80, monkeypatch, found=3)
    assert "No run folder below runs. Train one: plainfilm train DATA" in printed([], 80, monkeypatch)


def test_a_name_cannot_move_the_cursor(monkeypatch: pytest.MonkeyPatch):
    assert "\x1b" not in printed([row("a\x1b[2J", problem="b\x1b[2J")], 80, monkeypatch)


def test_the_option_offers_the_columns_that_there_are():
    assert tuple(COLUMNS) == _COLUMNS


def test_data_and_split_are_named_by_their_last_part():
    assert row("a", data=str(Path("/x/y/list.csv")), split="/x/split.csv").split_text == "split.csv"
    assert row("a", data=None).data_text == "drawn" and row("a", data=None, model=None).data_text == "-"
