"""ONNX Runtime without telemetry: from 1.29 on its packages send facts on machine, program and model to Microsoft.

The switch is read once, on import: without it, the import writes a device ID to ~/.cache/Microsoft and queues a first
event (microsoft/onnxruntime pull request 27379). So this is the only place that imports the library.
"""

from __future__ import annotations

import os
from typing import Any

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
