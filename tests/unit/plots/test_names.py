from __future__ import annotations

import io
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from plainfilm.plots import base
from plainfilm.plots.names import distinct, short

LOBES = ["Bacterial pneumonia left lower lobe", "Bacterial pneumonia left upper lobe", "Viral"]


def labels(figure) -> list[str]:
    return [label.get_text() for label in figure.axes[0].get_yticklabels()]


def test_a_long_name_keeps_its_start_and_its_end():
    assert short("department number 012") == "departm...er 012"
    assert short("sixteen letters.") == "sixteen letters."
    assert short("\u80ba" * 9) == "\u80ba" * 3 + "..." + "\u80ba" * 3  # each as wide as two letters


def test_names_that_would_read_alike_show_what_tells_them_apart():
    assert distinct(LOBES) == ["...lower lobe", "...upper lobe", "Viral"]
    assert distinct([*LOBES, "Bacterial pneumonia right lower lobe"])[0] == "...left lower..."


def test_what_cannot_be_told_apart_begins_with_its_number():
    around = ["A" * 20 + middle + "B" * 20 for middle in ("x" * 20 + "1", "x" * 20 + "2")]
    crossed = [first * 20 + second + "z" * 20 for first in "PQ" for second in "12"]
    assert distinct(["Z", *around]) == ["Z", "...1BBBBBBBBB...", "...2BBBBBBBBB..."]
    assert distinct(crossed) == ["1: PPPPP...zzzzz", "2: PPPPP...zzzzz", "3: QQQQQ...zzzzz", "4: QQQQQ...zzzzz"]
    assert distinct(["\u80ba\u708e", "\u6b63\u5e38"])[1].startswith("2: ")  # the font draws boxes for both


@pytest.mark.parametrize("most", [12, 16, 30])
def test_no_two_of_a_thousand_names_read_alike_or_are_too_long(most):
    rng = np.random.default_rng(0)
    names = list({"".join(rng.choice(list("ab "), size)) + "same end of all" for size in rng.integers(0, 60, 1_000)})
    cut = distinct(names, most)
    assert len(set(cut)) == len(names) > 500
    assert max(map(len, cut)) <= most


@pytest.mark.parametrize("more", [0, 20])
def test_two_classes_of_a_confusion_figure_do_not_read_alike(more):
    names = LOBES + [f"class {i}" for i in range(more)]
    found = labels(base.plot_confusion(np.eye(len(names), dtype=int), names, "t"))
    assert len(set(found)) == len(names)


def test_a_batch_sheet_names_each_image_within_its_cell():
    long = "Very long class name of the hospital department number 012"
    figure = base.plot_batch(np.zeros((4, 8, 8)), [long] * 4, "t")
    FigureCanvasAgg(figure).draw()
    boxes = [ax.title.get_window_extent() for ax in figure.axes]
    assert figure.axes[0].title.get_text().endswith("012")
    assert boxes[0].x0 >= 0 and boxes[3].x1 <= figure.bbox.x1
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_dollars_in_names_are_no_formula():
    """Two of them made one: the letters between were slanted and the signs were gone, or the drawing failed."""
    figure = base.plot_batch(np.zeros((1, 8, 8)), [r"a$\frac$b"], "t")
    assert Image.open(io.BytesIO(base.as_png(figure))).size[0] > 100
