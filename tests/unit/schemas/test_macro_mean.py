from __future__ import annotations

from plainfilm.schemas.macro_mean import MacroMean, method_text


def test_a_method_names_classes_and_counts_the_rest():
    labels = [f"k{i}" for i in range(40)]
    assert (
        method_text("wilson; mean without class 1, 3 (undefined)", labels)
        == "wilson; mean without class k1, k3 (undefined)"
    )
    every = "bootstrap; mean without class " + ", ".join(map(str, range(40))) + " (undefined); likely too narrow"
    said = "bootstrap; mean without class k0, k1, k2, k3, k4 and 35 more (undefined); likely too narrow"
    assert method_text(every, labels) == said
    assert method_text("wilson/deff", labels) == "wilson/deff"
    assert (
        method_text("mean without class 7 (undefined)", ["a"]) == "mean without class 7 (undefined)"
    )  # an edited file


def test_classes_left_out_for_one_reason_stand_together():
    left_out = {"a": "no image", "b": "never predicted", "c": "never predicted"}
    assert (
        MacroMean(classes=9, without=left_out).said()
        == "mean of 6 of 9 classes, without a (no image), b, c (never predicted)"
    )
