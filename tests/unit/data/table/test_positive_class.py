"""Which of two names is the positive class: what is negated, what only looks so, and what nothing decides."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from plainfilm.data.table.positive_class import positive_of_two

# (positive, negative)
DECIDED = [
    ("nok", "ok"), ("not_ok", "ok"), ("defect", "good"), ("1", "-1"),
    ("COVID", "NonCOVID"), ("covid", "non-covid"), ("COVID", "Non-COVID"), ("Covid", "no covid"), ("COVID", "NONCOVID"),
    ("COVID-19", "Non-COVID-19"), ("CT_COVID", "CT_NonCOVID"), ("covid19", "nocovid"),
    ("Parasitized", "Uninfected"), ("infected", "un-infected"), ("infected", "UnInfected"), ("cancer", "noncancer"),
    ("DR", "No_DR"), ("DR", "NoDR"), ("dr", "nodr"), ("sick", "not_sick"), ("sick", "NotSick"), ("patient", "healthy_control"),
    ("PNEUMONIA", "NORMAL"), ("malignant", "BENIGN"), ("POSITIVE", "negative"), ("case", "Controls"), ("YES", "NO"),
    ("Opacity", "No Finding"), ("Opacity", "no_findings"), ("1", "0"), ("1.0", "0.0"), ("class_1", "class_0"),
    ("present", "absent"), ("TB", "NON_TB"), ("VeryMildDemented", "NonDemented"), ("pneumonia", "unremarkable"),
    ("Zebra", "no_sign_of_disease"), ("cancer", "no_evidence_of_cancer"), ("flood", "without_flood"), ("Pneumothorax", "None"),
    ("wibble", "nonwibble"), ("cancer", "cancer-free"), ("recurrence", "disease_free"), ("NonCOVID_pneumonia", "Normal"),
    ("COVID_pneumonia", "NonCOVID_pneumonia"),   # the name of the other class, whatever it is
]  # fmt: skip

# Names that only look negated, or are negated twice; beside them stands the class that is negative.
NOT_NEGATIVE = [
    ("Abnormal", "Normal"), ("AbNormal", "Normal"), ("ABNORMAL", "normal"), ("unhealthy", "healthy"),
    ("UnHealthy", "Healthy"), ("not_normal", "normal"), ("non-benign", "benign"), ("uncontrolled", "controlled"),
    ("Nodule", "No_nodule"), ("Nodule", "Normal"), ("nodular", "Normal"), ("Nose", "Normal"), ("noise", "normal"),
    ("notch", "control"), ("Notching", "normal"), ("nonspecific", "Normal"), ("Unilateral", "Normal"), ("union", "Normal"),
    ("Unit_A", "control"), ("unknown", "healthy"), ("Noonan", "Control"), ("nocardia", "negative"), ("Norwalk", "negative"),
    ("necrosis", "normal"), ("Nontuberculous_mycobacteria", "Normal"), ("non-small-cell", "Normal"), ("No_2", "Normal"),
    ("number_no_7", "Normal"), ("Non-obstructive", "Normal"), ("Uncal_herniation", "normal"), ("paranormal", "normal"),
    ("Normal pressure hydrocephalus", "Control"), ("normal-tension glaucoma", "healthy"), ("10", "0"), ("grade 3", "grade 0"),
    ("Negri_bodies", "negative"), ("controller_fault", "normal"), ("undulating", "normal"), ("ungual", "healthy"), ("noma", "benign"),
]  # fmt: skip

# Neither is negative, or both are: the last by alphabet.
OPEN = [
    ("stable", "unstable"), ("wibble", "unwibble"), ("normal", "No finding"),
    ("bacteria", "virus"), ("Bilateral", "Unilateral"), ("cat", "dog"), ("healthy", "normal"), ("benign", "normal"),
    ("No_1", "No_2"), ("No_1_site", "other"), ("nodule", "noise"), ("A", "B"), ("grade_10", "grade_20"), ("NORMAL_1", "NORMAL_2"), ("正常", "肺炎"),
]  # fmt: skip


def test_there_are_forty_counter_examples() -> None:
    assert len(set(NOT_NEGATIVE)) >= 40


@pytest.mark.parametrize(("positive", "negative"), [*DECIDED, *NOT_NEGATIVE])
def test_the_class_that_is_not_negative_is_positive(positive: str, negative: str) -> None:
    assert positive_of_two(positive, negative) == (positive, True)
    assert positive_of_two(negative, positive) == (positive, True)


@pytest.mark.parametrize(("first", "second"), OPEN)
def test_where_the_names_do_not_decide_it_is_the_last_by_alphabet(first: str, second: str) -> None:
    assert positive_of_two(first, second) == (max(first, second), False)


@given(st.text(max_size=12), st.text(max_size=12))
@example("", " ")
@example("no", "non")
@example("²", "_")
def test_any_two_names_have_a_positive_class_whatever_their_order(first: str, second: str) -> None:
    found, decided = positive_of_two(first, second)
    assert found in (first, second)
    assert positive_of_two(second, first) == (found, decided)


@given(
    st.from_regex(r"[A-Z][a-z]{3,9}", fullmatch=True),
    st.sampled_from(("non{}", "Non{}", "no_{}", "not {}", "Non-{}")),
)
def test_the_negated_name_of_the_other_class_is_negative(word: str, form: str) -> None:
    negated = form.format(word.lower() if form == "un{}" else word)
    if positive_of_two(word, "zzzz")[1]:  # itself a negative word, such as Normal
        return
    assert positive_of_two(word, negated) == (word, True)
