from __future__ import annotations

import pytest

from plainfilm.data.folders.label_pattern import label_reader, propose


def test_of_a_surname_and_a_class_the_class_is_proposed():
    names = [f"{name}_{k}_{c}.png" for name in ("Meier", "Huber", "Roth") for k in range(4) for c in ("NORMAL", "SICK")]
    said = propose(names)
    assert "end alike (NORMAL, SICK)" in said and "Meier" not in said
    pattern = said.partition("--label-pattern '")[2].partition("'")[0]
    assert {label_reader(pattern)(name) for name in names} == {"NORMAL", "SICK"}


def test_names_that_begin_with_the_class_keep_their_proposal():
    assert "begin alike (cat, dog)" in propose([f"{c}{k}.jpg" for c in ("cat", "dog") for k in range(5)])
    assert "begin alike (cat, dog)" in propose([f"{c}_{k}_left.jpg" for c in ("cat", "dog") for k in range(5)])
    assert propose([f"img_{k}.jpg" for k in range(5)]) == ""


@pytest.mark.parametrize("ends", ["L R", "left right", "AP PA Lateral", "L-CC R-MLO"])
def test_a_side_or_view_is_no_class_though_it_has_fewer_values(ends: str):
    classes = ("NORMAL", "PNEU", "COVID", "TB")
    names = [f"{c}_{k}_{end}.png" for c in classes for k in range(3) for end in ends.split()]
    assert "begin alike (COVID, NORMAL, PNEU, ...)" in propose(names)
    assert propose([f"{k}_{end}.png" for k in range(6) for end in ends.split()]) == ""
    assert "end alike (NORMAL, PNEU, TB)" in propose(
        f"{s}_{k}_{c}.png" for s in "LR" for k in range(3) for c in ("NORMAL", "PNEU", "TB")
    )
