"""Test sets opened by an experiment: once per finished run, and each look in a log beside the experiment's file.

The run's own ledger is the record; this log is the one that is committed, so that every look a project ever made can
be counted from its repository.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from filelock import FileLock

from plainfilm.base.events import EventCallback
from plainfilm.base.files import atomic_write
from plainfilm.errors import DataError, OccupiedError
from plainfilm.evaluate.test_ledger import count_accesses
from plainfilm.experiments.grid import Experiment, Planned
from plainfilm.pipeline import evaluate
from plainfilm.runs.card import read_card
from plainfilm.runs.folder import RunDir


def access_log_file(experiment: Experiment) -> Path:
    """looks.jsonl beside the experiment's file."""
    return experiment.path.absolute().parent / "looks.jsonl"


def require_writable(path: Path) -> None:
    """Refuse before a test set is opened, not after.

    Raises:
        OccupiedError: the log cannot be written. DataError: what stands in it is not readable.
    """
    read_access_log(path)
    try:
        atomic_write(path, path.read_text(encoding="utf-8") if path.is_file() else "")
    except OSError as error:
        raise OccupiedError(
            f"{path} cannot be written ({error.strerror}); a look that is not logged is not made. Mend its rights."
        ) from None


def read_access_log(path: Path) -> list[dict[str, Any]]:
    """The looks logged so far."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        found = [json.loads(line) for line in lines if line.strip()]
        return [{"model_sha256": look["model_sha256"], **look} for look in found]
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(
            f"{path} is not a log of looks, one JSON object per line. Restore it before a look is made."
        ) from None


def open_test(experiment: Experiment, planned: Planned, run: RunDir, on_event: EventCallback, lock: Path) -> bool:
    """Evaluate on test unless this run has done so, and log it; True when the test set was opened now.

    A look that was made but not logged (a kill between the two) is logged now. A run without a test set has none.
    """
    card = read_card(run)
    if card.seal is None:
        return False
    looked = count_accesses(run, card.seal)[0] > 0
    if not looked:
        evaluate.evaluate_run(run.root, split="test", on_event=on_event)
    saved = json.loads(run.metrics.read_text(encoding="utf-8")).get("test")
    if saved is None:  # looked by hand with another threshold; the ledger has it
        return False
    path = access_log_file(experiment)
    with FileLock(lock):
        look = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "test_set": _test_set(experiment, planned),
            "seal": card.seal, "what": f"experiments/{experiment.path.name}, {planned.configuration}",
            "seed": planned.cfg.train.seed, "model_sha256": card.weights_sha256,
            "auroc": _rounded(saved, "auroc"), "accuracy": _rounded(saved, "accuracy"),
        }  # fmt: skip
        # not by the weights alone: two configurations may differ in the threshold only
        same = ("model_sha256", "seal", "what", "seed")
        if any(all(old.get(key) == look[key] for key in same) for old in read_access_log(path)):
            return not looked
        before = path.read_text(encoding="utf-8") if path.is_file() else ""
        atomic_write(path, before + ("\n" if before and not before.endswith("\n") else "") + json.dumps(look) + "\n")
    return not looked


def _test_set(experiment: Experiment, planned: Planned) -> str:
    if experiment.about.test_set:
        return experiment.about.test_set
    data = planned.cfg.data
    return f"{Path(data.path).name if data.path else 'drawn phantoms'}, {Path(data.split).stem} split"


def _rounded(saved: dict[str, Any], name: str) -> float | None:
    value = saved["metrics"][name]["value"]
    return None if value is None else round(value, 4)
