"""What reviewers ask for is on the page: calibration in the large, likelihood ratios, abstentions, left-out classes."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

from report_edits import edit_metrics

from plainfilm.pipeline.report import report_run
from plainfilm.runs.folder import RunDir


def text_of(run: RunDir) -> str:
    html = Path(report_run(run.root).out).read_text(encoding="utf-8")
    return " ".join(unescape(re.sub(r"<style.*?</style>|<[^>]+>", " ", html, flags=re.DOTALL)).split())


def saved(run: RunDir, split: str = "test") -> dict:
    return json.loads(run.metrics.read_text(encoding="utf-8"))[split]


def with_limits(metric: dict, digits: int = 3) -> str:
    value, low, high = (f"{metric[key]:.{digits}f}" for key in ("value", "ci_low", "ci_high"))
    return f"{value} [{low}, {high}]"


def test_calibration_is_a_sentence_with_both_numbers(finish):
    run = finish()
    text, large = text_of(run), saved(run)["reliability"]["in_the_large"]
    assert f"{large['says']}." in text and large["says"].startswith("Scores for PNEUMONIA ")
    assert with_limits(large["difference"]).replace("-0.000", "0.000") in text
    assert with_limits(large["observed_expected"], 2) in text
    assert "80 times in 100" not in text


def test_likelihood_ratios_and_net_benefit_are_at_the_operating_point(finish):
    run = finish()
    text, found = text_of(run), saved(run)
    for name, shown in (("positive", "LR+"), ("negative", "LR-")):
        assert f"{shown} {with_limits(found['likelihood_ratios'][name])}" in text
    assert "At this set's prevalence of PNEUMONIA (0.500) acting on the score" in text


def test_sensitivity_is_given_with_abstentions_and_without(finish):
    run = finish()
    rate = {"value": 0.5, "ci_low": 0.4, "ci_high": 0.6, "n": 9, "n_patients": 9, "method": "x"}
    every = {"rows": [[40, 10], [5, 45]], "sensitivity": rate | {"value": 0.55}, "specificity": rate}
    kept = {"rows": [[38, 4], [2, 41]], "sensitivity": rate | {"value": 0.57}, "specificity": rate}
    band = {"level": 0.9, "lowest": {}, "on": "all images", "coverage": {}, "kept": rate, "error_among_kept": rate,
            "holds": "x", "with_abstained": every, "without_abstained": kept}  # fmt: skip
    edit_metrics(run, "test", band=band)
    text = text_of(run)
    assert "Sensitivity, abstentions counted as predicted 0.550 [0.400, 0.600]" in text
    assert "Sensitivity, without abstentions 0.570 [0.400, 0.600]" in text
    assert "NORMAL 38 4 8 PNEUMONIA 2 41 7" in text


def test_a_class_that_a_mean_leaves_out_is_named_below_the_table(finish):
    run = finish("three", vocab=("A", "B", "C"), positive=None)
    means = {"ppv": {"classes": 3, "without": {"B": "never predicted"}, "zero_division": 0.4021}}
    edit_metrics(run, "test", macro=means)
    text = text_of(run)
    assert "PPV: mean of 2 of 3 classes, without B (never predicted); with 0 for it PPV 0.402." in text
    assert "The highest scores" in text and "LR+" not in text
    for label, each in saved(run)["reliability"]["by_class"].items():
        assert f"{label} {with_limits(each['difference'])}".replace("-0.000", "0.000") in text


def test_numbers_of_an_earlier_version_make_a_page_without_them(finish):
    run = finish()
    found = json.loads(run.metrics.read_text(encoding="utf-8"))
    for part in ("valid", "test"):
        for key in ("macro", "likelihood_ratios", "reliability"):
            del found[part][key]
        for key in ("band_low", "band_high", "prevalence"):
            del found[part]["decision_curve"][key]
    run.metrics.write_text(json.dumps(found), encoding="utf-8")
    text = text_of(run)
    assert "LR+" not in text and "acting on the score" not in text and "Calibration: are the scores" in text
