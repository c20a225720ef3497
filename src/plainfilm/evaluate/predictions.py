"""One inference pass per split, saved as a table that every metric, figure and page reads."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from plainfilm.data.cache.rows import PixelRows
from plainfilm.data.image.layout import channels_first
from plainfilm.data.split.valid_roles import untouched
from plainfilm.errors import DataError
from plainfilm.evaluate.metrics.sample import Sample, make_sample
from plainfilm.runs.folder import RunDir
from plainfilm.runs.run_manifest import read_verified, write_file
from plainfilm.runs.scaling import Scaling

if TYPE_CHECKING:
    from plainfilm.models.build import Normalised

AS_TRAINED = Scaling()
_BATCH = 64  # fixed: the same batches give the same sums whatever the training batch was
_TOP_IMAGES = 24
CHANGE = "change"  # column of splits with corrupted images: the corruption
OOD = "unlike"  # column of runs with an out-of-distribution (OOD) gate: OOD score, see is_marked()


@dataclass(frozen=True)
class Predictions:
    """Scores of one split.

    `frame`: path, patient, label (the truth), logit_<class>..., prob_<class>..., and `unlike` where the run has an
    OOD gate; `groups`: int (n,), rows that are resampled together; `patients`: str (n,) or None without a patient
    key; `untouched`: bool (n,), valid rows not used to fit temperature, threshold, band or gate.
    """

    frame: pd.DataFrame
    vocab: list[str]
    groups: np.ndarray
    patients: np.ndarray | None
    untouched: np.ndarray | None = None

    def at(self, scaling: Scaling) -> Predictions:
        """The same logits, scored with another scaling."""
        probs = _nine_digits(scaling.probs(self.logits))
        columns = {f"prob_{name}": probs[:, k] for k, name in enumerate(self.vocab)}
        if columns.keys().isdisjoint(self.frame.columns):  # 1,000 columns are joined at once: one by one pandas warns
            return replace(self, frame=pd.concat([self.frame, pd.DataFrame(columns, index=self.frame.index)], axis=1))
        return replace(self, frame=self.frame.assign(**columns))

    def sample(self, positive: int | None, threshold: float | None) -> Sample:
        """The scores checked and in canonical order, with predicted classes: what every metric is computed from.

        Args:
            positive: index of the positive class of two; None for more. threshold: see `predicted_classes`.
        """
        return make_sample(self.probs, self.targs, self.groups, self.patients, positive=positive, threshold=threshold)

    @property
    def logits(self) -> np.ndarray:
        """float64 (n, k), with nine digits."""
        logits: np.ndarray = self.frame[[f"logit_{name}" for name in self.vocab]].to_numpy(dtype=np.float64)
        return logits

    @cached_property
    def probs(self) -> np.ndarray:
        """float64 (n, k), rows sum to 1."""
        probs = self.frame[[f"prob_{name}" for name in self.vocab]].to_numpy(dtype=np.float64)
        normed: np.ndarray = probs / probs.sum(axis=1, keepdims=True)  # 9 digits in the file
        return normed

    @cached_property
    def targs(self) -> np.ndarray:
        """int64 (n,), class numbers of the truth."""
        return np.array([self.vocab.index(label) for label in self.frame["label"]], dtype=np.int64)

    @property
    def losses(self) -> np.ndarray:
        """float64 (n,), cross-entropy of each image in nats."""
        of_truth: np.ndarray = self.probs[np.arange(len(self.frame)), self.targs]
        losses: np.ndarray = -np.log(np.clip(of_truth, 1e-12, None))
        return losses

    def worst(self, n: int = _TOP_IMAGES) -> np.ndarray:
        """Positions of the `n` largest losses, worst first; equal losses in table order."""
        return np.argsort(-self.losses, kind="stable")[:n]


def predict(model: Normalised, pixels: np.ndarray | PixelRows, device: str = "cpu") -> tuple[np.ndarray, np.ndarray]:
    """Logits float64 (n, k) and features float32 (n, d) of uint8 pixels (n, h, w) or (n, h, w, 3).

    Features are the input of the last layer. One pass; the model normalises its own input.
    """
    import torch

    from plainfilm.train.machine.speed import full_fp32_products

    model.to(device).eval()
    logits, features = [], []
    with torch.inference_mode(), full_fp32_products(device):
        for start in range(0, len(pixels), _BATCH):
            batch = torch.from_numpy(channels_first(pixels[start : start + _BATCH])).to(device)
            found = model.features(batch.float().div_(255))
            features.append(found.float().cpu().numpy())
            logits.append(model(found).cpu().double().numpy())
    return np.concatenate(logits), np.concatenate(features)


def make_predictions(
    rows: pd.DataFrame, logits: np.ndarray, vocab: list[str], *, has_patients: bool, scaling: Scaling = AS_TRAINED,
    ood: np.ndarray | None = None,
) -> Predictions:  # fmt: skip
    """The table of one split from its rows and logits (n, k); `ood`: float (n,), scores of the OOD gate.

    Raises:
        DataError: a logit is not a number.
    """
    if not np.isfinite(logits).all():
        raise DataError("The network's outputs are not numbers; its weights are damaged. Train the run again.")
    columns = ["path", "patient", "label", *([CHANGE] if CHANGE in rows else [])]
    frame = rows[columns].reset_index(drop=True)
    scores = pd.DataFrame(_nine_digits(logits), columns=[f"logit_{name}" for name in vocab])
    frame = pd.concat([frame, scores], axis=1)
    # from the logits as saved, so that reading the file gives the same probabilities
    found = Predictions(frame, vocab, rows["group"].to_numpy(), _patients(rows, has_patients), _untouched(rows))
    found = found.at(scaling)
    return found if ood is None else replace(found, frame=found.frame.assign(**{OOD: _nine_digits(ood)}))


def _untouched(rows: pd.DataFrame) -> np.ndarray | None:
    return untouched(rows) if "role" in rows else None


def _nine_digits(values: np.ndarray) -> np.ndarray:
    """The values, float64 of any shape, as they read with nine significant digits.

    A whole number below 2^53 times or over a power of ten up to 10^22 is the nearest float to that decimal; only what
    is near a half, or far from 1, needs to be written out.
    """
    sized = np.abs(values)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        places = 8 - np.floor(np.log10(sized))
        power = 10.0 ** np.abs(places)
        scaled = np.where(places >= 0, sized * power, sized / power)
        whole = np.rint(scaled)
        found = np.copysign(np.where(places >= 0, whole / power, whole * power), values)
        simple = (np.abs(places) <= 22) & (np.abs(scaled - whole) < 0.4999) & (scaled >= 1e8) & (whole < 1e9)
    hard = ~simple
    found[hard] = [float(f"{value:.9g}") for value in values[hard]]
    return np.asarray(found)


def _patients(rows: pd.DataFrame, has_patients: bool) -> np.ndarray | None:
    """Patient keys; in a set with keys, an image without one is its own patient."""
    if not has_patients:
        return None
    return np.where(rows["patient"] != "", "p:" + rows["patient"].astype(str), "i:" + rows["path"].astype(str))


def as_csv(predictions: Predictions) -> str:
    """The table as it is saved, with 9 significant digits."""
    text: str = predictions.frame.to_csv(index=False, lineterminator="\n", float_format="%.9g", na_rep="nan")
    return text


def write_predictions(run: RunDir, name: str, predictions: Predictions) -> None:
    """Save the table."""
    write_file(run, run.predictions(name), as_csv(predictions))


def read_predictions(
    run: RunDir, name: str, rows: pd.DataFrame, vocab: list[str], *, has_patients: bool
) -> Predictions:
    """A saved table, joined with its rows of table.csv.

    Raises:
        DataError: the file is missing or edited, or does not belong to these rows.
    """
    path = run.predictions(name)
    if not path.is_file():
        raise DataError(f"{path} is not there. Run plainfilm evaluate on this run first.")
    try:
        texts = dict.fromkeys(("path", "patient", "label", CHANGE), str)
        frame = pd.read_csv(io.BytesIO(read_verified(run, path)), dtype=texts, keep_default_na=False)
        scores = [f"{kind}_{name}" for kind in ("logit", "prob") for name in vocab]
        frame = frame.astype(dict.fromkeys([*scores, *([OOD] if OOD in frame else [])], np.float64))
        fits = all(list(frame[name]) == list(rows[name]) for name in ("path", "label"))
    except (ValueError, KeyError, TypeError, OverflowError):
        raise DataError(f"{path} is damaged. Restore it from a backup, or train again.") from None
    if not fits:
        raise DataError(f"{path} does not belong to the table.csv beside it. Evaluate the run again.")
    return Predictions(frame, vocab, rows["group"].to_numpy(), _patients(rows, has_patients), _untouched(rows))


def save_predictions(run: RunDir, split: str, predictions: Predictions, pixels: np.ndarray | PixelRows) -> None:
    write_predictions(run, split, predictions)
    # kept so that interpret can show the largest losses without reading a test file again
    buffer = io.BytesIO()
    np.save(buffer, pixels[predictions.worst()], allow_pickle=False)
    write_file(run, run.top_images(split), buffer.getvalue())
