"""The one reader of JSON: every bad text is one line that names the file."""

from __future__ import annotations

import ast
import contextlib
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainfilm.base.json_text import _BadJSONError, json_model, parsed_json
from plainfilm.errors import DataError
from plainfilm.schemas.data import Document

SOURCE = Path(__file__).parents[3] / "src" / "plainfilm"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[" * 200_000, "levels deep"),
        ('{"a":' * 200_000 + "1" + "}" * 200_000, "levels deep"),
        ("[" * 51 + "]" * 51, "levels deep"),
        ("9" * 5000, "an integer of 5000 digits"),
        ("1" + "0" * 400, "an integer of 401 digits"),
        ("NaN", "the number NaN"),
        ("[-Infinity]", "the number -Infinity"),
        ("1e999", "the number 1e999"),
        ('"\\ud800"', "not text"),
        (b'"\xff"', "not text"),
        ("{", "Expecting property name"),
        ('{"threshold": 0.5, "a": 1, "threshold": 0.9}', "the key 'threshold' twice in one object"),
        ('[{"a": {"b": 1, "b": 1}}]', "the key 'b' twice in one object"),
        ("", "Expecting value"),
    ],
)
def test_bad_text_is_one_line_with_the_name(text, why):
    with pytest.raises(_BadJSONError) as caught:
        parsed_json(text, "status.json")
    message = str(caught.value)
    assert message.startswith("status.json ") and why in message and "\n" not in message and len(message) < 200
    assert isinstance(caught.value, DataError) and caught.value.exit_code == 2


def test_a_key_twice_is_found_among_many_at_once():
    """Counting each of 100,000 keys in a list of all is 10^10 comparisons: minutes."""
    text = "{" + ",".join(f'"{k}":0' for k in range(100_000)) + ',"99999":0}'
    began = time.process_time()
    with pytest.raises(_BadJSONError, match="the key '99999' twice in one object"):
        parsed_json(text, "x")
    assert time.process_time() - began < 5


def test_what_our_files_hold_is_read():
    assert parsed_json("[" * 50 + "]" * 50, "x") is not None
    assert parsed_json('{"a": [1, -2.5, true, null, "\\ud83d\\ude00", 18446744073709551615]}', "x") == {
        "a": [1, -2.5, True, None, "\U0001f600", 18446744073709551615]
    }


@given(st.text() | st.binary())
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(_BadJSONError):
        parsed_json(text, "x")


def test_a_document_is_read_under_the_same_limits():
    with pytest.raises(_BadJSONError, match="levels deep"):
        json_model(Document, "[" * 300 + "]" * 300, "card.json")


def test_nothing_else_parses_json():
    found = [
        f"{path.relative_to(SOURCE)}:{node.lineno}"
        for path in SOURCE.rglob("*.py")
        if path.name not in ("json_text.py", "child_main.py")  # a child starts without pydantic, and caps by itself
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and (node.attr == "model_validate_json" or (ast.unparse(node) in ("json.loads", "json.load", "yaml.safe_load")))
    ]
    assert found == []
