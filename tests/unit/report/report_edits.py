"""Changes to the files of a finished run."""

from __future__ import annotations

import json
from typing import Any

from plainfilm.base.files import dump_json
from plainfilm.runs.folder import RunDir


def edit_metrics(run: RunDir, split: str, **blocks: Any) -> None:
    """Put blocks into one split of metrics.json."""
    found = json.loads(run.metrics.read_text(encoding="utf-8"))
    found[split] |= blocks
    run.metrics.write_text(dump_json(found), encoding="utf-8")


def edit_card(run: RunDir, **facts: Any) -> None:
    card = json.loads(run.card.read_text(encoding="utf-8"))
    run.card.write_text(dump_json(card | facts), encoding="utf-8")
