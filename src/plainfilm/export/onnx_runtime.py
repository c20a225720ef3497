"""ONNX Runtime without telemetry: from 1.29 on its packages send facts on machine, program and model to Microsoft.

The switch is read once, on import: without it, the import writes a device ID to ~/.cache/Microsoft and queues a first
event (microsoft/onnxruntime pull request 27379). So this is the only place that imports the library.

work() is what the process of a foreign network does; it imports nothing else of plainfilm.
"""

from __future__ import annotations

import hashlib
import os
import time
from typing import Any

import numpy as np

_SWITCHES = ("ORT_DISABLE_TELEMETRY", "ORT_TELEMETRY_DISABLED")  # the second one in some earlier versions


def onnx_runtime() -> Any:
    """The module `onnxruntime`, with telemetry off.

    Raises:
        ImportError: it is not installed.
    """
    for name in _SWITCHES:
        os.environ[name] = "1"
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # in case it was already imported, and on Windows
    return onnxruntime


class ChangedError(Exception):
    """The file is not the one that was checked."""


def open_session(model: bytes | str) -> Any:
    """An InferenceSession of an ONNX file or its bytes, on one thread.

    Raises:
        ImportError: ONNX Runtime is not installed. Exception: it has a dozen types of its own.
    """
    onnxruntime = onnx_runtime()
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.load_model_format", "ONNX")  # bytes may hold its own format, unchecked
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # the worker threads are those of scorer.py
    options.log_severity_level = 4  # its warnings are about nodes, on which nobody here can act
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run_options() -> Any:
    """RunOptions; with `terminate` set, a run that has them ends at the next node."""
    return onnx_runtime().RunOptions()


def session_facts(session: Any) -> dict[str, Any]:
    """Name, type and shape of what a session takes and gives."""
    both = {"takes": session.get_inputs(), "gives": session.get_outputs()}
    return {side: [[one.name, one.type, list(one.shape)] for one in found] for side, found in both.items()}


_session: Any = None


def work(asked: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
    """In the child: open the network, tell about it, or run it on images uint8 (n, c, h, w) as bytes."""
    if "open" in asked:
        _open(asked["open"], body, asked["sha256"])
        return {}, b""
    if "images" not in asked:
        return session_facts(_session), b""
    pixels = np.frombuffer(body, np.uint8).reshape(asked["images"])
    began = time.process_time()
    found = _session.run(asked["outputs"], {asked["input"]: pixels})
    seconds = time.process_time() - began
    arrays = [np.ascontiguousarray(one, np.float32) for one in found]
    return {"shapes": [one.shape for one in arrays], "seconds": seconds}, b"".join(one.tobytes() for one in arrays)


def _open(path: str | None, body: bytes, sha256: str) -> None:
    global _session
    _session = open_session(body if path is None else path)
    if path is not None:
        with open(path, "rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                raise ChangedError
