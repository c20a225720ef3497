"""Runs that look finished, without a training: what compare and the tables read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save

from plainfilm.base.files import dump_json
from plainfilm.config import load_config
from plainfilm.data.table.saved_table import COLUMNS
from plainfilm.evaluate.document import evaluate_document, save_metrics
from plainfilm.evaluate.finished import FinishedRun
from plainfilm.evaluate.predictions import make_predictions, write_predictions
from plainfilm.evaluate.test_ledger import check_before_access, record_access, seal_of
from plainfilm.runs.card import KEPT_BEST, Card, write_card
from plainfilm.runs.folder import RunDir

SaveRun = Callable[..., RunDir]


def rows_of(patients: int, images: int, split: str, first: int = 0, labels: tuple[str, ...] = ("NORMAL", "PNEUMONIA")):
    """Rows of a table: `images` of each patient, classes in turn, every file of its own content."""
    found = []
    for patient in range(first, first + patients):
        for k in range(images):
            name, label = f"p{patient:04d}-{k}.png", labels[patient % len(labels)]
            found.append({
                **dict.fromkeys(COLUMNS, ""), "path": f"/data/{label}/{name}", "relative": f"{label}/{name}",
                "label": label, "patient": f"p{patient:04d}", "sha256": hashlib.sha256(name.encode()).hexdigest(),
                "bytes": 1, "width": 24, "height": 24, "depth": 8, "channels": 1, "quantisation": 0, "grey": True,
                "group": patient, "split": split,
            })  # fmt: skip
    return pd.DataFrame(found)


def scored_logits(rows: pd.DataFrame, vocab: list[str], skill: float, noise: int) -> np.ndarray:
    """(n, k): the true class is `skill` ahead of what the patient and the image bring by chance, drawn from `noise`."""
    rng = np.random.default_rng(noise)
    by_patient = rng.normal(size=(rows["group"].max() + 1, len(vocab)))[rows["group"]]
    truth = np.array([vocab.index(label) for label in rows["label"]])
    return by_patient + 0.5 * rng.normal(size=by_patient.shape) + skill * np.eye(len(vocab))[truth]


@pytest.fixture
def save_run(tmp_path: Path) -> SaveRun:
    """save_run(name, ...): a run folder as training leaves it, with drawn scores."""

    def save_one(
        name: str, *, seed: int = 0, skill: float = 1.5, noise: int | None = None, patients: int = 40, images: int = 2,
        first: int = 0, vocab: tuple[str, ...] = ("NORMAL", "PNEUMONIA"), positive: str | None = "PNEUMONIA",
        options: dict[str, Any] | None = None, looked: bool = False, status: str = "done", root: Path | None = None,
        test_first: int = 1000,
    ) -> RunDir:  # fmt: skip
        quick = load_config(options={"evaluate.n_boot": 100})  # nobody reads these bootstrapped limits
        run = RunDir((root or tmp_path / "runs") / name)
        run.root.mkdir(parents=True)
        cfg = load_config(options={"train.seed": seed, "train.size_px": 24, "data.path": "/data", **(options or {})})
        valid = rows_of(patients, images, "valid", first, vocab)
        test = rows_of(patients, images, "test", test_first, vocab)
        rows = pd.concat([valid, test], ignore_index=True)
        rows.to_csv(run.table, index=False, lineterminator="\n")
        run.config.write_text(cfg.as_yaml(), encoding="utf-8")
        run.write_status(status, seal=seal_of(test), ledger_head=None)
        run.environment.write_text(json.dumps({"plainfilm": "0.1.0"}), encoding="utf-8")
        if status != "done":
            return run
        weights = save({"w": np.full(10, noise if noise is not None else seed, dtype=np.float32)})
        run.weights.write_bytes(weights)
        card = Card(
            model=cfg.model, vocab=list(vocab), positive=positive, decode={"size_px": 24, "channels": 1}, mean=(0.5,),
            std=(0.25,), threshold=0.5 if positive else None, threshold_rule="accuracy", threshold_chosen_on="valid",
            kept_phase=0, kept_epoch=0, kept_by=KEPT_BEST, split="patient", leaky=False, has_patients=True,
            seal=seal_of(test), notes=[], weights_sha256=hashlib.sha256(weights).hexdigest(),
        )  # fmt: skip
        write_card(run, card)
        for split, part in (("valid", valid), ("test", test)):
            if split == "test" and not looked:
                continue
            logits = scored_logits(part, list(vocab), skill, noise if noise is not None else 100 + seed)
            found = make_predictions(part, logits, list(vocab), has_patients=True)
            looks = (0, 0)
            if split == "test":
                seal, before = check_before_access(run, part)
                looks = record_access(run, seal, before, {"model_sha256": card.weights_sha256, "inference": True})
            write_predictions(run, split, found)
            save_metrics(run, evaluate_document(FinishedRun(run, card, quick, rows), split, found, looks))
        run.cost.write_text(
            dump_json({"schema_version": 1, "parameters": 10, "weights_mb": 0.1, "seconds": 60.0 + seed, "train_img_per_s": 50.0,
                       "peak_rss_mb": 500.0, "peak_rss_exact": True, "latency": None}), encoding="utf-8")  # fmt: skip
        return run

    return save_one
