"""environment.json: versions, machine and command of a run."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from plainfilm import __version__
from plainfilm.base.files import dump_json
from plainfilm.base.json_text import parsed_json
from plainfilm.errors import DataError
from plainfilm.runs.folder import RunDir
from plainfilm.runs.run_manifest import read_verified, write_file

_LIBRARIES = (
    "torch", "torchvision", "fastai", "numpy", "pandas", "pillow", "pydicom", "scikit-learn", "scipy", "safetensors", "timm",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Versions of plainfilm and of each library that a result depends on."""
    return {"plainfilm": __version__, **{name: metadata.version(name) for name in _LIBRARIES}}


def write_environment(run: RunDir, speed: dict[str, Any]) -> None:
    """Save environment.json: versions, machine, command."""
    libraries = versions()
    facts = {
        "schema_version": 1,
        "plainfilm": libraries.pop("plainfilm"),
        "python": platform.python_version(),
        "libraries": libraries,
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "command": sys.argv,
        "speed": speed,
    }
    write_file(run, run.environment, dump_json(facts))


@dataclass(frozen=True)
class Environment:
    """Versions, device, threads and precision of a run: a result is bit-identical only if all match."""

    versions: dict[str, str]
    device: str
    threads: int
    precision: str = "fp32"


def read_environment(run: RunDir) -> Environment:
    """Environment in environment.json.

    Raises:
        DataError: it is missing or damaged.
    """
    try:
        found = parsed_json(read_verified(run, run.environment), run.environment)
        versions = {"plainfilm": str(found["plainfilm"]), **found["libraries"]}
        if not all(isinstance(each, str) for each in versions.values()):
            raise TypeError("a version that is no text")
        speed = found["speed"]
        precision = str(speed.get("precision", "fp32"))  # earlier versions had no other
        return Environment(versions, str(speed["device"]), int(speed["threads"]), precision)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        raise DataError(
            f"{run.environment} is missing or damaged. Restore it from a backup, or train again into another folder."
        ) from None


def version_of(run: RunDir) -> str:
    """The version of plainfilm that trained a run; 'of an unknown version' where environment.json does not say."""
    try:
        found: Any = parsed_json(read_verified(run, run.environment), run.environment)
        return str(found["plainfilm"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return "of an unknown version"


def peak_rss_mb() -> float:
    """Peak memory of this process so far, in MB; 0.0 where the system does not report it."""
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
