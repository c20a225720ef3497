"""Text from other sources is made harmless before it is shown; numbers keep their intervals."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainfilm.base.sanitize import INVISIBLE, sanitized
from plainfilm.report.formatting import between, count, figure, many, number
from plainfilm.runs.metrics_file import Number


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PNEUMONIA", "PNEUMONIA"),
        ("\u202egnp.exe", "\\u202egnp.exe"),  # would reverse the rest of the line
        ("a\nb\tc", "a\\nb\\tc"),
        ("=1+1", "'=1+1"),
        ("-rf", "'-rf"),
        ("\ud800x", "\\ud800x"),  # half a surrogate cannot be written as UTF-8
        ("\u0645\u0631\u064a\u0636", "\u0645\u0631\u064a\u0636"),  # Arabic stays Arabic
        ("x" * 200, "x" * 120 + "\u2026"),
        ("", ""),
    ],
)
def test_a_text_is_shown(text: str, expected: str):
    assert sanitized(text) == expected


@given(st.text())
def test_nothing_unseen_is_left_and_it_can_be_written(text: str):
    seen = sanitized(text)
    seen.encode("utf-8")
    assert not [c for c in seen if unicodedata.category(c) in INVISIBLE]
    assert seen[:1] not in {"=", "+", "-", "@"}


def test_an_interval_never_looks_like_a_point():
    rare = Number(value=0.99984, ci_low=0.99974, ci_high=0.9999)
    assert (figure(rare), between(rare)) == ("0.9998", "[0.9997, 0.9999]")
    plain = Number(value=0.953, ci_low=0.935, ci_high=0.966)
    assert (figure(plain), between(plain)) == ("0.953", "[0.935, 0.966]")


def test_what_cannot_be_estimated_says_why():
    missing = Number(value=None, method="not estimable: one class only")
    assert (figure(missing), between(missing)) == ("\u2013", "not estimable: one class only")


def test_numbers_and_counts():
    assert number(-0.0001) == "0.000"
    assert number(-0.5) == "-0.500"
    assert (count(5840), count(None)) == ("5,840", "unknown")
    assert (many(1, "time"), many(2, "time"), many(2, "patient", "patients")) == ("1 time", "2 times", "2 patients")
