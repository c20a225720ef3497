"""What `evaluate` prints for readers of a paper: calibration, likelihood ratios, both 2x2 tables, macro means."""

from __future__ import annotations

import io
import json

import pytest

from plainfilm.cli.render.evaluate_blocks import print_abstentions, print_blocks
from plainfilm.cli.render.registry import PRINTERS
from plainfilm.cli.screen import Screen
from plainfilm.evaluate.document import ExtraBlocks, evaluate_document
from plainfilm.evaluate.finished import FinishedRun
from plainfilm.schemas.documents import AbstainBandReport, EvaluateDocument, Metric
from plainfilm.schemas.evaluate import DecisionCurve, External, TwoByTwo
from wording import lacking


@pytest.fixture
def screen() -> Screen:
    return Screen(set(), verbose=True, file=io.StringIO(), width=80)


@pytest.fixture
def evaluated(save_run):
    """evaluated(vocab=..., column=...): the metrics document of the valid images of a drawn run."""

    def evaluate(by: bool = False, **asked) -> EvaluateDocument:
        finished = FinishedRun.open(save_run("one", patients=60, **asked).root)
        predictions = finished.predictions("valid")
        names = ["east" if i % 2 else "west" for i in range(len(predictions.targs))] if by else []
        extra = ExtraBlocks(column="site", names=names) if by else ExtraBlocks()
        return evaluate_document(finished, "valid", predictions, (0, 0), extra)

    return evaluate


def shown(screen: Screen, document: EvaluateDocument) -> str:
    screen.width = 80
    PRINTERS[EvaluateDocument](screen, document)
    return screen.file.getvalue()


def flat(text: str) -> str:
    return " ".join(text.split())


def test_the_screen_says_whether_scores_are_too_high_and_what_a_prediction_is_worth(screen, evaluated):
    document = evaluated()
    text = shown(screen, document)
    large, ratios = document.reliability.in_the_large, document.likelihood_ratios
    facts = [
        large.says,
        f"observed/expected {large.observed_expected.value:.2f}",
        f"LR+ {ratios['positive'].value:.2f}",
    ]
    assert lacking(flat(text), *facts, f"LR- {ratios['negative'].value:.2f}") == []
    assert lacking(flat(text), document.decision_curve.said("PNEUMONIA"), "At this set's prevalence of PNEUMONIA") == []
    assert max(len(line) for line in text.splitlines() if document.run not in line) <= 80


def test_subgroups_show_ppv_npv_and_calibration_and_a_gap_that_is_not_shown(screen, evaluated):
    document = evaluated(by=True)
    text = shown(screen, document)
    (east, west) = document.subgroups.groups
    for group in (east, west):
        for name in ("ppv", "npv", "calibration_in_the_large"):
            assert f"{group.metrics[name].value:.3f}" in text, name
    assert lacking(flat(text), "score - share: mean score minus the share observed", "not shown") == []
    assert [gap.p_holm <= 0.05 for gap in document.subgroups.gaps] == [False] * len(document.subgroups.gaps)
    assert max(len(line) for line in text.splitlines() if document.run not in line) <= 80


def test_a_class_that_a_mean_leaves_out_is_named_below_it(screen, evaluated):
    document = evaluated(vocab=("adeno", "benign", "normal"), positive=None)
    found = document.model_dump(mode="json")
    found["macro"] = {"ppv": {"classes": 3, "without": {"benign": "never predicted"}, "zero_division": 0.4021}}
    text = shown(screen, EvaluateDocument.model_validate_json(json.dumps(found)))
    said = "PPV: mean of 2 of 3 classes, without benign (never predicted); with 0 for it PPV 0.402"
    assert said in flat(text) and "Likelihood" not in text and "The highest scores" in text


def metric(value: float | None = 0.5) -> Metric:
    return Metric(value=value, ci_low=value, ci_high=value, n=9, n_patients=9, method="x")


def test_abstentions_are_counted_as_predicted_and_left_out(screen, evaluated):
    with_all = TwoByTwo(rows=[[40, 10], [5, 45]], sensitivity=metric(0.9), specificity=metric(0.8))
    without = TwoByTwo(rows=[[38, 4], [2, 41]], sensitivity=metric(0.953), specificity=metric(0.905))
    band = AbstainBandReport(
        level=0.9, lowest={}, on="all images", coverage={}, kept=metric(), error_among_kept=metric(), holds="x",
        with_abstained=with_all, without_abstained=without,
    )  # fmt: skip
    document = evaluated()
    print_abstentions(screen, document.model_copy(update={"band": band, "gate": None}))
    lines = [" ".join(line.split()) for line in screen.file.getvalue().splitlines()]
    assert "sensitivity, abstained as predicted 0.900 [0.900, 0.900] 9" in lines
    assert "specificity, without abstained 0.905 [0.905, 0.905] 9" in lines
    assert "Abstained: not judged (no band)" not in lines
    assert lines[-4:-1] == ["NORMAL PNEUMONIA abstained", "NORMAL 38 4 8", "PNEUMONIA 2 41 7"]
    assert lines[-1] == "Out of distribution: not judged (no gate)"
    print_abstentions(screen, document.model_copy(update={"band": None, "gate": None}))
    both = ["Abstained: not judged (no band)", "Out of distribution: not judged (no gate)"]
    assert [line.strip() for line in screen.file.getvalue().splitlines()[-2:]] == both


def curve(**facts) -> DecisionCurve:
    nothing = [0.0, 0.0, 0.0]
    return DecisionCurve(
        thresholds=[0.1, 0.2, 0.3], net_benefit=nothing, ci_low=nothing, ci_high=nothing, treat_all=nothing, n=9,
        n_patients=9, method="x", **{"prevalence": 0.25, "band_low": nothing, "band_high": nothing, "useful": []} | facts,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("useful", "said"),
    [
        ([], "is not shown to do more good than treating everybody or nobody at any threshold"),
        ([0.1, 0.2], "does more good than treating everybody or nobody at thresholds from 0.10 to 0.20"),
        ([0.1, 0.3], "at 2 of the 3 thresholds from 0.10 to 0.30"),
        ([0.2], "at the threshold 0.20"),
    ],
)
def test_net_benefit_is_said_of_this_prevalence_and_of_all_thresholds_together(useful, said):
    text = curve(useful=useful).said("X")
    assert said in text and text.startswith("At this set's prevalence of X (0.250) acting on the score")
    assert text.endswith("(net benefit; 95 % band for all 3 thresholds together)")


def test_numbers_with_a_pointwise_band_alone_have_no_sentence(screen, evaluated):
    document = evaluated().model_copy(update={"decision_curve": curve(band_low=[], band_high=[], useful=[0.1])})
    print_blocks(screen, document, {})
    assert "good" not in screen.file.getvalue()


def test_what_moves_with_the_share_is_said_of_external_images(screen, evaluated):
    drops = {"valid": {}}
    block = External(
        found=9, used=9, quarantined=0, duplicates=0, ignored=0, patients=None, classes={}, drops=drops, drift=None
    )
    print_blocks(screen, evaluated().model_copy(update={"external": block, "decision_curve": None}), {})
    said = "Accuracy, AUPRC, PPV, NPV, F1, MCC, Brier, ECE and the calibration intercept also move with the share"
    assert said in flat(screen.file.getvalue())
