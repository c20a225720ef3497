"""Rows are the same whatever a path or class name contains, and no cell can begin a formula."""

from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainfilm.base.sanitize import _FORMULA, spreadsheet_cell, visible
from plainfilm.export.prediction_rows import _csv_header, _csv_line, _json_line
from plainfilm.export.scorer import Prediction

VOCAB = ["NORMAL", "=1+1"]
FOUND = Prediction("=1+1", 0.123456789123, {"NORMAL": 0.876543210877, "=1+1": 0.123456789123}, ("abstain", "out of distribution"))  # fmt: skip


def test_a_row_as_it_is_written():
    assert _csv_header(VOCAB) == "path,label,score,prob_NORMAL,prob_=1+1,flag,error\n"
    assert (
        _csv_line(VOCAB)("a.png", FOUND)
        == "a.png,'=1+1,0.123456789,0.876543211,0.123456789,abstain; out of distribution,\n"
    )
    assert _csv_line(VOCAB)("a.png", Prediction(error="E_READ: gone")) == "a.png,,,,,,E_READ: gone\n"
    assert json.loads(_json_line(VOCAB)("a.png", FOUND)) == {
        "path": "a.png", "label": "=1+1", "score": 0.123456789, "prob_NORMAL": 0.876543211, "prob_=1+1": 0.123456789,
        "flag": "abstain; out of distribution", "error": "",
    }  # fmt: skip
    assert json.loads(_json_line(VOCAB)("a.png", Prediction(error="x")))["score"] is None


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@sum(A1)", "\t=1", "\r=1", "\n=1", "  =cmd", "\uff1d1", "-rf.png", "\u00a0=1"]
)
def test_what_begins_a_formula_gets_an_apostrophe(text):
    assert spreadsheet_cell(text) == "'" + text


@pytest.mark.parametrize("text", ["a=1", "C:\\x.png", "/data/-1.png", "1.png", "", " a.png", "'=1"])
def test_what_begins_none_stays_as_it_is(text):
    assert spreadsheet_cell(text) == text


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(
    path=st.one_of(texts, st.builds(lambda a, b: a + b, st.sampled_from(_FORMULA + '\t\r\n ,"'), texts)), error=texts
)
def test_any_path_survives_and_no_cell_begins_a_formula(path, error):
    written = _csv_line(VOCAB)(path, Prediction(error=error))
    (cells,) = csv.reader(io.StringIO(written, newline=""), strict=True)
    assert len(cells) == 7
    for cell, given_text in ((cells[0], path), (cells[-1], error)):
        assert cell in (given_text, "'" + given_text)
        assert cell.lstrip()[:1] not in tuple(_FORMULA) or not cell.strip()
    line = _json_line(VOCAB)(path, Prediction(error=error))
    assert line.isascii() and line.count("\n") == 1
    assert json.loads(line)["path"] == path


def test_a_terminal_gets_nothing_that_it_would_obey():
    assert visible("a\x1b[2Jb\u202egnp\x07\ud800") == "a\\x1b[2Jb\\u202egnp\\x07\\ud800"
    assert visible("Röntgen 影.png") == "Röntgen 影.png"
