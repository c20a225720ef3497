"""Processor seconds and peak memory of the metrics document of many classes, from drawn scores; one thread.

python benchmarks/evaluate_cost.py
python benchmarks/evaluate_cost.py --classes 1000 --images 20000
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from plainfilm.config import load_config
from plainfilm.evaluate.document import evaluate_document
from plainfilm.evaluate.finished import FinishedRun
from plainfilm.evaluate.predictions import make_predictions
from plainfilm.runs.card import KEPT_BEST, Card
from plainfilm.runs.folder import RunDir


def drawn(classes: int, images: int, folder: Path) -> tuple[FinishedRun, np.ndarray]:
    """A run whose valid images have one patient each, and their logits, float32 (n, k)."""
    rng = np.random.default_rng(0)
    vocab = [f"class{c:04d}" for c in range(classes)]
    targs = rng.integers(0, classes, images)
    logits = rng.normal(size=(images, classes)).astype(np.float32)
    logits[np.arange(images), targs] += 3
    names = [f"{i:06d}" for i in range(images)]
    rows = pd.DataFrame(
        {"path": names, "relative": names, "label": [vocab[c] for c in targs], "patient": names, "group": names,
         "sha256": [f"{i:064x}" for i in range(images)], "split": "valid"}
    )  # fmt: skip
    cfg = load_config(options={})
    card = Card(
        model=cfg.model, vocab=vocab, positive=None, decode={"size_px": 24, "channels": 1}, mean=(0.5,), std=(0.25,),
        threshold=None, threshold_rule="accuracy", threshold_chosen_on="valid", kept_phase=0, kept_epoch=0,
        kept_by=KEPT_BEST, split="patient", leaky=False, has_patients=True, seal=None, notes=[], weights_sha256="0" * 64,
    )  # fmt: skip
    return FinishedRun(RunDir(folder), card, cfg, rows), logits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--images", type=int, default=20_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        finished, logits = drawn(given.classes, given.images, Path(folder))
        predictions = make_predictions(finished.rows, logits, finished.card.vocab, has_patients=True)
        del logits
        before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        document = evaluate_document(finished, "valid", predictions, (0, 0))
        seconds, after = time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"{given.classes:,} classes of {given.images:,} images: {seconds:.1f} s of processor time, peak {after / 1024:.0f} MB "
        f"({before / 1024:.0f} MB with the scores alone), AUROC {document.metrics['auroc'].value:.3f}"
    )


if __name__ == "__main__":
    main()
