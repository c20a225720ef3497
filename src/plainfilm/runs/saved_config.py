"""Reads config.yaml of a run with the running version."""

from __future__ import annotations

import json
from typing import Any

from plainfilm.config import ExperimentConfig, load_config
from plainfilm.errors import ConfigError, DataError
from plainfilm.runs.environment import versions
from plainfilm.runs.folder import RunDir


def read_run_config(run: RunDir) -> ExperimentConfig:
    """The config of a run.

    Raises:
        DataError: this version cannot read it.
    """
    try:
        return load_config(run.config)
    except ConfigError as error:
        then, now = _version_of(run), versions()["plainfilm"]
        raise DataError(
            f"The run {run.root} was made by plainfilm {then}, this is {now}, and its config cannot be read: {error} "
            "Read it with the version that made it."
        ) from None


def _version_of(run: RunDir) -> str:
    try:
        found: Any = json.loads(run.environment.read_text(encoding="utf-8"))
        return str(found["plainfilm"])
    except (OSError, ValueError, KeyError, TypeError):
        return "of an unknown version"
