"""A run's operating point: scaling (temperature and bias), threshold and abstain band, all from the `calibrate` rows of valid."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from plainfilm.base.files import atomic_write
from plainfilm.config import EvaluateConfig, ExperimentConfig
from plainfilm.data.cache.rows import PixelRows
from plainfilm.data.split.valid_roles import calibrates, untouched
from plainfilm.evaluate.finished import SHIFTED, shifted_rows
from plainfilm.evaluate.metrics.calibration import fit_scaling
from plainfilm.evaluate.ood.image_features import image_features
from plainfilm.evaluate.ood.kinds_caught import kinds_caught
from plainfilm.evaluate.ood.ood_gate import FEATURES, NO_GATE, OODGate, fit_gate, gate_bytes
from plainfilm.evaluate.ood.tolerated import tolerated_sharpness
from plainfilm.evaluate.operating.conformal import fit_band, patients_needed
from plainfilm.evaluate.operating.threshold_range import Threshold
from plainfilm.evaluate.predictions import Predictions, make_predictions, predict
from plainfilm.evaluate.shift.corrupted_valid import predict_shifted, save_shifted
from plainfilm.runs.card import AbstainBand, Card, GateKinds
from plainfilm.runs.folder import RunDir
from plainfilm.runs.scaling import Scaling

if TYPE_CHECKING:
    from plainfilm.models.build import Normalised


@dataclass(frozen=True)
class _OperatingPoint:
    """From logits to scores and predicted classes; `threshold` is None for more than two classes."""

    scaling: Scaling
    threshold: Threshold | None
    band: AbstainBand | None
    notes: tuple[str, ...]


def _operating_point(
    valid: Predictions,
    rows: pd.DataFrame,
    cfg: EvaluateConfig,
    positive: int | None,
    *,
    seed: int,
    chosen_on: tuple[Predictions, pd.DataFrame] | None = None,
) -> _OperatingPoint:
    """Scaling first, then threshold and band on the scaled scores; only calibrate rows are used.

    Args:
        valid: unscaled valid scores; `rows` are theirs, with the column `role`.
        chosen_on: other scores of the same patients (the corrupted valid images) and their rows, from which scaling
            and threshold come. The band always comes from the unchanged images.
    Raises:
        DataError: calibrate lacks a class.
    """
    scored, of = chosen_on or (valid, rows)
    used = calibrates(of)
    fitted = fit_scaling(scored.logits[used], scored.targs[used], scored.groups[used])
    threshold = None
    if positive is not None:
        threshold = threshold_of(cfg.threshold, scored.at(fitted.scaling), of, positive, seed)
    here, scaled = calibrates(rows), valid.at(fitted.scaling)
    band = fit_band(
        scaled.probs[here], valid.targs[here], valid.groups[here], valid.vocab, level=cfg.band_level, seed=seed
    )
    notes = [fitted.note, threshold.note if threshold else "", "" if band else _no_band(cfg.band_level)]
    return _OperatingPoint(fitted.scaling, threshold, band, tuple(filter(None, notes)))


def _no_band(level: float) -> str:
    return f"NO ABSTAIN BAND: a class has fewer than {patients_needed(level)} patients among the valid images."


def threshold_of(rule: str, scored: Predictions, rows: pd.DataFrame, positive: int, seed: int) -> Threshold:
    """The threshold that a rule chooses on the calibrate rows; `seed` draws the patients of its range."""
    used = calibrates(rows)
    return Threshold.chosen(
        rule, scored.probs[used, positive], scored.targs[used] == positive, scored.groups[used],
        has_patients=scored.patients is not None, seed=seed,
    )  # fmt: skip


def settle(
    run: RunDir, card: Card, cfg: ExperimentConfig, rows: pd.DataFrame, model: Normalised, pixels: PixelRows, device: str
) -> tuple[Card, Predictions]:  # fmt: skip
    """The kept network's operating point and OOD gate: the card with both, and the valid predictions made with them.

    Args:
        rows: the run's train and valid rows; row i belongs to pixels[i].
    Raises:
        DataError: calibrate lacks a class.
    """
    is_valid = (rows["split"] == "valid").to_numpy()
    valid_rows, valid_pixels = rows[is_valid], pixels.part(is_valid)
    logits, features = predict(model, valid_pixels, device)
    gate = None
    if cfg.evaluate.gate:
        gate = _gate(model, pixels.part(~is_valid), valid_pixels, features, calibrates(valid_rows), device)
    about: dict[str, Any] = {"vocab": card.vocab, "has_patients": card.has_patients}
    ood = gate.score(valid_pixels, features)[0] if gate else None
    valid, chosen_on = make_predictions(valid_rows, logits, ood=ood, **about), None
    if cfg.evaluate.threshold_on == SHIFTED and card.positive is not None:
        chosen_on = predict_shifted(rows, model, valid_pixels, device, gate=gate, **about), shifted_rows(rows)
    point = _operating_point(
        valid, valid_rows, cfg.evaluate, card.positive_index, seed=cfg.train.seed, chosen_on=chosen_on
    )
    if chosen_on is not None:
        save_shifted(run, chosen_on[0].at(point.scaling))
    data = gate_bytes(gate) if gate else b""
    if data:
        atomic_write(run.gate, data)
    notes = [*card.notes, *point.notes, *([NO_GATE] if cfg.evaluate.gate and not gate else [])]
    settled = card.model_copy(update={
        **scaling_fields(point.scaling, card.vocab), **threshold_fields(point.threshold), "band": point.band,
        "notes": notes, "gate_sha256": hashlib.sha256(data).hexdigest() if data else None,
        "gate_kinds": _kinds(gate, model, valid_rows, valid_pixels, device) if gate else None,
    })  # fmt: skip
    return settled, valid.at(point.scaling)


def scaling_fields(scaling: Scaling, vocab: list[str]) -> dict[str, Any]:
    """The scaling as fields of a card."""
    return {
        "temperature": scaling.temperature,
        "bias": dict(zip(vocab, scaling.bias, strict=True)) if scaling.bias else {},
    }


def threshold_fields(threshold: Threshold | None) -> dict[str, Any]:
    """The threshold as fields of a card."""
    return {"threshold": threshold and threshold.value, "threshold_range": threshold and threshold.range}


def _gate(
    model: Normalised, train: PixelRows, valid: PixelRows, features: np.ndarray, calibrate: np.ndarray, device: str
) -> OODGate | None:
    """The gate fitted on the train images, its limit set on the valid images in `calibrate`, bool (n,)."""
    of_train = {**image_features(train), FEATURES: predict(model, train, device)[1]}
    of_valid = {**image_features(valid), FEATURES: features}
    tolerated = tolerated_sharpness(train), tolerated_sharpness(valid.part(calibrate))
    return fit_gate(of_train, {name: view[calibrate] for name, view in of_valid.items()}, tolerated)


def _kinds(gate: OODGate, model: Normalised, rows: pd.DataFrame, pixels: PixelRows, device: str) -> GateKinds:
    """What the gate catches, on the valid rows that did not set it; on all of them where valid is not divided."""
    unused = untouched(rows)
    some = pixels.part(unused) if unused.any() else pixels
    return kinds_caught(gate, some, lambda x: predict(model, x, device)[1], fresh=bool(unused.any()))
