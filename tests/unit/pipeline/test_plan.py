"""How many studies are simulated."""

from __future__ import annotations

import numpy as np
import pytest

from plainfilm.evaluate.planning.design import Design
from plainfilm.evaluate.planning.question import Question
from plainfilm.pipeline.plan import _draws


@pytest.mark.parametrize(
    ("patients", "images", "expected"), [(100, 4, 1000), (5000, 1, 400), (1250, 4, 400), (50_000, 1, 200)]
)
def test_large_studies_are_fewer(patients, images, expected):
    """2,000,000 images, of 200 to 1,000 studies."""
    design = Design.of_one_class(np.array([images]), 0.5)
    assert _draws(Question("accuracy", 0.9, None, 0.1, 0.8, 0.3, 0.5, design), patients) == expected


def test_only_the_images_that_the_metric_counts_are_counted():
    design = Design.of_one_class(np.array([1]), 0.25)
    assert _draws(Question("sensitivity", 0.9, None, 0.1, 0.8, 0.3, 0.5, design), 16_000) == 500
