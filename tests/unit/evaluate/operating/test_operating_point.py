"""Temperature, threshold and band come from the calibrate rows of valid and from nothing else."""

import numpy as np
import pandas as pd
import pytest

from plainfilm.config import EvaluateConfig
from plainfilm.data.split.valid_roles import BOTH, CALIBRATE, SELECT
from plainfilm.evaluate.metrics.calibration import fit_scaling
from plainfilm.evaluate.operating.conformal import fit_band
from plainfilm.evaluate.operating.operating_point import _operating_point, threshold_of
from plainfilm.evaluate.operating.threshold_range import Threshold
from plainfilm.evaluate.operating.thresholds import choose_threshold
from plainfilm.evaluate.predictions import CHANGE, make_predictions
from plainfilm.runs.scaling import Scaling
from wording import lacking

VOCAB = ["NORMAL", "PNEUMONIA"]


def drawn(n=300, seed=0, heat=2.0, images=2):
    """Rows of `n` valid patients, half of each role, and logits `heat` times too large."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(rng.random(n) < 0.6, images)
    margin = np.repeat(rng.normal(size=n), images) + 0.5 * rng.normal(size=n * images) + 1.2 * (2 * truth - 1)
    group = np.repeat(np.arange(n), images)
    rows = pd.DataFrame({
        "path": [f"/d/{i}" for i in range(n * images)], "patient": group.astype(str), "group": group, "split": "valid",
        "label": np.array(VOCAB)[truth.astype(int)], "role": np.where(group % 2, CALIBRATE, SELECT),
    })  # fmt: skip
    return rows, heat * np.column_stack([-margin, margin])


def point_of(rows, logits, cfg=None, **more):
    valid = make_predictions(rows, logits, VOCAB, has_patients=True)
    return _operating_point(valid, rows, cfg or EvaluateConfig(), 1, seed=3, **more)


def test_each_number_is_what_its_rule_finds_on_the_calibrate_rows():
    rows, logits = drawn()
    mine = (rows["role"] == CALIBRATE).to_numpy()
    found = point_of(rows, logits)
    targs = (rows["label"] == "PNEUMONIA").to_numpy().astype(int)
    groups = rows["group"].to_numpy()
    scaling = fit_scaling(logits[mine], targs[mine], groups[mine]).scaling
    assert found.scaling.temperature == pytest.approx(scaling.temperature, rel=1e-6)
    assert found.scaling.bias == pytest.approx(scaling.bias, abs=1e-6)
    p = 1 / (1 + np.exp((logits[:, 0] - logits[:, 1]) / scaling.temperature - scaling.bias[1]))
    assert found.threshold.value == pytest.approx(choose_threshold("smooth", p[mine], targs[mine] == 1), rel=1e-6)
    assert found.threshold.value == pytest.approx(0.5, abs=1e-4)  # the bias has done it already
    assert found.threshold.range.low < found.threshold.value < found.threshold.range.high
    assert found.threshold.range.patients == 150
    band = fit_band(np.column_stack([1 - p, p])[mine], targs[mine], groups[mine], VOCAB, level=0.9, seed=3)
    assert found.band.lowest == pytest.approx(band.lowest, rel=1e-6)
    assert sum(found.band.patients.values()) == 150
    assert found.notes == ()


def test_no_other_row_is_used():
    """Other scores and labels of select rows change no number."""
    rows, logits = drawn()
    rng, mine = np.random.default_rng(1), (rows["role"] == CALIBRATE).to_numpy()
    for _ in range(5):
        shuffled, other = rows.copy(), logits.copy()
        other[~mine] = rng.permutation(other[~mine]) * 3
        shuffled.loc[~mine, "label"] = rng.permutation(rows.loc[~mine, "label"].to_numpy())
        assert point_of(shuffled, other) == point_of(rows, logits)
    shuffled.loc[mine, "label"] = rng.permutation(rows.loc[mine, "label"].to_numpy())
    assert point_of(shuffled, logits) != point_of(rows, logits)


def test_of_an_older_or_small_run_all_valid_rows_serve():
    rows, logits = drawn()
    found = point_of(rows.assign(role=BOTH), logits)
    assert sum(found.band.patients.values()) == 300


def test_corrupted_images_give_temperature_and_threshold_and_unchanged_ones_the_band():
    rows, logits = drawn()
    shifted = pd.concat([rows.assign(**{CHANGE: name}) for name in ("none", "noise")], ignore_index=True)
    hotter = np.vstack([logits, 0.5 * logits + [0.7, -0.7]])
    chosen_on = make_predictions(shifted, hotter, VOCAB, has_patients=True)
    found = point_of(rows, logits, chosen_on=(chosen_on, shifted))
    mine = (shifted["role"] == CALIBRATE).to_numpy()
    scaling = fit_scaling(chosen_on.logits[mine], chosen_on.targs[mine], chosen_on.groups[mine]).scaling
    assert found.scaling == scaling
    assert found.scaling.temperature != pytest.approx(point_of(rows, logits).scaling.temperature, rel=0.01)
    assert found.threshold == threshold_of("smooth", chosen_on.at(scaling), shifted, 1, seed=3)
    assert sum(found.band.patients.values()) == 150


def test_a_fixed_threshold_is_kept_and_more_classes_have_none():
    rows, logits = drawn()
    assert point_of(rows, logits, EvaluateConfig(threshold="0.3")).threshold == Threshold(0.3, None)
    three = np.column_stack([logits, np.full(len(logits), -3.0)])
    valid = make_predictions(rows, three, [*VOCAB, "OTHER"], has_patients=True)
    found = _operating_point(valid, rows, EvaluateConfig(), None, seed=0)
    assert found.threshold is None
    assert found.scaling.temperature > 1.1
    assert found.band is None
    (note,) = found.notes
    assert note.startswith("NO ABSTAIN BAND: ") and lacking(note, "fewer than 9 patients", "valid") == []


def test_a_known_temperature_is_found_and_the_predicted_classes_stay():
    rows, logits = drawn(4000)
    cold = point_of(*drawn(4000, heat=1.0)).scaling.temperature
    assert point_of(rows, logits).scaling.temperature == pytest.approx(2 * cold, rel=1e-5)
    valid = make_predictions(rows, logits, VOCAB, has_patients=True)
    assert np.array_equal(valid.at(Scaling(3.0)).probs.argmax(1), valid.probs.argmax(1))


def test_a_rule_with_a_bound_says_what_it_does_not_promise():
    rows, logits = drawn()
    assert [
        n for n in point_of(rows, logits, EvaluateConfig(threshold="sensitivity>=0.9")).notes if n.startswith("BOUND")
    ]
    assert point_of(rows, logits, EvaluateConfig(threshold="sensitivity>=0.8@0.9")).notes == ()
