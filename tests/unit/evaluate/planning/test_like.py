"""Patients like those of a run or of a table."""

from __future__ import annotations

import json

import pytest

from plainfilm.evaluate.planning.like import patients_like


def test_a_run_gives_its_valid_patients_and_the_value_that_evaluate_saved(save_run):
    run = save_run("a", patients=40, images=3)
    saved = json.loads(run.metrics.read_text())["valid"]["metrics"]
    for metric in ("auroc", "accuracy", "sensitivity", "specificity"):
        found = patients_like(run.root, metric)
        assert sorted(map(tuple, found.images.tolist())) == [(0, 3)] * 20 + [(3, 0)] * 20  # classes in turn
        assert found.value == pytest.approx(saved[metric]["value"], abs=1e-12)
        assert found.notes == ()


def test_a_perfect_score_is_no_value_to_plan_with(save_run):
    assert patients_like(save_run("a", skill=50).root, "auroc").value is None


def test_three_classes_are_refused(save_run, refusal):
    run = save_run("a", vocab=("A", "B", "C"), positive=None)
    said = refusal(lambda: patients_like(run.root, "accuracy"))
    assert "3 classes" in said and "--images-per-patient" in said


TABLE = """file,dx,subject id
1.png,NORMAL,p1
2.png,NORMAL,p1
3.png,PNEUMONIA,p1
4.png,PNEUMONIA,p2
5.png,NORMAL,
6.png,PNEUMONIA,
7.png,,p3
"""


def test_a_table_gives_all_its_patients(tmp_path):
    """Images without a patient are their own; one without a label is left out. No image need be there."""
    path = tmp_path / "images.csv"
    path.write_text(TABLE)
    found = patients_like(path, "auroc")
    assert sorted(map(tuple, found.images.tolist())) == [(0, 1), (0, 1), (1, 0), (2, 1)]
    assert found.value is None and found.notes == ()


def test_a_table_without_patients_says_so(tmp_path):
    path = tmp_path / "images.csv"
    path.write_text("path,label\na.png,0\nb.png,1\nc.png,1\n")
    found = patients_like(path, "auroc")
    assert sorted(map(tuple, found.images.tolist())) == [(0, 1), (0, 1), (1, 0)]
    assert found.notes == (f"No patient key is known in {path}: each image counts as a patient.",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path,label\na.png,A\nb.png,A\n", "1 classes"),
        ("path,label\na.png,A\nb.png,B\nc.png,C\n", "3 classes"),
        ("path,age\na.png,3\n", "no column for the label"),
        (None, "cannot be read"),
    ],
)
def test_what_is_no_table_of_two_classes_is_refused(tmp_path, refusal, text, said):
    path = tmp_path / "images.csv"
    if text is not None:
        path.write_text(text)
    assert said in refusal(lambda: patients_like(path, "auroc"))
