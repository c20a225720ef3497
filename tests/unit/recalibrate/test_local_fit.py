"""A known shift of the log odds is found on one half of the patients and mends the other."""

from __future__ import annotations

import numpy as np
import pytest

from plainfilm.errors import DataError
from plainfilm.recalibrate.local_fit import LocalRule, LocalScores, draws_of, fit_local, halves
from plainfilm.recalibrate.local_report import cross_judged, judged, learning_curve, report
from plainfilm.recalibrate.recalibrate import _no_slope, _not_better, _refuse_inverted
from plainfilm.runs.scaling import Scaling

PARENT = Scaling(1.5, (0.0, 0.2))


def local(patients, seed=0, intercept=1.2, slope=1.0, images=1):
    """Patients whose true log odds are intercept + slope times the parent's; the network's logits are of that parent."""
    rng = np.random.default_rng(seed)
    of_patient = rng.normal(scale=2.5, size=patients)
    truth = np.repeat(rng.random(patients) < 1 / (1 + np.exp(-(intercept + slope * of_patient))), images)
    log_odds = np.repeat(of_patient, images) + (rng.normal(scale=0.1, size=patients * images) if images > 1 else 0)
    margin = (log_odds - 0.2) * 1.5  # so that the parent's log odds are log_odds
    clusters = np.repeat(np.arange(patients), images)
    keys = tuple(f"{seed}-{i}" for i in range(patients * images))
    return LocalScores(np.column_stack([np.zeros_like(margin), margin]), truth.astype(int), clusters, keys)


def rule(method="auto", name="smooth"):
    return LocalRule(PARENT, 0.5, name, 1, method)


def test_the_line_that_made_the_labels_is_found():
    scores = local(20_000, intercept=-1.0, slope=0.6)
    found = fit_local(scores, rule())
    intercept, slope = found.added.line(1)
    assert found.method == "platt"
    assert (intercept, slope) == (pytest.approx(-1.0, abs=0.06), pytest.approx(0.6, abs=0.03))
    assert found.probs(scores)[:, 1].mean() == pytest.approx(scores.targs.mean(), abs=1e-6)
    assert found.threshold == pytest.approx(0.5, abs=0.01)  # the scores are probabilities now


def test_the_intercept_alone_leaves_the_slope_and_matches_the_mean():
    """What maximum likelihood with a slope of 1 is: the recalibrated scores sum to the number of positives."""
    scores = local(60, seed=3)
    found = fit_local(scores, rule("intercept"))
    intercept, slope = found.added.line(1)
    assert slope == 1.0 and intercept != 0
    assert found.probs(scores)[:, 1].sum() == pytest.approx(scores.targs.sum(), abs=1e-5)
    before = PARENT.logits(scores.logits)
    assert found.scaling.logits(scores.logits)[:, 1] - before[:, 1] == pytest.approx(np.full(60, intercept))


@pytest.mark.parametrize(
    ("patients", "rarer", "expected"), [(99, 40, "intercept"), (100, 19, "intercept"), (100, 20, "platt")]
)
def test_which_line_is_fitted(patients, rarer, expected):
    scores = local(patients, seed=1)
    likely = scores.logits[:, 1] + np.random.default_rng(0).normal(scale=6, size=patients)
    scores.targs[:] = 0
    scores.targs[np.argsort(likely)[-rarer:]] = 1
    assert fit_local(scores, rule()).method == expected


def test_separable_scores_get_an_intercept():
    scores = local(200, seed=2)
    scores.targs[:] = (scores.logits[:, 1] > 0.4).astype(int)
    assert fit_local(scores, rule("platt")).method == "intercept"


def test_a_fixed_threshold_stays_and_three_classes_have_none():
    assert fit_local(local(60), rule(name="0.3")).threshold == 0.3
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(300, 3))
    truth = (rng.random((300, 1)) > Scaling(1.0, (0.0, 1.0, -1.0)).probs(logits).cumsum(1)).sum(1)
    found = fit_local(
        LocalScores(logits, truth, np.arange(300), tuple(map(str, range(300)))),
        LocalRule(Scaling(), None, "smooth", None),
    )
    assert found.threshold is None
    assert found.scaling.bias == pytest.approx((0.0, 1.0, -1.0), abs=0.4)


# --- halves ----------------------------------------------------------------------------------------------------------


def test_halves_are_whole_patients_of_each_class_whatever_the_order_of_the_rows():
    scores = local(50, images=3, seed=4)
    fits = halves(scores)
    of_patient = fits.reshape(50, 3)
    assert (of_patient == of_patient[:, :1]).all()
    for k in (0, 1):
        mine = of_patient[:, 0][scores.targs.reshape(50, 3)[:, 0] == k]
        assert abs(mine.sum() - (~mine).sum()) <= 1
    order = np.random.default_rng(0).permutation(150)
    moved = LocalScores(
        scores.logits[order], scores.targs[order], 49 - scores.clusters[order], tuple(scores.keys[i] for i in order)
    )
    assert (halves(moved) == fits[order]).all()
    assert (halves(scores, seed=1) != fits).any()


def test_too_few_patients_of_a_class_are_refused():
    scores = local(30, seed=5)
    scores.targs[:] = 0
    scores.targs[:3] = 1
    with pytest.raises(DataError, match="has 3 patients among the local images, and 4 are needed"):
        halves(scores)


