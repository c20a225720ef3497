"""heat_checks.json: what `interpret` found out about the heat maps of a run."""

from __future__ import annotations

from plainfilm.base.command_line import command_line
from plainfilm.base.json_text import json_model
from plainfilm.errors import DataError
from plainfilm.runs.folder import RunDir
from plainfilm.runs.run_manifest import is_kept, read_verified
from plainfilm.schemas.interpret import HeatFindings


def read_heat_checks(run: RunDir) -> HeatFindings | None:
    """The saved checks; None where there are none.

    Raises:
        DataError: the file is damaged, edited or deleted.
    """
    if not is_kept(run, run.heat_checks):
        return None
    try:
        return json_model(HeatFindings, read_verified(run, run.heat_checks), run.heat_checks)
    except (OSError, ValueError):
        raise DataError(
            f"{run.heat_checks.name} of {run.root} is damaged. Make it again: {command_line('interpret', run.root)}"
        ) from None
