"""The config that the options of a command line make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from plainfilm.base.files import tidy
from plainfilm.config import ExperimentConfig, experiment_file, load_config


def config_from(
    data: Path | None, config: Path | None, options: dict[str, Any], *, template: bool = False
) -> ExperimentConfig:
    """The config of a command line: the file overridden by options; without DATA and file, the phantom experiment.

    Args:
        template: it is to be printed, so that without DATA and file it is that of images of the user's own.
    """
    path = config if config or data or template else experiment_file("phantom.yaml")
    split = options.get("data.split")
    if split is not None and Path(split).is_file():
        options = {**options, "data.split": str(Path(split).absolute())}
    if (exclude := options.get("data.exclude")) is not None:
        options = {**options, "data.exclude": str(Path(exclude).expanduser().absolute())}
    weights = options.get("model.weights")
    if weights not in (None, "none", "imagenet", ""):
        options = {**options, "model.weights": str(Path(weights).expanduser().absolute())}
    return load_config(path, {**options, "data.path": str(tidy(data.expanduser())) if data else None})
