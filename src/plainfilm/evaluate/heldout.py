"""Score the sets beside train and valid: the sealed test set, an external set, the corrupted valid images."""

from __future__ import annotations

import contextlib
from typing import Any

import pandas as pd

from plainfilm.base.events import EventCallback
from plainfilm.data.cache.rows import PixelRows, decode_with_events
from plainfilm.data.image.decode import DecodeSpec
from plainfilm.data.synthetic.drawn_files import all_drawn
from plainfilm.errors import DataError
from plainfilm.evaluate.finished import SHIFTED, FinishedRun
from plainfilm.evaluate.ood.ood_gate import OODGate, read_gate
from plainfilm.evaluate.predictions import (
    Predictions,
    as_csv,
    make_predictions,
    predict,
    save_predictions,
)
from plainfilm.evaluate.shift.corrupted_valid import predict_shifted, save_shifted
from plainfilm.evaluate.shift.external_set import ExternalSet
from plainfilm.evaluate.shortcuts.probe_baseline import read_train_probes
from plainfilm.evaluate.test_ledger import accesses_before, accesses_to, check_before_access, images_of, record_access
from plainfilm.models.from_card import kept_network
from plainfilm.runs.run_manifest import write_file
from plainfilm.runs.verified_files import files_at_access

_Counted = tuple[int, int]  # accesses of a set, by this run and by all runs


def score_test(
    finished: FinishedRun, device: str, on_event: EventCallback, *, again: bool = False
) -> tuple[Predictions, _Counted]:
    """The test predictions, new or as saved, with the access recorded before anything is shown or stored.

    `again`: the images are scored also where scores are saved.
    """
    run, part = finished.run, finished.part("test")
    seal, accesses = check_before_access(run, part)
    probes, gate = read_train_probes(finished), read_gate(run, finished.card)  # a damaged file must not cost an access
    scores = run.probe_scores("test")
    saved = run.predictions("test").is_file() and accesses_to(accesses, seal) and (probes is None or scores.is_file())
    if saved and not again:
        predictions = finished.predictions("test")
        facts = _facts(finished, "test")
        return predictions, record_access(
            run, seal, accesses, facts, on_event, drawn=all_drawn(part), images=images_of(part)
        )
    # the cache may hold the pixels of a file that is no longer there or another one
    pixels = _decoded(finished, part, on_event, files_too=True)
    predictions = _predicted(finished, part, pixels, device, gate, has_patients=finished.card.has_patients)
    probed = probes.score(part, pixels, finished.card.vocab) if probes else None
    facts = _facts(finished, "test", predictions)
    counted = record_access(run, seal, accesses, facts, on_event, drawn=all_drawn(part), images=images_of(part))
    if probed is not None:
        write_file(run, scores, probed)
    save_predictions(run, "test", predictions, pixels)
    return predictions, counted


def score_external(
    finished: FinishedRun, external: ExternalSet, device: str, on_event: EventCallback
) -> tuple[Predictions, PixelRows, _Counted]:
    """Predictions of external images, new or as saved, their pixels, and the accesses of this set, recorded first."""
    run, rows, known = finished.run, external.rows, external.table.has_patients
    gate = read_gate(run, finished.card)
    accesses = accesses_before(run, external.seal)
    pixels = _decoded(finished, rows, on_event)
    predictions = None
    if run.predictions(external.name).is_file() and accesses_to(accesses, external.seal):
        with contextlib.suppress(DataError):  # the images have moved since
            predictions = finished.read_predictions(external.name, rows, has_patients=known)
    saved = predictions is not None
    if predictions is None:
        predictions = _predicted(finished, rows, pixels, device, gate, has_patients=known)
    facts = {**_facts(finished, external.name, None if saved else predictions), "external": True}
    counted = record_access(
        run, external.seal, accesses, facts, on_event, drawn=all_drawn(rows), images=images_of(rows)
    )
    if not saved:
        save_predictions(run, external.name, predictions, pixels)
    return predictions, pixels, counted


def score_shifted_valid(
    finished: FinishedRun, device: str, on_event: EventCallback, *, again: bool = False
) -> Predictions:
    """The predictions of the corrupted valid images, as saved or, with `again`, new."""
    run, card = finished.run, finished.card
    if run.predictions(SHIFTED).is_file() and not again:
        return finished.predictions(SHIFTED)
    gate = read_gate(run, card)
    pixels = _decoded(finished, finished.part("valid"), on_event, files_too=True)
    model, device = kept_network(run, card, device)
    predictions = predict_shifted(
        finished.rows, model, pixels, device, vocab=card.vocab, has_patients=card.has_patients, gate=gate
    ).at(card.scaling)  # fmt: skip
    save_shifted(run, predictions)
    return predictions


def _decoded(
    finished: FinishedRun, rows: pd.DataFrame, on_event: EventCallback, *, files_too: bool = False
) -> PixelRows:
    """The pixels as the network sees them, added to the cache where the run keeps one."""
    spec = DecodeSpec(**finished.card.decode)
    with finished.decoding():
        return decode_with_events(rows, spec, on_event, keep=finished.cfg.data.cache, files_too=files_too)


def _predicted(
    finished: FinishedRun, rows: pd.DataFrame, pixels: PixelRows, device: str, gate: OODGate | None, *, has_patients: bool
) -> Predictions:  # fmt: skip
    """New predictions by the kept network, with the run's scaling."""
    card = finished.card
    model, device = kept_network(finished.run, card, device)
    logits, features = predict(model, pixels, device)
    ood = gate.score(pixels, features)[0] if gate else None
    return make_predictions(rows, logits, card.vocab, has_patients=has_patients, scaling=card.scaling, ood=ood)


def _facts(finished: FinishedRun, name: str, new: Predictions | None = None) -> dict[str, Any]:
    """What an access records; `new`: scores that will be saved under `name`, None: they are saved already."""
    files = files_at_access(finished.run, name, None if new is None else as_csv(new))
    return {"model_sha256": finished.card.weights_sha256, "inference": new is not None, **files}
