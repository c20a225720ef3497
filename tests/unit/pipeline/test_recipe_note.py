"""A note where all of a pretrained network is to be trained on too few images for it, and none elsewhere."""

from __future__ import annotations

import pytest

from plainfilm.config import load_config
from plainfilm.pipeline.learner import _recipe_note

LITE0 = 3_372_994  # parameters for grey images and two classes


def noted(images: int, parameters: int = LITE0, weights: str = "mine.pth", **train: object) -> list[str]:
    options = {f"train.{name}": value for name, value in train.items()}
    cfg = load_config(options={"model.name": "efficientnet_lite0", "model.weights": weights, **options})
    return _recipe_note(cfg, images, parameters)


@pytest.mark.parametrize("train", [{}, {"recipe": "all"}, {"recipe": "head-then-all"}, {"freeze_epochs": 2}], ids=str)
def test_all_of_a_pretrained_network_on_twenty_images_is_noted_once(train):
    (note,) = noted(20, **train)
    assert "20 train images, 3.4 M parameters" in note and "--recipe probe" in note


@pytest.mark.parametrize("train", [{"recipe": "probe"}, {"freeze": True}], ids=str)
def test_the_head_alone_is_not_noted(train):
    assert noted(20, **train) == []


def test_random_weights_are_not_noted_since_there_is_nothing_to_undo():
    assert noted(20, weights="none") == []


def test_it_ends_at_thirty_thousand_parameters_for_each_image():
    assert noted(112) and noted(113) == []  # 3,372,994 / 30,000 = 112.4
    assert noted(9, 297_970) and noted(10, 297_970) == []
    assert "298,000" not in noted(9, 297_970)[0] and "0.3 M" in noted(9, 297_970)[0]
    assert "9,001 parameters" in noted(0, 9_001)[0]
