"""What status.json may say of a run. Its seals become names of files, so nothing else is taken for one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

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
