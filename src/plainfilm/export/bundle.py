"""`plainfilm export`: turns a finished run into a folder (or one zip) that scores images without torch and fastai.

Everything is built and checked in memory first; the folder then appears complete or not at all.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from pydantic import ValidationError

from plainfilm.base.command_line import command_line
from plainfilm.base.events import EventCallback, silent
from plainfilm.base.files import TEMP_PREFIX, atomic_write, dump_json, folders_above, read_regular
from plainfilm.base.json_text import json_model
from plainfilm.data.cache.rows import decode_rows
from plainfilm.data.image import sandbox
from plainfilm.data.image.decode import DecodeSpec
from plainfilm.data.image.layout import channels_first
from plainfilm.data.synthetic.drawn_files import drawn_note
from plainfilm.data.table.saved_table import read_table
from plainfilm.errors import BundleError, DataError, GateError, OccupiedError
from plainfilm.evaluate.finished import FinishedRun
from plainfilm.evaluate.ood.ood_gate import read_gate
from plainfilm.evaluate.saved_numbers import refuse_other_numbers
from plainfilm.evaluate.shift.external_set import PREFIX
from plainfilm.evaluate.test_ledger import count_accesses, no_test_access
from plainfilm.export.bundle_card import Architecture, BundleCard, OnnxFacts, SplitScores
from plainfilm.export.manifest import CARD, GATE, MANIFEST, MODEL_CARD, ONNX, WEIGHTS, opened, pack, with_manifest
from plainfilm.export.manifest import verify as verify_bundle
from plainfilm.export.model_card import model_card
from plainfilm.export.network import remember
from plainfilm.models.from_card import kept_network
from plainfilm.models.registry import get_spec
from plainfilm.runs.card import Card, read_card
from plainfilm.runs.environment import read_environment
from plainfilm.runs.folder import RunDir
from plainfilm.runs.heat_checks_file import read_heat_checks
from plainfilm.runs.metrics_file import validated_splits
from plainfilm.runs.people_card import open_fields, read_people_card
from plainfilm.runs.run_manifest import read_verified, verify
from plainfilm.runs.saved_config import read_run_config
from plainfilm.runs.verified_files import say_unverified
from plainfilm.schemas.documents import DRAWN, HEAT_MAPS, DataCounts, EvaluateDocument, ExportDocument

if TYPE_CHECKING:
    from plainfilm.models.build import Normalised

_CHECK_IMAGES = 32


def export_run(
    root: Path, out: Path | None = None, on_event: EventCallback = silent, *, data: Path | None = None
) -> ExportDocument:
    """`plainfilm export`: the bundle of a run, at `out` (default: bundle/ in the run); a name ending in .zip makes one file.

    Where the run holds a bundle and its card.yaml has changed since, the next is bundle-2/, which names it as its parent
    unless it is damaged, which is said.

    No test image is read: ONNX is compared with torch on valid images.

    Args:
        data: where DATA is now, if it was moved.
    Raises:
        OccupiedError: `out` exists. DataError: the run is not finished, or one of its files is damaged.
        GateError: ONNX differs from torch by more than TOLERANCE; nothing is written.
    """
    run = RunDir.open(root)
    people = read_people_card(run)
    before = _version_before(run, people, on_event)
    out = (out or before.next).absolute()
    if out.exists():
        raise OccupiedError(f"{out} exists; a bundle is never overwritten. Choose another --out, or remove it.")
    say_unverified(run, on_event if data is None else silent)
    verify(run, run.metrics, run.data, run.environment, run.config)  # before the network is exported
    rows = read_table(run) if data is None else FinishedRun.open(run, data, on_event).rows
    card = _with_heat_verdict(run, _named_as_drawn(read_card(run), rows))
    read_gate(run, card)  # refuses a modified gate
    from plainfilm.export.onnx import OPSET, OUTPUTS, TOLERANCE, differences, export_onnx
    from plainfilm.models.build import parameter_count

    model, _ = kept_network(run, card, "cpu")
    sample = _sample(run, card, rows)
    on_event("compare", {"images": len(sample.pixels), "what": sample.what})
    graph = export_onnx(model, card.scaling, sample.pixels.shape[1:])
    apart = differences(model, card.scaling, graph, sample.pixels)
    if max(apart.values()) > TOLERANCE or not np.isfinite(list(apart.values())).all():
        name = max(apart, key=lambda key: apart[key])
        raise GateError(
            f"ONNX and torch differ in their {name} by {apart[name]:.2e}; at most {TOLERANCE:g} is accepted. Nothing was "
            "written. Please report it with the name of the network."
        )
    onnx = OnnxFacts(opset=OPSET, input=sample.pixels.shape[1:], outputs=OUTPUTS, pictures=len(sample.pixels),
                     compared_on=sample.what, differences=apart)  # fmt: skip
    whole = _bundle_card(run, card, rows, onnx, parameter_count(model))
    whole = whole.model_copy(update={"people": people, "parent_sha256": before.sha256})
    text = model_card(whole)
    files = {
        CARD: dump_json(whole.model_dump(mode="json")).encode(), WEIGHTS: read_regular(run.weights), ONNX: graph,
        MODEL_CARD: text.encode(), **({GATE: read_regular(run.gate)} if card.gate_sha256 else {}),
    }  # fmt: skip
    files = with_manifest(files)
    # other writers to the run sweep away half-written folders and would take this one for a killed writer's
    with run.lock() if out.is_relative_to(run.root) else contextlib.nullcontext():
        write_bundle(out, files)
    remember(hashlib.sha256(graph).hexdigest())
    return ExportDocument(
        run=str(root), out=str(out), files={name: len(content) for name, content in files.items()},
        bytes=sum(map(len, files.values())), opset=OPSET, pictures=len(sample.pixels), differences=apart,
        not_reported=len(open_fields(people, model_card=True)), parent_sha256=before.sha256, notes=card.notes,
    )  # fmt: skip


class _Before(NamedTuple):
    """The newest bundle in the run that people said something else in: SHA-256 of its MANIFEST.json, None without one; and
    where the next bundle goes."""

    sha256: str | None
    next: Path


def _version_before(run: RunDir, people: dict[str, str], on_event: EventCallback) -> _Before:
    """Equal texts give equal bundles: one that says the same is no new version, and its parent is that of the next."""
    newest, number = run.bundle, 1
    while (following := run.root / f"{run.bundle.name}-{number + 1}").exists():
        newest, number = following, number + 1
    if not newest.exists():
        return _Before(None, run.bundle)
    try:
        with opened(newest) as source:
            manifest, kept = source.read(MANIFEST), verify_bundle(source, frozenset({CARD}))[0]
        said = json_model(BundleCard, kept[CARD], CARD)
    except (BundleError, ValueError):  # edited or damaged, so that nothing can be said of it
        text = (
            f"The bundle {newest} is damaged, edited or of another version, so it is not named as the version before."
        )
        on_event("note", {"text": text})
        return _Before(None, following)
    if said.people == people:
        return _Before(said.parent_sha256, newest)
    return _Before(hashlib.sha256(manifest).hexdigest(), following)


def _named_as_drawn(card: Card, rows: pd.DataFrame) -> Card:
    """The card with the note on drawn images, which runs of older versions lack."""
    said = any(note.startswith(DRAWN) for note in card.notes)
    return card if said else card.model_copy(update={"notes": [*drawn_note(rows), *card.notes]})


def _with_heat_verdict(run: RunDir, card: Card) -> Card:
    """The card with a note where the heat maps failed a check; a bundle's maps are made by this method."""
    found = read_heat_checks(run)
    if found is None or found.method != "hires-cam":
        return card
    notes = [
        says if says.startswith(HEAT_MAPS) else f"{HEAT_MAPS} FAILED A CHECK: {says}"
        for says in found.said("failed").values()
    ]
    return card.model_copy(update={"notes": [*card.notes, *notes]})


