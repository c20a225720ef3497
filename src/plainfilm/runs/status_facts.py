"""What status.json may say of a run, and what follows from it. Its seals become names of files, so nothing else is taken
for one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from plainfilm.base.sanitize import found_value

_SHA256, _ID = re.compile(r"[0-9a-f]{64}"), re.compile(r"[\w-]{1,64}")
_FORMS = {"seal": _SHA256, "images": _SHA256, "ledger_head": _SHA256, "run_id": _ID, "updated": re.compile(".{0,64}")}


def check_facts(found: Mapping[str, Any]) -> None:
    """Check the facts that others read; each may be absent or null.

    Raises:
        ValueError: one is not of the form in which it is written.
    """
    if not isinstance(found["status"], str):
        raise ValueError("status")
    for name, form in _FORMS.items():
        value = found.get(name)
        if value is not None and not (isinstance(value, str) and form.fullmatch(value)):
            raise ValueError(name)
    _check_trial(found.get("trial"))


def _check_trial(trial: Any) -> None:
    """What a run of a study says of it; None where it is of none."""
    if trial is None:
        return
    forms = {"study": str, "number": int, "confirms": bool}
    if not isinstance(trial, Mapping) or any(type(trial.get(name)) is not form for name, form in forms.items()):
        raise ValueError("trial")


def why_at_its_end(status: str, again: str) -> str:
    """Why a run cannot be resumed, as the end of a sentence that begins with its name; '' where its status allows it.

    `again`: the command that trains its config again.
    """
    return {
        "done": "is already done; there is nothing to resume.",
        "diverged": "diverged; resuming would repeat that. Train again with a smaller --lr.",
        "pruned": "was pruned: plainfilm tune ended it, since the trials before it were better by then. Train its config "
        f"to the end: {again}",
    }.get(status, "")


def why_unfinished(status: str, again: str, resume: str) -> str:
    """That a run has no finished model, and what to do, as the end of a sentence that begins with its name."""
    advice = {
        "running": "Wait for it.",
        "diverged": "Train again with a smaller --lr.",
        "pruned": f"plainfilm tune ended it early. Train its config to the end: {again}",
    }
    found = f"is {found_value(status)}, not 'done'; it has no finished model."
    return f"{found} {advice.get(status, f'Resume it: {resume}')}"
