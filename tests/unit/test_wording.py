"""The helper by which other tests read output: what it takes for told, and what it does not."""

import pytest

from wording import lacking


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("1 of 4 runs did not\n  finish", "did not finish"),
        ("(first: 'a/x.png')", "'a/x.png'"),
        ("found -1; expected more", "-1"),
        ("in epoch 3/10, after step 7.", "step 7"),
        ("train.seed: x; d: y", "; d:"),
        ("AUROC 0.900 [0.800, 1.000]", "[0.800, 1.000]"),
    ],
)
def test_what_is_told(text, fact):
    assert lacking(text, fact) == []


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("11 of 4 runs", "1 of 4 runs"),
        ("epoch 10", "epoch 1"),
        ("a note", "not"),
        ("score 0.95", "score 0"),
        ("1,234 images", "234 images"),
        ("1,234 images", "1"),
        ("0-1", "-1"),
        ("Valid", "valid"),
    ],
)
def test_what_is_not_told(text, fact):
    assert lacking(text, fact) == [fact]


def test_all_that_is_lacking_is_named():
    assert lacking("2 of 3 images", "2 of 3 images", "valid", "test") == ["valid", "test"]