@dataclass(frozen=True)
class _Sample:
    """Images uint8 (n, c, h, w) to compare on, and what they are."""

    pixels: np.ndarray
    what: str


def _sample(run: RunDir, card: Card, rows: pd.DataFrame) -> _Sample:
    """32 valid images; where DATA is gone, those that the run kept."""
    valid = rows[rows["split"] == "valid"].sort_values("sha256")[:_CHECK_IMAGES]
    with contextlib.suppress(DataError, OSError), sandbox.used_of_run(read_run_config(run).data.sandbox):
        pixels = np.asarray(decode_rows(valid.reset_index(drop=True), DecodeSpec(**card.decode))[:])
        return _Sample(_as_input(pixels), "valid images")
    try:
        kept = np.load(io.BytesIO(read_verified(run, run.top_images("valid"))), allow_pickle=False)
        return _Sample(_as_input(kept), "valid images that the run kept")
    except (OSError, ValueError):
        raise DataError(
            f"Neither DATA nor predictions/valid_top.npy of {run.root} can be read, so ONNX cannot be compared with torch. "
            "Restore one of them, or give the new place of moved DATA with --data."
        ) from None


def _as_input(pixels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(channels_first(pixels))


def _bundle_card(run: RunDir, card: Card, rows: pd.DataFrame, onnx: OnnxFacts, parameters: int) -> BundleCard:
    spec = get_spec(card.model.name)
    foreign = card.initial_weights is not None
    return BundleCard(
        **card.model_dump(), onnx=onnx,
        architecture=Architecture(
            name=spec.name, family=spec.family, library=spec.library, source=spec.source, parameters=parameters,
            licence=spec.licence, weights_licence=(spec.weights_licence or "see their source") if foreign else "",
        ),
        data=_read(run, "data.json", DataCounts), data_sha256=_fingerprint(rows, "sha256", "label"),
        split_sha256=_fingerprint(rows, "sha256", "label", "split"), metrics=_metrics(run, card),
        test_opened_by_all_runs=count_accesses(run, card.seal)[1], temperature_chosen_on=read_run_config(run).evaluate.threshold_on,
        versions=read_environment(run).versions, trained=str(run.read_status().get("updated", "")),
    )  # fmt: skip


def _fingerprint(rows: pd.DataFrame, *columns: str) -> str:
    """SHA-256 of the sorted rows; independent of order and paths."""
    lines = sorted("\t".join(map(str, row)) + "\n" for row in rows[list(columns)].itertuples(index=False))
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


def _read(run: RunDir, name: str, kind: Any) -> Any:
    try:
        return json_model(kind, read_verified(run, run.root / name), name)
    except (OSError, ValidationError, ValueError):
        raise DataError(
            f"{name} of {run.root} is missing or damaged. Restore it from a backup, or train again."
        ) from None


def _metrics(run: RunDir, card: Card) -> dict[str, SplitScores]:
    """What metrics.json says of valid, test and external sets."""
    again = f"Make it again: {command_line('evaluate', run.root)}"
    documents = validated_splits(
        run, EvaluateDocument, lambda name: name in ("valid", "test") or name.startswith(PREFIX)
    )
    refuse_other_numbers(run, documents.values())
    if any(one.confusion.labels != card.vocab for one in documents.values()):
        raise DataError(f"metrics.json of {run.root} names other classes than card.json. {again}")
    own, of_set = count_accesses(run, card.seal)
    if "test" in documents and no_test_access(run, card):
        raise DataError(
            f"metrics.json of {run.root} has test scores, but no test-set access is recorded. Restore test_ledger.jsonl and "
            f"status.json from a backup, or score it again, which records one: {command_line('evaluate', run.root, '--split', 'test')}"
        )
    return {
        name: SplitScores(
            opened=own if name == "test" else one.opened,
            # a copied run has left the other runs' accesses behind
            opened_by_all_runs=max(of_set if name == "test" else 0, one.opened_set),
            threshold=one.threshold, metrics=one.metrics, metrics_at_half=one.metrics_at_half, top_3_accuracy=one.top_3_accuracy,
            shortcut_baseline=one.shortcut_baseline, band_kept=one.band.kept if one.band else None,
            band_error=one.band.error_among_kept if one.band else None, gate_marked=one.gate.marked if one.gate else None,
            calibration=one.reliability.in_the_large if one.reliability else None, macro=one.macro,
        )
        for name, one in documents.items()
    }  # fmt: skip


def write_bundle(out: Path, files: dict[str, bytes]) -> None:
    """Write a bundle's folder in one step: built under another name beside `out`, then renamed. A zip is one file anyway."""
    if out.suffix.casefold() == ".zip":
        atomic_write(out, pack(files))
        return
    with folders_above(out):
        _write_folder(out, files)


def _write_folder(out: Path, files: dict[str, bytes]) -> None:
    temp = out.parent / f"{TEMP_PREFIX}{secrets.token_hex(4)}"
    temp.mkdir()
    try:
        for name, content in files.items():
            atomic_write(temp / name, content)
        os.rename(temp, out)
    except BaseException as error:
        shutil.rmtree(temp, ignore_errors=True)
        if isinstance(error, OSError) and out.exists():
            raise OccupiedError(
                f"{out} was created in the meantime; it was left alone. Choose another --out."
            ) from None
        raise


def network_of(card: BundleCard, weights: bytes) -> Normalised:
    """The torch network of a bundle, from its card and the bytes of model.safetensors.

    Raises:
        DataError: they do not fit each other.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    from plainfilm.models.from_card import bare_network

    model = bare_network(card)
    try:
        model.network.load_state_dict(load(weights))
    except (RuntimeError, SafetensorError) as error:
        raise DataError(
            f"model.safetensors does not fit the network that card.json describes ({str(error).splitlines()[0]})."
        ) from None
    return model.eval()
