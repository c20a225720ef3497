"""One run as a row: what its files say, each checked as every command checks it, and the first thing that is wrong.

Nothing is written, no image is read, and no file of test is scored: these are saved numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from plainfilm.base.files import read_regular
from plainfilm.base.json_text import json_model, parsed_json
from plainfilm.errors import DataError, PlainfilmError, SealError
from plainfilm.evaluate.saved_auroc import refuse_another_auroc
from plainfilm.evaluate.test_ledger import count_accesses, no_test_access
from plainfilm.runs.card import Card, seal_on_card
from plainfilm.runs.folder import RunDir
from plainfilm.runs.metrics_file import saved_splits
from plainfilm.runs.run_manifest import is_kept, read_verified
from plainfilm.runs.saved_config import read_run_texts
from plainfilm.schemas.evaluate import Metric
from plainfilm.schemas.run_list import DAMAGED, RunRow, RunScores

MB = 1_000_000
_WRONG = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError)


def read_row(run: RunDir, name: str) -> RunRow:
    """The row of a run folder; it never raises for what is in the folder.

    Args:
        name: of the row.
    """
    facts: dict[str, Any] = {"path": str(run.root), "name": name, "status": DAMAGED}
    wrong: list[str] = []
    for part in (_status, _config, _progress, _card, _accesses, _valid, _test):
        with _noted(run, wrong):
            facts |= part(run, facts)
        if facts["status"] == DAMAGED:
            break
    return RunRow(**facts, problem=wrong[0] if wrong else None)


@contextmanager
def _noted(run: RunDir, wrong: list[str]) -> Iterator[None]:
    try:
        yield
    except PlainfilmError as error:
        wrong.append(" ".join(str(error).split()))
    except _WRONG as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        wrong.append(f"A file of {run.root} cannot be read ({why}). Restore it from a backup.")


def bounded(path: Path, most: int) -> Path:
    """The path of a file that is not larger than `most` bytes, or of none.

    Raises:
        DataError: it is larger.
    """
    if path.is_file() and path.stat().st_size > most:
        raise DataError(
            f"{path} has {path.stat().st_size:,} bytes; at most {most:,} are read. Restore it from a backup."
        )
    return path


def read_csv_columns(run: RunDir, path: Path, *, done: bool) -> dict[str, list[float]]:
    """The columns of a CSV of numbers that a training writes; none where there is no file yet.

    Args:
        done: whether the file is verified, which it is from the end of training on.
    Raises:
        DataError: it is not the file that was written, or too large. ValueError: it is damaged.
    """
    if done and not is_kept(run, bounded(path, 16 * MB)):
        return {}
    if not bounded(path, 16 * MB).is_file():
        return {}
    data = read_verified(run, path) if done else read_regular(path, 16 * MB)
    head, *lines = data.decode("utf-8").splitlines()
    cells = [line.split(",") for line in lines]
    names = head.split(",")
    if any(len(row) != len(names) for row in cells):
        raise DataError(f"{path.name} of {run.root} is damaged. Restore it from a backup, or train again.")
    return {name: [float(row[i] or "nan") for row in cells] for i, name in enumerate(names)}


def _status(run: RunDir, facts: dict[str, Any]) -> dict[str, Any]:
    bounded(run.status, MB)
    bounded(run.manifest, 64 * MB)
    found = run.read_status()
    return {"status": found["status"], "updated": found.get("updated")}


def _config(run: RunDir, facts: dict[str, Any]) -> dict[str, Any]:
    found = read_run_texts(run)
    kfold = found.get("data.split") == "kfold"
    return {
        "model": found.get("model.name"), "data": found.get("data.path"), "split": found.get("data.split"),
        "fold": int(found["data.fold"]) if kfold else None, "folds": int(found["data.folds"]) if kfold else None,
    }  # fmt: skip


def _progress(run: RunDir, facts: dict[str, Any]) -> dict[str, Any]:
    found = read_csv_columns(run, run.timing, done=facts["status"] == "done").get("epoch_seconds")
    return {} if found is None else {"epochs": len(found), "minutes": sum(found) / 60}


def _card(run: RunDir, facts: dict[str, Any]) -> dict[str, Any]:
    if facts["status"] != "done":
        return {}
    card = parsed_json(read_verified(run, bounded(run.card, 16 * MB)), run.card)
    return {"recalibrated": card.get("recalibration") is not None}


def _accesses(run: RunDir, facts: dict[str, Any]) -> dict[str, Any]:
    bounded(run.ledger, 64 * MB)
    return {"opened": count_accesses(run, seal_on_card(run))[0]}


def _valid(run: RunDir, facts: dict[str, Any]) -> dict[str, Any]:
    return _saved(run, "valid")


def _test(run: RunDir, facts: dict[str, Any]) -> dict[str, Any]:
    """Nothing where accesses could not be counted: another part has said why."""
    if facts.get("opened") is None or not (found := _saved(run, "test")):
        return {}
    if facts["opened"] == 0 or (facts.get("recalibrated") and no_test_access(run, _card_of(run))):
        raise SealError(
            f"metrics.json of {run.root} has test scores, but no test-set access is recorded. "
            "Restore test_ledger.jsonl and status.json from a backup."
        )
    return found


def _card_of(run: RunDir) -> Card:
    """Without the hash of the weights, which takes seconds in a list of many runs."""
    return json_model(Card, read_verified(run, bounded(run.card, 16 * MB)), run.card)


def _saved(run: RunDir, split: str) -> dict[str, Any]:
    if not is_kept(run, bounded(run.metrics, 64 * MB)):
        return {}
    splits = saved_splits(run)
    return {split: _auroc(run, split, splits[split])} if split in splits else {}


def _auroc(run: RunDir, split: str, part: dict[str, Any]) -> RunScores:
    fields: Callable[[str], Any] = part["metrics"]["auroc"].get
    found = Metric(**{name: fields(name) for name in Metric.model_fields})
    bounded(run.predictions(split), 256 * MB)
    refuse_another_auroc(run, split, found.value, part["confusion"]["labels"], part["positive"])
    return RunScores(auroc=found)
