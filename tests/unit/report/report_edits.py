"""Changes to the files of a finished run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from plainfilm.base.files import dump_json
from plainfilm.runs.folder import RunDir

FAILED = "HEAT MAPS DO NOT SHOW WHAT THE SCORE DEPENDS ON: removing the hottest patches first changes nothing."
UNDECIDED = "NOT ENOUGH IMAGES TO TELL: it may or may not (+0.1 [-0.1, +0.3]; 8 images)."


def edit_metrics(run: RunDir, split: str, **blocks: Any) -> None:
    """Put blocks into one split of metrics.json."""
    found = json.loads(run.metrics.read_text(encoding="utf-8"))
    found[split] |= blocks
    run.metrics.write_text(dump_json(found), encoding="utf-8")


def edit_card(run: RunDir, **facts: Any) -> None:
    card = json.loads(run.card.read_text(encoding="utf-8"))
    run.card.write_text(dump_json(card | facts), encoding="utf-8")


def save_heat(
    run: RunDir, verdicts: dict[str, str], says: list[str], sheets: tuple[str, ...] = ("test", "valid")
) -> None:
    """Write heat_checks.json as `interpret` does."""
    nothing = {"value": 0.1, "ci_low": -0.1, "ci_high": 0.3, "n": 8, "n_patients": 8, "method": "t"}
    run.heat_checks.write_text(dump_json({
        "method": "hires-cam", "layer": "stage3", "cells": [8, 8], "pictures": 8, "chosen": "valid images", "flat": 0,
        "deletion": {"at random": nothing}, "deletion_gain": nothing, "randomised": nothing, "random_networks": 3,
        "central": nothing, "central_area": 0.49, "says": says, "verdicts": verdicts, "sheets": list(sheets),
    }), encoding="utf-8")  # fmt: skip


def with_heat(
    run: RunDir, verdict: str | None, says: str = "", *, sheets: tuple[str, ...] = ("test", "valid")
) -> RunDir:
    """The run as `interpret` leaves it, with a deletion check of this verdict; None: as versions before verdicts left it."""
    for name in ("heat_deletion", "top_losses_valid", "top_losses_test"):
        run.figure(name).write_bytes(b"\x89PNG\r\n\x1a\n")
    if verdict:
        say = [says, "Random weights give different heat maps."]
        save_heat(run, {"deletion": verdict, "randomised": "passed"}, say, sheets)
    return run


def rename_files(run: RunDir, names: dict[str, str]) -> None:
    """Rename files in table.csv and predictions; labels, scores and order stay."""
    rows = pd.read_csv(run.table, dtype=str, keep_default_na=False)
    places = {old: new for old, new in names.items() if old in set(rows["relative"])}
    assert places, "none of the files is in the table"
    paths = {f"/data/{old}": f"/data/{new}" for old, new in places.items()}
    rows["relative"], rows["path"] = rows["relative"].replace(places), rows["path"].replace(paths)
    rows.to_csv(run.table, index=False, lineterminator="\n")
    for split in ("valid", "test"):
        path: Path = run.predictions(split)
        if path.is_file():
            scores = pd.read_csv(path, dtype=str, keep_default_na=False)
            scores["path"] = scores["path"].replace(paths)
            scores.to_csv(path, index=False, lineterminator="\n")
