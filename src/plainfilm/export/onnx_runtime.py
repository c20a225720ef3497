"""ONNX Runtime, silenced: from 1.29 on its packages send facts of machine, program and model to Microsoft.

The switch is read once, when the library is imported: before that a device ID lies in ~/.cache/Microsoft and the first
event waits to be sent (microsoft/onnxruntime pull request 27379). So this is the only place that imports it.
"""

from __future__ import annotations

import os
from typing import Any

_SWITCHES = ("ORT_DISABLE_TELEMETRY", "ORT_TELEMETRY_DISABLED")  # the second one in some versions before


def onnx_runtime() -> Any:
    """The module `onnxruntime`, which says nothing to anybody.

    Raises:
        ImportError: it is not installed.
    """
    for name in _SWITCHES:
        os.environ[name] = "1"
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # where somebody imported it before us, and on Windows
    return onnxruntime
