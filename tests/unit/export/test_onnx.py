"""Our own networks as ONNX give what torch gives, for grey and colour images, any batch size, both normalisations."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch

from plainfilm.config import ModelConfig
from plainfilm.export.onnx import OUTPUTS, _Served, differences, export_onnx
from plainfilm.models.build import build_model
from plainfilm.runs.scaling import Scaling


@pytest.mark.parametrize(
    ("name", "size_px", "channels", "classes", "standardise"),
    [("paper", 36, 1, 2, False), ("paper", 36, 3, 2, True), ("paper-gap", 36, 1, 3, False), ("compact", 32, 1, 2, True), ("compact", 32, 3, 4, False)],
)  # fmt: skip
def test_onnx_is_the_network(name, size_px, channels, classes, standardise):
    model = build_model(ModelConfig(name=name, standardise=standardise), classes, size_px, channels=channels).eval()
    with torch.no_grad():
        model.head.weight.mul_(20)  # scores far from even: an error would show
    scaling = Scaling(2.5, (0.0, 0.7, -0.4, 0.2)[:classes])
    data = export_onnx(model, scaling, (channels, size_px, size_px))
    pixels = np.random.default_rng(0).integers(0, 256, (32, channels, size_px, size_px), dtype=np.uint8)
    pixels[0], pixels[1] = 0, 255
    apart = differences(model, scaling, data, pixels)
    assert set(apart) == set(OUTPUTS) and max(apart.values()) < 1e-5
    for other in (Scaling(2.6, scaling.bias), Scaling(2.5, (0.01, *scaling.bias[1:]))):  # it would tell another scaling
        assert differences(model, other, data, pixels)["probs"] > 1e-4
    grey = pixels[:, 0] if channels == 1 else pixels.transpose(0, 2, 3, 1)
    from plainfilm.evaluate.predictions import predict

    logits, features = predict(model, np.ascontiguousarray(grey))
    with torch.inference_mode():
        served = [out.numpy() for out in _Served(model, scaling)(torch.from_numpy(pixels))]
    assert np.allclose(served[0], logits, atol=1e-5) and np.allclose(served[2], features, atol=1e-5)
    assert np.allclose(served[1], scaling.probs(logits), atol=1e-5)


def test_it_says_nothing_about_the_machine_that_made_it():
    model = build_model(ModelConfig(name="paper"), 2, 36)
    proto = onnx.load_from_string(export_onnx(model, Scaling(), (1, 36, 36)))
    nodes = [*proto.graph.node, *(node for function in proto.functions for node in function.node)]
    assert nodes and not any(node.doc_string or node.metadata_props for node in nodes)
    assert not proto.doc_string and not proto.metadata_props
