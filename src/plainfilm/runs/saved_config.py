"""Reads config.yaml of a run with the running version."""

from __future__ import annotations

from plainfilm.config import ExperimentConfig, load_config
from plainfilm.errors import ConfigError, DataError
from plainfilm.runs.environment import version_of, versions
from plainfilm.runs.folder import RunDir
from plainfilm.runs.run_manifest import verify


def read_run_config(run: RunDir) -> ExperimentConfig:
    """The config of a run.

    Raises:
        DataError: this version cannot read it, or it was edited.
    """
    verify(run, run.config)
    try:
        return load_config(run.config)
    except ConfigError as error:
        then, now = version_of(run), versions()["plainfilm"]
        raise DataError(
            f"The run {run.root} was made by plainfilm {then}, this is {now}, and its config cannot be read: {error} "
            "Read it with the version that made it."
        ) from None
