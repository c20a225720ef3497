"""A new version of a run or bundle with another operating point: the same network, a card that says what was done."""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from plainfilm.base.files import TEMP_PREFIX, atomic_write, dump_json
from plainfilm.errors import OccupiedError
from plainfilm.evaluate.document import ExtraBlocks, evaluate_document
from plainfilm.evaluate.finished import FinishedRun
from plainfilm.evaluate.predictions import OOD, Predictions, write_predictions
from plainfilm.evaluate.shortcuts.probe_baseline import shortcut_baseline
from plainfilm.evaluate.test_ledger import count_accesses
from plainfilm.export.bundle import write_bundle
from plainfilm.export.bundle_card import BundleCard
from plainfilm.export.manifest import CARD, GATE, MANIFEST, MODEL_CARD, opened, verify, with_manifest
from plainfilm.export.model_card import model_card
from plainfilm.pipeline.saved_document import save_document
from plainfilm.recalibrate.local_images import Parent, ParentBundle, ParentRun
from plainfilm.runs.card import Card, write_card
from plainfilm.runs.folder import RunDir
from plainfilm.runs.run_manifest import is_kept, read_verified, remove_file, write_file
from plainfilm.schemas.operating import ParentPoint

# Files of a run that a version has too; checkpoints, figures, report and bundle belong to the parent's operating point.
_KEPT = (
    "run_manifest.json", "config.yaml", "environment.json", "table.csv", "excluded.csv", "data.json", "history.csv", "timing.csv", "l2_head.json", "status.json",
    "model.safetensors", "gate.safetensors", "cost.json", "heat_checks.json", "suspects.csv", "test_ledger.jsonl",
    "probes", "predictions", "local.csv", "card.yaml",
)  # fmt: skip


@dataclass(frozen=True)
class Version:
    """What changes: the card; the bytes of another gate, None: the parent's stays; rows of local images."""

    card: Card
    gate: bytes | None
    local: pd.DataFrame
    ood_factor: float = 1.0  # what the other gate's limit makes of the saved OOD scores


def place_of(parent: Parent, path: Path, out: Path | None) -> Path:
    """Where the version goes: `out`, or beside its parent with -local behind the name.

    Raises:
        OccupiedError: there is something already.
    """
    named = path.absolute()
    suffix = named.suffix if isinstance(parent, ParentBundle) and named.is_file() else ""
    place = (out or named.with_name(f"{named.name.removesuffix(suffix)}-local{suffix}")).absolute()
    if place.exists():
        raise OccupiedError(f"{place} exists; a version is never overwritten. Choose another --out, or remove it.")
    return place


def lineage(parent: Parent, path: Path) -> dict[str, Any]:
    """Where a version comes from, as fields of Recalibration: the date, the SHA-256 of the parent's card.json, which names
    its weights by their hash, and the operating point before any recalibration."""
    card, data = parent.card, _card_of(parent, path)
    first = ParentPoint(temperature=card.temperature, bias=card.bias, threshold=card.threshold)
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()), "parent_sha256": hashlib.sha256(data).hexdigest(),
        "parent": card.recalibration.parent if card.recalibration else first,
    }  # fmt: skip


def _card_of(parent: Parent, path: Path) -> bytes:
    if isinstance(parent, ParentRun):
        return read_verified(parent.finished.run, parent.finished.run.card)
    with opened(path) as source:
        return source.read(CARD)


def write_version(parent: Parent, path: Path, place: Path, version: Version) -> list[str]:
    """The new version at `place`, whole or not at all; returns its files."""
    if isinstance(parent, ParentBundle):
        return _write_bundle(path, place, version)
    return _write_run(parent.finished, place, version)


def _write_run(finished: FinishedRun, place: Path, version: Version) -> list[str]:
    parent, run = finished.run, RunDir.plan(place.with_name(f"{TEMP_PREFIX}{secrets.token_hex(4)}"), "")
    try:
        with run.claim():
            for name in _KEPT:
                _copy(parent.root / name, run.root / name)
            if version.gate is not None:
                atomic_write(run.gate, version.gate)
            _add_local(run, version.local)
            made = FinishedRun(run, _with_accesses(version.card, run), finished.cfg, finished.rows)
            for table in sorted((run.root / "predictions").glob("*.csv")):
                if table.stem in ("valid", "test", "valid-shifted"):
                    write_predictions(run, table.stem, _rescored(made.predictions(table.stem), version))
                else:  # an external set: scored again where it is asked for
                    remove_file(run, table)
            write_card(run, made.card)
            _save_valid(made)
        os.rename(run.root, place)
    except BaseException:
        shutil.rmtree(run.root, ignore_errors=True)
        raise
    run = RunDir(place)
    return sorted(file.relative_to(run.root).as_posix() for file in run.root.rglob("*") if file.is_file())


def _with_accesses(card: Card, run: RunDir) -> Card:
    """The card, which also counts the accesses in the ledger of its parent: they were at another operating point."""
    about = card.recalibration and card.recalibration.model_copy(
        update={"test_accesses": count_accesses(run, card.seal)[0]}
    )
    return card.model_copy(update={"recalibration": about})


def _rescored(predictions: Predictions, version: Version) -> Predictions:
    """The saved scores at the new point; OOD scores are relative to the gate's limit."""
    found = predictions.at(version.card.scaling)
    if OOD not in found.frame or version.ood_factor == 1:
        return found
    return replace(found, frame=found.frame.assign(**{OOD: found.frame[OOD] * version.ood_factor}))


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    elif source.is_file():
        shutil.copyfile(source, target)


def _add_local(run: RunDir, rows: pd.DataFrame) -> None:
    """The local images behind those of earlier recalibrations, which the network's operating point knew too."""
    before = _earlier(run) if is_kept(run, run.local) else rows.iloc[:0]
    both = pd.concat([before, rows.astype(str)], ignore_index=True)
    write_file(run, run.local, both.to_csv(index=False, lineterminator="\n"))


def _earlier(run: RunDir) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(read_verified(run, run.local)), dtype=str, keep_default_na=False)


def _save_valid(made: FinishedRun) -> None:
    """metrics.json with the valid images at the new point."""
    valid = made.predictions("valid")
    document = evaluate_document(made, "valid", valid, count_accesses(made.run, made.card.seal))
    probes = shortcut_baseline(made, "valid", valid.probs)
    save_document(made.run, document.model_copy(update={"shortcut_baseline": probes}), ExtraBlocks(), set())


def _write_bundle(path: Path, place: Path, version: Version) -> list[str]:
    with opened(path) as source:
        files, _ = verify(source, keep=frozenset(source.names) - {MANIFEST})
    # the parent's parent said something else about another operating point; `recalibration` names this version's
    card = BundleCard.model_validate({**version.card.model_dump(), "parent_sha256": None})
    files[CARD] = dump_json(card.model_dump(mode="json")).encode()
    files[MODEL_CARD] = model_card(card).encode()
    if version.gate is not None:
        files[GATE] = version.gate
    files = with_manifest(files)
    write_bundle(place, files)
    return sorted(files)
