from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from PIL import Image

from plainfilm.plots import audit, base


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for ax in figure.axes for text in ax.texts]


def test_a_confusion_cell_gives_its_count_and_its_share_of_the_row():
    figure = base.plot_confusion(np.array([[8, 2], [0, 0]]), ["WELL", "SICK"], "title")
    assert texts(figure) == ["8\n80.0%", "2\n20.0%", "0\nno image", "0\nno image"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["WELL", "SICK"]


def test_the_history_shows_each_epoch_with_its_lr_and_marks_the_kept_one():
    history = {
        name: [0.5, 0.7, 0.6]
        for name in ("train_loss", "valid_loss", "train_accuracy", "valid_accuracy", "valid_auroc")
    }
    figure = base.plot_history({**history, "lr": [1e-4, 1e-3, 1e-5]}, best=1, title="t")
    assert [ax.get_ylabel() for ax in figure.axes] == ["accuracy", "loss", "learning rate"]
    for ax, name in zip(figure.axes, ("valid", "valid", "rate at epoch's end"), strict=True):
        lines = {line.get_label(): line for line in ax.lines}
        assert list(lines[name].get_xdata()) == [1, 2, 3]
        assert set(lines["kept epoch 2"].get_xdata()) == {2}
    assert list(figure.axes[2].lines[0].get_ydata()) == [1e-4, 1e-3, 1e-5]
    assert len(base.plot_history(history, best=1, title="t").axes) == 2  # a run that did not write the rate


def test_a_single_epoch_is_still_visible():
    history = {name: [0.5] for name in ("train_loss", "valid_loss", "train_accuracy", "valid_accuracy", "valid_auroc")}
    axes = base.plot_history(history, best=0, title="t").axes
    assert [list(ax.get_xticks()) for ax in axes] == [[1], [1]]
    lines = axes[0].lines
    assert [line.get_marker() for line in lines] == ["o", "o", "o", "None"]  # the last is the kept epoch


@pytest.mark.parametrize("shares", [[1.0], [0.98, 1.0], [0.0, 0.01, 0.02], [0.4, 0.4], [0.0, 1.0]])
def test_no_accuracy_above_1_or_below_0_is_on_the_axis(shares):
    history = dict.fromkeys(("train_accuracy", "valid_accuracy", "valid_auroc"), shares)
    figure = base.plot_history({**history, **dict.fromkeys(("train_loss", "valid_loss"), shares)}, 0, "t")
    low, high = figure.axes[0].get_ylim()
    ticks = figure.axes[0].get_yticks()
    assert -0.02 <= low < min(shares) and max(shares) < high <= 1.02 and high - low >= 0.069
    assert len(ticks) >= 2 and ticks.min() >= 0 and ticks.max() <= 1


def test_the_lr_curve_survives_a_diverging_end_and_missing_suggestions():
    lrs, losses = np.geomspace(1e-7, 10, 20), np.r_[np.linspace(0.7, 0.3, 18), 40.0, np.nan]
    suggestions = {"valley": 1e-3, "slide": None, "minimum": 0.01, "steep": None}
    figure = base.plot_lr_curve(lrs, losses, suggestions, 1e-3)
    assert figure.axes[0].get_ylim()[1] < 1.5  # the diverging end would hide the valley
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names[0] == "valley 0.001" and len(names) == 2 and names[1].endswith(" 0.01")
    assert "use 0.001" in figure.get_suptitle()
    assert "flat, no suggestion" in base.plot_lr_curve(lrs, losses, dict.fromkeys(suggestions), None).get_suptitle()


@pytest.mark.parametrize("n", [1, 3, 16, 20])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_sheet_shows_at_most_sixteen_images(n, channels):
    figure = base.plot_batch(np.random.default_rng(0).random((n, 8, 8, channels)), ["A"] * n, "t")
    assert sum(bool(ax.images) for ax in figure.axes) == min(n, 16)


def test_sheets_of_images_measure_no_ticks(monkeypatch):
    """Their axes are off; each training draws one, and this was two thirds of the drawing."""
    measured: list[Axis] = []
    whole = Axis.get_tightbbox
    monkeypatch.setattr(Axis, "get_tightbbox", lambda axis, *a, **k: measured.append(axis) or whole(axis, *a, **k))
    images = np.random.default_rng(0).random((4, 8, 8))
    for figure in (base.plot_batch(images, list("ABCD"), "t"), audit.plot_copies(images, list("ABCD"))):
        base.as_png(figure)
        assert [ax.get_title() for ax in figure.axes] == list("ABCD") and measured == []
    base.as_png(base.plot_confusion(np.eye(2, dtype=int), ["A", "B"], "t"))
    assert measured  # where there are ticks


def test_scores_of_both_classes_are_counted_separately():
    scores, labels = np.array([0.1, 0.2, 0.9, 0.95, 0.99]), np.array([0, 0, 0, 1, 1], bool)
    figure = base.plot_scores(scores, labels, 0.5, ("WELL", "SICK"), "t")
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["truth WELL (n = 3)", "truth SICK (n = 2)", "threshold 0.500"]


def test_png_bytes_are_an_image_and_identical_each_time():
    def draw() -> bytes:
        return base.as_png(base.plot_confusion(np.eye(2, dtype=int), ["A", "B"], "t"))

    assert Image.open(io.BytesIO(draw())).size[0] > 400
    assert draw() == draw()


def test_a_name_in_a_script_that_the_font_lacks_prints_no_warning():
    """Warnings are errors here; a user saw one line for each letter."""
    figure = base.plot_confusion(np.array([[3, 1], [0, 2]]), ["\u80ba\u708e", "\u6b63\u5e38"], "\u80ba")
    assert base.as_png(figure).startswith(b"\x89PNG")
