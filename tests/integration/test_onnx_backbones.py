"""Every network of the registry exports, at its smallest size and with random weights."""

from __future__ import annotations

import numpy as np
import pytest

from plainfilm.config import ModelConfig
from plainfilm.export.onnx import TOLERANCE, differences, export_onnx
from plainfilm.models.build import build_model
from plainfilm.models.registry import MODELS
from plainfilm.runs.scaling import Scaling

pytestmark = [pytest.mark.slow, pytest.mark.campaign]  # .ci/run asks for this file
# 18 to 38 s each on one busy core (the exporter's tracing, not the weights); vgg16 has 537 MB of them
# .ci/run runs them
LONG = {
    "vgg16",
    "resnet34",
    "resnet50",
    "convnext_atto",
    "inception_v3",
    "densenet121",
    "mobilenetv3",
    "vit_tiny",
    "efficientnet_b0",
    "xception",
}
NAMES = [
    pytest.param(
        name,
        marks=[
            *([pytest.mark.campaign] if name in LONG else []),
            *([] if spec.installed else [pytest.mark.skip(reason=f"{spec.library} is not installed")]),
        ],
    )
    for name, spec in MODELS.items()
]


@pytest.mark.parametrize("name", NAMES)
def test_it_exports_and_agrees_with_torch(name: str) -> None:
    size_px = MODELS[name].min_size_px
    model = build_model(ModelConfig(name=name), 2, size_px, channels=1).eval()
    data = export_onnx(model, Scaling(1.3), (1, size_px, size_px))
    pixels = np.random.default_rng(0).integers(0, 256, (32, 1, size_px, size_px), dtype=np.uint8)
    apart = differences(model, Scaling(1.3), data, pixels)
    assert max(apart.values()) <= TOLERANCE, apart
    assert b"location" not in data  # open_bundle refuses what might name a second file
