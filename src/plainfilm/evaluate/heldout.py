"""Score the sets beside train and valid: the sealed test set, an external set, the corrupted valid images."""

from __future__ import annotations

import contextlib

import pandas as pd

from plainfilm.base.events import EventCallback
from plainfilm.base.files import atomic_write
from plainfilm.data.cache.rows import PixelRows, decode_with_events
from plainfilm.data.image.decode import DecodeSpec
from plainfilm.errors import DataError
from plainfilm.evaluate.ood.ood_gate import read_gate
from plainfilm.evaluate.predictions import (
    Predictions,
    make_predictions,
    predict,
    read_predictions,
    save_predictions,
)
from plainfilm.evaluate.shift.corrupted_valid import SHIFTED, predict_shifted, save_shifted, shifted_rows
from plainfilm.evaluate.shift.external_set import ExternalSet
from plainfilm.evaluate.shortcuts.probe_baseline import read_train_probes
from plainfilm.evaluate.test_ledger import accesses_before, accesses_to, check_before_access, record_access
from plainfilm.models.from_card import kept_network
from plainfilm.runs.card import Card
from plainfilm.runs.folder import RunDir


def score_test(
    run: RunDir, card: Card, rows: pd.DataFrame, device: str, on_event: EventCallback, *, keep: bool = True,
    again: bool = False,
) -> tuple[Predictions, tuple[int, int]]:  # fmt: skip
    """The test predictions, new or as saved, with the access recorded before anything is shown or stored.

    `keep`: the decoded test images are added to the cache. `again`: the images are scored also where scores are saved.
    """
    part = rows[rows["split"] == "test"]
    seal, accesses = check_before_access(run, part)
    probes, gate = read_train_probes(run, rows), read_gate(run, card)  # first: a damaged file must not cost an access
    path, scores = run.predictions("test"), run.probe_scores("test")
    if not again and path.is_file() and accesses_to(accesses, seal) and (probes is None or scores.is_file()):
        predictions = read_predictions(path, part, card.vocab, has_patients=card.has_patients)
        return predictions, record_access(
            run, seal, accesses, {"model_sha256": card.weights_sha256, "inference": False}
        )
    # the cache may hold the pixels of a file that is no longer there or another one
    pixels = decode_with_events(part, DecodeSpec(**card.decode), on_event, keep=keep, files_too=True)
    model, device = kept_network(run, card, device)
    logits, features = predict(model, pixels, device)
    predictions = make_predictions(
        part, logits, card.vocab, has_patients=card.has_patients, temperature=card.temperature,
        ood=gate.score(pixels, features)[0] if gate else None,
    )  # fmt: skip
    probed = probes.score(part, pixels, card.vocab) if probes else None
    counted = record_access(run, seal, accesses, {"model_sha256": card.weights_sha256, "inference": True})
    if probed is not None:
        atomic_write(scores, probed)
    save_predictions(run, "test", predictions, pixels)
    return predictions, counted


def score_external(
    run: RunDir, card: Card, external: ExternalSet, device: str, on_event: EventCallback, *, keep: bool = True
) -> tuple[Predictions, PixelRows, tuple[int, int]]:
    """Predictions of external images, new or as saved, their pixels, and the accesses of this set, recorded first."""
    rows, path, gate = external.rows, run.predictions(external.name), read_gate(run, card)
    accesses = accesses_before(run, external.seal)
    pixels = decode_with_events(rows, DecodeSpec(**card.decode), on_event, keep=keep)
    predictions = None
    if path.is_file() and accesses_to(accesses, external.seal):
        with contextlib.suppress(DataError):  # the images have moved since
            predictions = read_predictions(path, rows, card.vocab, has_patients=external.table.has_patients)
    saved = predictions is not None
    if predictions is None:
        model, device = kept_network(run, card, device)
        logits, features = predict(model, pixels, device)
        predictions = make_predictions(
            rows, logits, card.vocab, has_patients=external.table.has_patients, temperature=card.temperature,
            ood=gate.score(pixels, features)[0] if gate else None,
        )  # fmt: skip
    facts = {"model_sha256": card.weights_sha256, "inference": not saved, "external": True}
    counted = record_access(run, external.seal, accesses, facts)
    if not saved:
        save_predictions(run, external.name, predictions, pixels)
    return predictions, pixels, counted


def score_shifted_valid(
    run: RunDir, card: Card, rows: pd.DataFrame, device: str, on_event: EventCallback, *, keep: bool = True,
    again: bool = False,
) -> Predictions:  # fmt: skip
    """The predictions of the corrupted valid images, as saved or, with `again`, new."""
    path = run.predictions(SHIFTED)
    if path.is_file() and not again:
        return read_predictions(path, shifted_rows(rows), card.vocab, has_patients=card.has_patients)
    gate = read_gate(run, card)
    valid = rows[rows["split"] == "valid"]
    pixels = decode_with_events(valid, DecodeSpec(**card.decode), on_event, keep=keep, files_too=True)
    model, device = kept_network(run, card, device)
    predictions = predict_shifted(
        rows, model, pixels, device, vocab=card.vocab, has_patients=card.has_patients, gate=gate
    ).at(card.temperature)  # fmt: skip
    save_shifted(run, predictions)
    return predictions
