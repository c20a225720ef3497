from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainfilm.errors import DataError
from plainfilm.evaluate.predictions import (
    AS_TRAINED,
    _nine_digits,
    make_predictions,
    read_predictions,
    write_predictions,
)
from plainfilm.runs.folder import RunDir
from plainfilm.runs.scaling import Scaling

ROWS = pd.DataFrame({
    "path": ["/d/a.png", "/d/b.png", "/d/c.png"], "patient": ["007", "7", ""], "label": ["NA", "NO", "NA"],
    "group": [0, 1, 2],
})  # fmt: skip
VOCAB = ["NA", "NO"]
LOGITS = np.array([[np.log(3.0), 0.0], [0.0, 0.0], [-800.0, 800.0]])


def test_probabilities_are_the_softmax_of_the_logits():
    made = make_predictions(ROWS, LOGITS, VOCAB, has_patients=True)
    np.testing.assert_allclose(made.probs, [[0.75, 0.25], [0.5, 0.5], [0.0, 1.0]], atol=1e-9)
    np.testing.assert_allclose(made.losses[:2], [-np.log(0.75), -np.log(0.5)], rtol=1e-8)
    assert list(made.targs) == [0, 1, 0]
    assert list(made.worst(2)) == [2, 1]


def test_a_temperature_softens_the_probabilities_and_keeps_the_logits():
    made = make_predictions(ROWS, LOGITS, VOCAB, has_patients=True, scaling=Scaling(2.0))
    assert made.frame["logit_NA"][0] == pytest.approx(np.log(3))
    assert made.probs[0, 0] == pytest.approx(np.sqrt(3) / (np.sqrt(3) + 1))


def test_the_file_has_the_columns_of_the_contract_and_reads_back_equal(tmp_path):
    made = make_predictions(ROWS, LOGITS / 7, VOCAB, has_patients=True)
    write_predictions(RunDir(tmp_path), "valid", made)
    header = RunDir(tmp_path).predictions("valid").read_text().splitlines()[0]
    assert header == "path,patient,label,logit_NA,logit_NO,prob_NA,prob_NO"
    back = read_predictions(RunDir(tmp_path), "valid", ROWS, VOCAB, has_patients=True)
    pd.testing.assert_frame_equal(back.frame, made.frame)
    assert list(back.frame["patient"]) == ["007", "7", ""]


def test_an_image_without_a_key_is_its_own_patient_and_no_key_at_all_is_none():
    assert len(set(make_predictions(ROWS, LOGITS, VOCAB, has_patients=True).patients)) == 3
    assert make_predictions(ROWS, LOGITS, VOCAB, has_patients=False).patients is None


def test_predictions_of_other_rows_are_refused(tmp_path):
    write_predictions(RunDir(tmp_path), "p", make_predictions(ROWS, LOGITS, VOCAB, has_patients=True))
    with pytest.raises(DataError, match="does not belong"):
        read_predictions(RunDir(tmp_path), "p", ROWS.iloc[::-1], VOCAB, has_patients=True)
    with pytest.raises(DataError, match="not there"):
        read_predictions(RunDir(tmp_path), "q", ROWS, VOCAB, has_patients=True)


def test_outputs_that_are_no_numbers_are_refused():
    with pytest.raises(DataError, match="not numbers"):
        make_predictions(ROWS, np.full((3, 2), np.nan), VOCAB, has_patients=True)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1), st.integers(0, 2**32 - 1))
def test_nine_digits_are_those_of_the_text(anything, seed):
    """Also halves of the tenth digit, zeros, powers of ten and numbers far from 1."""
    rng = np.random.default_rng(seed)
    scores = [*rng.normal(size=50), *(10.0 ** rng.uniform(-40, 3, 50)), *((rng.integers(10**8, 10**9, 50) + 0.5) / 1e9)]
    values = np.array([*anything, *scores, 0.0, -0.0, 1.0, 0.1, 999999999.5, 0.9999999995])
    assert _nine_digits(values).tolist() == [float(f"{value:.9g}") for value in values]


def test_a_thousand_classes_bring_no_warning():
    vocab = [f"class {i}" for i in range(150)]  # pandas warns from 100 single columns on
    frame = pd.DataFrame({"path": ["a", "b"], "patient": ["p", "q"], "label": vocab[:2], "group": [0, 1]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = make_predictions(frame, np.zeros((2, 150)), vocab, has_patients=True).at(AS_TRAINED)
    assert found.probs == pytest.approx(np.full((2, 150), 1 / 150)) and list(found.frame)[3:5] == [
        "logit_class 0",
        "logit_class 1",
    ]
