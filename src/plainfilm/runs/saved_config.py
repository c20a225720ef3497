"""Reads config.yaml of a run with the running version."""

from __future__ import annotations

from typing import Any

from plainfilm.config import ExperimentConfig
from plainfilm.config.experiment import make_config
from plainfilm.config.strict_yaml import parsed_yaml, yaml_texts
from plainfilm.errors import ConfigError, DataError
from plainfilm.runs.environment import version_of, versions
from plainfilm.runs.folder import RunDir
from plainfilm.runs.run_manifest import read_verified


def read_run_yaml(run: RunDir) -> dict[str, Any]:
    """The mapping in config.yaml, of whatever version.

    Raises:
        DataError: it was edited. ConfigError: it is missing, or no YAML.
    """
    return parsed_yaml(_bytes_of(run), run.config)


def read_run_texts(run: RunDir) -> dict[str, str]:
    """The values in config.yaml as they are written, by dotted key, of whatever version; raises as read_run_yaml()."""
    return yaml_texts(_bytes_of(run), run.config)


def _bytes_of(run: RunDir) -> bytes:
    try:
        return read_verified(run, run.config)
    except OSError as error:
        raise ConfigError(
            f"The config {run.config} cannot be read ({error.strerror or type(error).__name__})."
        ) from None


def read_run_config(run: RunDir) -> ExperimentConfig:
    """The config of a run.

    Raises:
        DataError: this version cannot read it, or it was edited.
    """
    try:
        return make_config(read_run_yaml(run), source=str(run.config))
    except ConfigError as error:
        then, now = version_of(run), versions()["plainfilm"]
        raise DataError(
            f"The run {run.root} was made by plainfilm {then}, this is {now}, and its config cannot be read: {error} "
            "Read it with the version that made it."
        ) from None
