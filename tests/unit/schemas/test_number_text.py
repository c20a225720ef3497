"""One way to print a number with its interval."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from plainfilm.schemas.compare import MeanSd
from plainfilm.schemas.evaluate import Metric
from plainfilm.schemas.number_text import beside_p, estimate_text, limits_text, p_said, p_text, ratio_text

PACKAGE = Path(__file__).parents[3] / "src" / "plainfilm"


def metric(value: float | None, low: float | None, high: float | None) -> Metric:
    return Metric(value=value, ci_low=low, ci_high=high, n=9, n_patients=None, method="")


@pytest.mark.parametrize(
    ("found", "form", "text"),
    [
        (metric(0.95312, 0.93549, 0.9665), "z.3f", "0.953 [0.935, 0.967]"),
        (metric(0.02, -0.0001, 0.1), "z.3f", "0.020 [0.000, 0.100]"),  # no "-0.000"
        (metric(-0.0312, -0.05, 0.002), "+.3f", "-0.031 [-0.050, +0.002]"),
        (metric(0.99984, 0.99974, 0.9999), "z.4f", "0.9998 [0.9997, 0.9999]"),
        (metric(0.5, None, None), "z.3f", "0.500"),
        (metric(None, None, None), "z.3f", "-"),
    ],
)
def test_a_number_is_printed_with_its_interval(found: Metric, form: str, text: str):
    assert estimate_text(found, form) == text
    assert limits_text(found.ci_low, found.ci_high, form) == text.partition(" ")[2]


@pytest.mark.parametrize(
    ("mean", "sd", "text"),
    [(0.953, 0.0041, "0.953 ± 0.004 [0.940, 0.963]"), (0.953, None, "0.953 [0.940, 0.963]"), (None, None, "-")],
)
def test_a_mean_over_seeds_has_its_spread(mean: float | None, sd: float | None, text: str):
    assert MeanSd(mean=mean, sd=sd, ci_low=0.94, ci_high=0.963, n=9, n_patients=None, method="").as_text() == text


def test_nobody_else_writes_an_interval():
    own = re.compile(r"\[\{[^}]*(?:low|high)[^}]*\}+, \{")
    found = {p.relative_to(PACKAGE).as_posix() for p in PACKAGE.rglob("*.py") if own.search(p.read_text("utf-8"))}
    percent_and_powers = {"interpret/heatmap_study.py", "interpret/heatmap_verdicts.py"}
    assert "schemas/number_text.py" in found and found <= {"schemas/number_text.py", *percent_and_powers}


@pytest.mark.parametrize(
    ("p", "plain", "floor"),
    [
        (0.0136, "0.014", "<= 0.014"),  # 136 tests of 10,000 draws
        (0.0132, "0.013", "<= 0.014"),  # a bound is rounded up
        (0.0001, "0.0001", "<= 0.0001"),
        (0.00012, "0.0001", "<= 0.0002"),
        (0.00008, "<0.0001", "<= 0.0001"),
        (0.5, "0.500", "<= 0.500"),
    ],
)
def test_a_p_and_a_p_at_its_floor(p: float, plain: str, floor: str):
    assert (p_text(p), p_text(p, is_floor=True)) == (plain, floor)
    assert p_said(p) == f"p {plain}"
    assert p_said(p, is_floor=True) == f"p {floor} (the fewest these draws can show)"


def test_what_stands_below_a_table_of_adjusted_p():
    assert beside_p(1, floors=False) == []
    assert beside_p(3, floors=False) == ["Limits are not adjusted for the 3 comparisons; p is."]
    assert beside_p(1, floors=True) == ["p <=: the fewest these draws can show."]
    assert len(beside_p(3, floors=True)) == 2


def test_a_ratio_has_no_endless_and_no_empty_digits():
    def ratio(*values: float) -> str:
        return ratio_text(
            Metric(value=values[0], ci_low=values[1], ci_high=values[2], n=3, n_patients=None, method="x")
        )

    assert ratio(0.956, 0.38, 2.4) == "0.96 [0.38, 2.40]"
    assert ratio(1.2, 1e-9, float("inf")) == "1.20 [< 0.01, > 100]"
    assert ratio(4.0, 0.004, 485_165_195.0) == "4.00 [< 0.01, > 100]"
    assert ratio(0.0, 0.0, 100.0) == "0.00 [0.00, 100.00]"
