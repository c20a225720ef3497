"""ONNX Runtime tells nobody anything."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = "from plainfilm.export.onnx_runtime import onnx_runtime; print(onnx_runtime().InferenceSession.__name__)"
ALLOW_TELEMETRY = (
    "CI",
    "TF_BUILD",
    "GITHUB_ACTIONS",
    "ORT_DISABLE_TELEMETRY",
    "ORT_TELEMETRY_DISABLED",
    "XDG_CACHE_HOME",
)


@pytest.mark.skipif(os.name == "nt", reason="Windows collects such facts by itself, not in files")
def test_it_leaves_no_device_id_and_no_queue(tmp_path: Path):
    """Both are there after a bare `import onnxruntime` of 1.29 to 1.32."""
    (tmp_path / "tmp").mkdir()
    env = {name: value for name, value in os.environ.items() if name not in ALLOW_TELEMETRY}
    env |= {"HOME": str(tmp_path), "TMPDIR": str(tmp_path / "tmp")}
    done = subprocess.run([sys.executable, "-c", CODE], env=env, check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout == "InferenceSession\n"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
