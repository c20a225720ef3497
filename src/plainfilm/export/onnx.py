"""A trained network as one ONNX file, and how far it is from torch."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from plainfilm.export.onnx_runtime import onnx_runtime
from plainfilm.models.build import Normalised
from plainfilm.runs.scaling import Scaling

if TYPE_CHECKING:
    from onnx import FunctionProto, ModelProto

OPSET = 20
INPUT, OUTPUTS = "image", ("logits", "probs", "features")
TOLERANCE = 1e-4


class _Served(nn.Module):
    """uint8 (n, c, h, w), as decode() gives them -> logits (n, k), probs (n, k) with the scaling, features (n, d).

    Normalisation is inside `model`, so users of the file cannot get it wrong.
    """

    def __init__(self, model: Normalised, scaling: Scaling) -> None:
        super().__init__()
        self.model, self.temperature = model, scaling.temperature
        self.bias = torch.tensor(scaling.bias, dtype=torch.float32) if scaling.bias else None

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        features = self.model.features(image.float() / 255)
        logits = self.model.head(features)
        scaled = logits / self.temperature
        scaled = scaled if self.bias is None else scaled + self.bias
        return logits, torch.softmax(scaled, dim=1), features


def export_onnx(model: Normalised, scaling: Scaling, shape: tuple[int, int, int]) -> bytes:
    """The network as ONNX, in one piece: input `image`, outputs `logits`, `probs`, `features`; any batch size.

    Args:
        shape: of one image, (c, h, w).
    """
    import onnx

    served = _Served(model, scaling).eval().cpu()
    example = torch.zeros((2, *shape), dtype=torch.uint8)  # with one image the exporter would fix the batch size
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            served, (example,), input_names=[INPUT], output_names=list(OUTPUTS), opset_version=OPSET,
            dynamic_shapes={INPUT: {0: torch.export.Dim("n")}}, dynamo=True, external_data=False, verbose=False,
        )  # fmt: skip
        proto = program.model_proto  # type: ignore[union-attr] # None only where a file is written instead
    _strip(proto)
    onnx.checker.check_model(proto)
    data: bytes = proto.SerializeToString(deterministic=True)
    return data


def differences(model: Normalised, scaling: Scaling, data: bytes, pixels: np.ndarray) -> dict[str, float]:
    """The largest difference between ONNX Runtime and torch by output, on uint8 images (n, c, h, w).

    Differences are relative to the largest absolute value of the output where that is above 1.
    """
    session = onnx_runtime().InferenceSession(data, providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        expected = [out.numpy() for out in _Served(model, scaling).eval().cpu()(torch.from_numpy(pixels))]
    found = session.run(list(OUTPUTS), {INPUT: pixels})
    return {
        name: float(np.abs(a - b).max() / max(1.0, np.abs(b).max()))
        for name, a, b in zip(OUTPUTS, found, expected, strict=True)
    }


def _strip(proto: ModelProto) -> None:
    """Remove what the exporter recorded about the machine: it writes the path of each source file beside the nodes."""
    from onnx import AttributeProto, GraphProto

    def clean(graph: GraphProto | FunctionProto) -> None:  # an `If` or a `Loop` holds graphs of its own
        graph.doc_string = ""
        del graph.metadata_props[:]
        for node in graph.node:
            node.doc_string = ""
            del node.metadata_props[:]
            for attribute in node.attribute:
                if attribute.type == AttributeProto.GRAPH:
                    clean(attribute.g)
        if isinstance(graph, GraphProto):
            for value in (*graph.input, *graph.output, *graph.value_info):
                value.doc_string = ""
                del value.metadata_props[:]
            for tensor in graph.initializer:
                tensor.doc_string = ""
                del tensor.metadata_props[:]

    proto.doc_string = ""
    del proto.metadata_props[:]
    clean(proto.graph)
    for function in proto.functions:
        clean(function)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter prints, logs and warns about itself; a user can act on none of it."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
