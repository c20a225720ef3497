"""The folder of what plainfilm knows about a user's work and cannot compute again, unlike the cache."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from plainfilm.base.sanitize import found_value
from plainfilm.errors import UsageError


def user_folder() -> Path | None:
    """PLAINFILM_HOME, else the user's data folder as the system defines it; None for a user without a home.

    Nothing is created. Source: XDG Base Directory Specification 0.8, where a relative path is ignored.

    Raises:
        UsageError: PLAINFILM_HOME is relative, or begins with the home of a user who does not exist.
    """
    given = os.environ.get("PLAINFILM_HOME")
    if given:
        try:
            found = Path(given).expanduser()
        except RuntimeError:
            raise _refused(given, "no such home is known") from None
        if not found.is_absolute():
            raise _refused(given, "a relative path: each working folder would have its own count of test-set accesses")
        return found
    data = os.environ.get({"win32": "LOCALAPPDATA", "darwin": ""}.get(sys.platform, "XDG_DATA_HOME"), "")
    if os.path.isabs(data):
        return Path(data) / "plainfilm"
    home = _home()
    return home and home.joinpath(*_below_home(), "plainfilm")


def _refused(given: str, why: str) -> UsageError:
    return UsageError(f"PLAINFILM_HOME is {found_value(given)} ({why}). Give the full path of a folder.")


def _home() -> Path | None:
    try:
        home = Path("~").expanduser()
    except RuntimeError:  # a container whose user has no name
        return None
    return home if home.is_absolute() and home != Path(home.anchor) else None  # HOME="" gives the root


def _below_home() -> tuple[str, ...]:
    return {"win32": ("AppData", "Local"), "darwin": ("Library", "Application Support")}.get(
        sys.platform, (".local", "share")
    )
