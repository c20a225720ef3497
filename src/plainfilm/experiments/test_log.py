"""Evaluation on test by an experiment: once per finished run, each access logged beside the experiment's file.

The run's own ledger is the record; this log is the one that is committed, so that every test-set access of a project
can be counted from its repository.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from filelock import FileLock

from plainfilm.base.events import EventCallback
from plainfilm.base.files import atomic_write, read_regular
from plainfilm.base.json_text import parsed_json
from plainfilm.errors import DataError, OccupiedError
from plainfilm.evaluate.test_ledger import count_accesses
from plainfilm.experiments.grid import Experiment, Planned
from plainfilm.pipeline import evaluate
from plainfilm.runs.card import read_card
from plainfilm.runs.folder import RunDir
from plainfilm.runs.metrics_file import saved_splits

LOG = "looks.jsonl"


def access_log_file(experiment: Experiment) -> Path:
    """The log beside the experiment's file."""
    return experiment.path.absolute().parent / LOG


def require_writable(path: Path) -> None:
    """Refuse before a test-set access, not after.

    Raises:
        OccupiedError: the log cannot be written. DataError: its content is not readable.
    """
    read_access_log(path)
    try:
        atomic_write(path, _text(path))
    except OSError as error:
        raise OccupiedError(
            f"{path} cannot be written ({error.strerror}), and every test-set access must be logged. Fix its permissions."
        ) from None


def read_access_log(path: Path) -> list[dict[str, Any]]:
    """The test-set accesses logged so far."""
    try:
        lines = _text(path).splitlines()
        found = [parsed_json(line, path) for line in lines if line.strip()]
        return [{"model_sha256": access["model_sha256"], **access} for access in found]
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(
            f"{path} is not a log of test-set accesses, one JSON object per line. Restore it first."
        ) from None


def _text(path: Path) -> str:
    """The log; '' where there is none yet."""
    try:
        return read_regular(path).decode("utf-8")
    except FileNotFoundError:
        return ""


def evaluate_on_test(
    experiment: Experiment, planned: Planned, run: RunDir, on_event: EventCallback, lock: Path
) -> bool:
    """Evaluate on test unless this run has done so, and log it; True when it was evaluated now.

    An access that was not logged (a kill between the two) is logged now. A run without a test set has none.
    """
    card = read_card(run)
    if card.seal is None:
        return False
    evaluated = count_accesses(run, card.seal)[0] > 0
    if not evaluated:
        evaluate.evaluate_run(run.root, split="test", on_event=on_event)
    saved = saved_splits(run).get("test")
    if saved is None:  # evaluated by hand with another threshold; the ledger has it
        return False
    path = access_log_file(experiment)
    with FileLock(lock):
        access = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "test_set": _test_set(experiment, planned),
            "seal": card.seal, "what": f"experiments/{experiment.path.name}, {planned.configuration}",
            "seed": planned.cfg.train.seed, "model_sha256": card.weights_sha256,
            "auroc": _rounded(saved, "auroc"), "accuracy": _rounded(saved, "accuracy"),
        }  # fmt: skip
        # the weights alone do not identify it: two configurations may differ only in the threshold
        same = ("model_sha256", "seal", "what", "seed")
        if any(all(old.get(key) == access[key] for key in same) for old in read_access_log(path)):
            return not evaluated
        before = _text(path)
        atomic_write(path, before + ("\n" if before and not before.endswith("\n") else "") + json.dumps(access) + "\n")
    return not evaluated


def _test_set(experiment: Experiment, planned: Planned) -> str:
    if experiment.about.test_set:
        return experiment.about.test_set
    data = planned.cfg.data
    return f"{Path(data.path).name if data.path else 'drawn phantoms'}, {Path(data.split).stem} split"


def _rounded(saved: dict[str, Any], name: str) -> float | None:
    value = saved["metrics"][name]["value"]
    return None if value is None else round(value, 4)
