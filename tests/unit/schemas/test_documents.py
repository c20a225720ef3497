"""The shortcut baseline is written under its key and under the older one, and read from either."""

from __future__ import annotations

import json

import pytest
from pydantic import BaseModel

from plainfilm.export.bundle_card import SplitScores
from plainfilm.runs.metrics_file import MetricsDocument
from plainfilm.schemas.documents import HasShortcutBaseline, _baseline_of

PROBES = {"best": "border ring", "auroc": None, "probes": {}, "beyond": None, "difference": None}
OTHER = {**PROBES, "best": "file facts"}
BARE = {
    "opened": 0, "opened_by_all_runs": 0, "threshold": None, "metrics": {}, "metrics_at_half": {},
    "split": "valid", "positive": None, "notes": [], "confusion": {"labels": [], "rows": []},
}  # fmt: skip


@pytest.mark.parametrize("key", ["shortcut_baseline", "no_lungs_needed"])
def test_either_key_is_read_and_both_are_written(key):
    document = HasShortcutBaseline.model_validate({key: PROBES})
    written = json.loads(document.model_dump_json())
    assert written == {"shortcut_baseline": PROBES, "no_lungs_needed": PROBES}
    assert HasShortcutBaseline.model_validate(written) == document


@pytest.mark.parametrize(
    ("given", "best"),
    [
        ({"shortcut_baseline": PROBES, "no_lungs_needed": OTHER}, "border ring"),
        ({"shortcut_baseline": None, "no_lungs_needed": OTHER}, "file facts"),
        ({"no_lungs_needed": None}, None),
        ({}, None),
    ],
)
@pytest.mark.parametrize("model", [HasShortcutBaseline, SplitScores, MetricsDocument])
def test_the_newer_key_wins_unless_it_is_empty(model: type[BaseModel], given, best):
    if model is SplitScores:
        bare = {key: BARE[key] for key in ("opened", "opened_by_all_runs", "threshold", "metrics", "metrics_at_half")}
    else:
        bare = BARE if model is MetricsDocument else {}
    found = model.model_validate({**bare, **given}).shortcut_baseline
    assert (found.best if found else None) == best
    assert ((_baseline_of(given) or {}).get("best")) == best
