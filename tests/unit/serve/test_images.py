"""The heat map of the page looks like the one of the report."""

import matplotlib
import numpy as np

from plainfilm.plots import heatmaps
from plainfilm.serve.images import overlay


def test_heat_over_an_image_has_the_colours_of_the_report():
    """Laid over grey values of 0..1 as the browser does, against what plots.heatmaps draws on them, at every heat."""
    heat, grey = np.meshgrid(np.linspace(0, 1, 101), np.linspace(0, 1, 11))
    layer = overlay(heat) / 255
    shown = layer[..., :3] * layer[..., 3:] + grey[..., None] * (1 - layer[..., 3:])
    alpha = (0.25 + 0.5 * heat)[..., None]
    colours = matplotlib.colormaps[heatmaps._HEAT](heat)[..., :3]
    drawn = alpha * colours + (1 - alpha) * (0.35 + 0.65 * grey)[..., None]
    assert np.abs(shown - drawn).max() < 0.02


def test_without_heat_the_image_only_becomes_paler():
    layer = overlay(np.zeros((4, 4)))
    assert (layer[..., :3] == 255).all() and (layer[..., 3] == round(0.35 * 255)).all()
