"""Finished runs with every file that the report reads, without training."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from report_edits import rename_files

from plainfilm.base.files import dump_json
from plainfilm.runs.folder import RunDir

COMMAND = [
    "/home/mueller/venv/bin/plainfilm",
    "train",
    "/home/mueller/xrays",
    "--epochs",
    "2",
    "--out",
    "/home/mueller/runs/one",
]
EPOCHS = 2
PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 50
Finish = Callable[..., RunDir]


def write_counts(run: RunDir, vocab: list[str]) -> None:
    """data.json that agrees with table.csv."""
    rows = pd.read_csv(run.table, dtype=str, keep_default_na=False)
    splits = {
        name: {
            "images": len(part),
            "patients": part["patient"].nunique(),
            "classes": part["label"].value_counts().to_dict(),
        }
        for name, part in rows.groupby("split")
    }
    total = {name: int((rows["label"] == name).sum()) for name in vocab}
    run.data.write_text(dump_json({
        "found": len(rows) + 3, "used": len(rows), "quarantined": 2, "duplicates": 0, "ignored": 1, "identical_files": 0,
        "patients": rows["patient"].nunique(), "classes": total, "splits": splits,
    }), encoding="utf-8")  # fmt: skip


@pytest.fixture
def finish(save_run: Any) -> Finish:
    """finish(name, ...): a run of save_run with the other files that training and evaluate write.

    `interpreted`: with the figures of `interpret` that the report would otherwise draw itself.
    """

    def finish_one(
        name: str = "one",
        *,
        command: list[str] | None = None,
        files: dict[str, str] | None = None,
        interpreted: bool = True,
        **asked: Any,
    ) -> RunDir:
        run: RunDir = save_run(name, **{"looked": True, **asked})
        card = json.loads(run.card.read_text(encoding="utf-8"))
        if files:
            rename_files(run, files)
        write_counts(run, card["vocab"])
        text = io.StringIO()
        out = csv.writer(text, lineterminator="\n")
        out.writerow(["path", "relative", "state", "code", "why"])
        out.writerow(["/data/NORMAL/lost.png", "NORMAL/lost.png", "quarantined", "E_CORRUPT", "is cut off"])
        out.writerow(["/data/NORMAL/gone.png", "NORMAL/gone.png", "quarantined", "E_EMPTY", "is empty"])
        out.writerow(["/data/.DS_Store", ".DS_Store", "ignored", "hidden", "hidden"])
        run.excluded.write_text(text.getvalue(), encoding="utf-8")
        lines = ["phase,epoch,train_loss,train_accuracy,valid_loss,valid_accuracy,valid_auroc,lr"]
        lines += [f"0,{epoch},0.7,0.5,0.6,0.6,0.{6 + epoch},0.001" for epoch in range(EPOCHS)]
        run.history.write_text("\n".join(lines) + "\n", encoding="utf-8")
        run.environment.write_text(dump_json({
            "plainfilm": "0.1.0", "python": "3.11.7", "libraries": {"torch": "2.15.0"}, "platform": "Linux", "processors": 2,
            "command": COMMAND if command is None else command, "speed": {"device": "cpu", "threads": 1},
        }), encoding="utf-8")  # fmt: skip
        shots = np.random.default_rng(0).integers(0, 256, (6, 24, 24), dtype=np.uint8)
        for split in ("valid", "test"):
            if run.predictions(split).is_file():
                np.save(run.top_images(split), shots, allow_pickle=False)
        for figure in ("history", "scores_valid", "scores_test") if interpreted else ():
            run.figure(figure).parent.mkdir(exist_ok=True)
            run.figure(figure).write_bytes(PNG)
        return run

    return finish_one