def test_draws_have_the_patients_and_both_classes():
    scores = local(80, images=2, seed=6)
    drawn = draws_of(scores, 10, 20, seed=0)
    assert len({tuple(np.flatnonzero(rows)) for rows in drawn}) == 20
    for rows in drawn:
        assert abs(scores.among(rows).patients - 10) <= 1 and len(set(scores.targs[rows])) == 2
        assert rows.reshape(80, 2).all(axis=1).sum() == rows.sum() // 2  # whole patients


# --- judging ---------------------------------------------------------------------------------------------------------


def test_a_shift_of_the_log_odds_is_mended_for_those_who_fitted_nothing():
    """50 local patients regain most of what the shift took; 20 draws, each judged on 4,000 other patients."""
    far = local(4000, seed=100, intercept=2.5)
    truth = far.targs
    oracle = ((PARENT.logits(far.logits)[:, 1] + 2.5 > 0) == truth).mean()
    before = ((PARENT.logits(far.logits)[:, 1] > 0) == truth).mean()
    regained = []
    for seed in range(20):
        point = fit_local(local(50, seed=seed, intercept=2.5), rule())
        after = (judged(far, point, 1).predicted == truth).mean()
        regained.append((after - before) / (oracle - before))
    assert oracle - before > 0.1
    assert np.mean(regained) > 0.8


def test_the_report_compares_the_same_images():
    scores = local(300, seed=7, intercept=2.0)
    fits = halves(scores)
    point, rest = fit_local(scores.among(fits), rule()), scores.among(~fits)
    before, after = judged(rest, rule().as_it_is, 1), judged(rest, point, 1)
    found = report(rest, before, after, positive=1, has_patients=True, seed=0)
    assert found.before["accuracy"].value == (before.predicted == rest.targs).mean()
    assert found.after["accuracy"].value == (after.predicted == rest.targs).mean()
    gain = found.difference["accuracy"]
    assert gain.value == pytest.approx(found.after["accuracy"].value - found.before["accuracy"].value)
    assert gain.ci_low > 0 and gain.n == len(rest.targs)
    assert found.after["auroc"].value == pytest.approx(found.before["auroc"].value, abs=1e-12)
    assert abs(found.after["calibration_intercept"].value) < 0.6 < found.before["calibration_intercept"].value
    assert found.difference["sensitivity"].value == pytest.approx(
        found.after["sensitivity"].value - found.before["sensitivity"].value
    )


def test_cross_fitting_never_scores_an_image_by_a_fit_that_saw_it():
    scores = local(120, seed=8, intercept=1.5)
    fits = halves(scores)
    found = cross_judged(scores, fits, rule())
    for rows in (fits, ~fits):
        point = fit_local(scores.among(~rows), rule())
        assert found.probs[rows] == pytest.approx(point.probs(scores.among(rows)))
    changed = LocalScores(scores.logits, np.where(fits, 1 - scores.targs, scores.targs), scores.clusters, scores.keys)
    assert cross_judged(changed, fits, rule()).probs[fits] == pytest.approx(
        found.probs[fits]
    )  # labels of a half move only the other


def test_the_learning_curve_begins_with_the_parent_and_ends_with_the_fit():
    scores = local(300, seed=9, intercept=2.0)
    fits = halves(scores)
    fitted, rest = scores.among(fits), scores.among(~fits)
    curve = learning_curve(fitted, rest, rule(), seed=0)
    assert [point.patients for point in curve] == [0, 10, 20, 50, 100, fitted.patients]
    assert curve[0].accuracy == (judged(rest, rule().as_it_is, 1).predicted == rest.targs).mean()
    assert curve[-1].accuracy == (judged(rest, fit_local(fitted, rule()), 1).predicted == rest.targs).mean()
    assert curve[1].accuracy_high - curve[1].accuracy_low > curve[4].accuracy_high - curve[4].accuracy_low
    assert curve[3].accuracy > curve[0].accuracy


def test_a_slope_that_is_not_fitted_is_said():
    falling = local(400, seed=12, slope=-1.0)
    point = fit_local(falling, rule("platt"))
    assert point.method == "intercept"
    assert _no_slope(point).startswith("NO SLOPE")
    assert _no_slope(fit_local(falling, rule("intercept"))) == ""
    assert _no_slope(fit_local(local(60), rule())) == ""


def test_a_ranking_the_wrong_way_round_is_refused_and_no_gain_is_said():
    scores = local(400, seed=13, slope=-1.0)
    point = rule().as_it_is
    same = judged(scores, point, 1)
    found = report(scores, same, same, positive=1, has_patients=True, seed=0)
    with pytest.raises(DataError, match="ranks the classes the wrong way round: AUROC 0"):
        _refuse_inverted(found)
    note = _not_better(found)  # the same point twice: no gain
    assert note.startswith("NOT BETTER") and "+0.000" in note
    better = local(400, seed=14, intercept=2.0)
    mended = report(
        better,
        judged(better, point, 1),
        judged(better, fit_local(better, rule()), 1),
        positive=1,
        has_patients=True,
        seed=0,
    )
    _refuse_inverted(mended)
    assert _not_better(mended) == ""
