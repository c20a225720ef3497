"""What recalibration on a few local images brings: twenty draws of local patients, each judged on all the others.

    python benchmarks/another_place.py RUN --on LOCAL --map No_findings=NORMAL --map Pneumonia=PNEUMONIA
    python benchmarks/another_place.py RUN --on LOCAL --change contrast-low   # the decoded local images, changed

Prints accuracy, Brier score, calibration intercept, sensitivity and specificity as the run is, after fits on 20, 50, 100
and 200 patients (mean and 5th to 95th percentile over draws), and at the best threshold with the labels known (oracle).
`regained` is the share of (oracle - before) in accuracy.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from plainfilm.base.seeds import content_key
from plainfilm.data.cache.rows import decode_rows
from plainfilm.data.image.decode import DecodeSpec
from plainfilm.data.synthetic.corruptions import corrupted
from plainfilm.evaluate.metrics.calibration import calibration_line
from plainfilm.evaluate.operating.thresholds import choose_threshold
from plainfilm.evaluate.shift.external_set import ExternalRequest, parse_map
from plainfilm.recalibrate.local_fit import LocalPoint, LocalRule, LocalScores, draws_of, fit_local
from plainfilm.recalibrate.local_images import open_parent, read_local

SIZES = (20, 50, 100, 200)
DRAWS = 20


def numbers(scores: LocalScores, point: LocalPoint, positive: int) -> dict[str, float]:
    probs, truth = point.probs(scores)[:, positive], scores.targs == positive
    predicted = point.predicted(scores, positive) == positive
    line = calibration_line(probs, truth)
    return {
        "accuracy": float((predicted == truth).mean()), "brier": float(((probs - truth) ** 2).mean()),
        "intercept": line[0] if line else float("nan"), "sensitivity": float(predicted[truth].mean()),
        "specificity": float((~predicted[~truth]).mean()),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--on", type=Path, required=True)
    parser.add_argument("--map", action="append", default=[])
    parser.add_argument("--leave-out", action="append", default=[])
    parser.add_argument("--change", default=None, help="a corruption by name, applied to the decoded local images")
    args = parser.parse_args()
    parent = open_parent(args.run, "cpu", None, lambda *_: None)
    asked = ExternalRequest(args.on, parse_map(args.map), leave_out=args.leave_out, drop_known=True)
    local = read_local(parent, asked, lambda *_: None)
    scores = local.scores
    if args.change:
        pixels = decode_rows(local.rows, DecodeSpec(**parent.card.decode))[:]
        keys = np.array([content_key(sha) for sha in local.rows["sha256"]], dtype=np.int64)
        scores = replace(scores, logits=parent.score(corrupted(pixels, args.change, keys))[0])
    report(parent.card, scores)


def report(card: Any, scores: LocalScores) -> None:
    positive = card.positive_index
    how = LocalRule(card.scaling, card.threshold, "smooth", positive)
    probs = card.scaling.probs(scores.logits)[:, positive]
    best = replace(how.as_it_is, threshold=choose_threshold("accuracy", probs, scores.targs == positive))
    rows = {"as it is": numbers(scores, how.as_it_is, positive), "oracle": numbers(scores, best, positive)}
    auroc = roc_auc_score(scores.targs == positive, probs)
    print(
        f"{len(scores.targs)} images of {scores.patients} patients, {np.mean(scores.targs == positive):.2f} positive, AUROC {auroc:.3f}"
    )
    for name, row in rows.items():
        print(f"{name:12}", json.dumps({key: round(value, 3) for key, value in row.items()}))
    for patients in [n for n in SIZES if n < scores.patients / 2]:
        found = []
        for fitted in draws_of(scores, patients, DRAWS, seed=0):
            point, rest = fit_local(scores.among(fitted), how), scores.among(~fitted)
            after, before, top = (numbers(rest, each, positive) for each in (point, how.as_it_is, best))
            found.append(
                {**after, "regained": (after["accuracy"] - before["accuracy"]) / (top["accuracy"] - before["accuracy"])}
            )
        table = {key: np.array([each[key] for each in found]) for key in found[0]}
        shown = {
            key: f"{np.nanmean(x):.3f} [{np.nanquantile(x, 0.05):.3f}, {np.nanquantile(x, 0.95):.3f}]"
            for key, x in table.items()
        }
        print(f"{patients:12}", json.dumps(shown))


if __name__ == "__main__":
    main()
