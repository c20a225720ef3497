"""The shortcut baseline: how well a run's classes can be separated without fine detail of the images.

The probes are fitted on the run's train rows and scored on its valid and test rows, so that their row is beside the
network's in every comparison. The best probe is chosen on valid.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from plainfilm.base.files import dump_json
from plainfilm.base.json_text import parsed_json
from plainfilm.data.audit.probes import file_features, fit_and_score, image_statistics
from plainfilm.data.split.splits import label_index
from plainfilm.errors import DataError
from plainfilm.evaluate.finished import FinishedRun
from plainfilm.evaluate.shortcuts.baseline_difference import baseline_difference
from plainfilm.evaluate.shortcuts.discordant_pairs import discordant_concordance
from plainfilm.evaluate.shortcuts.shortcut_warning import LIMIT, not_estimable, raises_banner, shortcut_metric
from plainfilm.runs.card import Card
from plainfilm.runs.folder import RunDir
from plainfilm.runs.run_manifest import is_kept, read_verified, write_file
from plainfilm.schemas.documents import Metric, ShortcutBaseline
from plainfilm.schemas.number_text import estimate_text

_MIN_PATIENTS = 2  # of each class in train: a probe cannot learn from one
_Features = dict[str, np.ndarray]  # probe -> float (n, columns of the probe)


def probe_features(rows: pd.DataFrame, pixels: Any) -> _Features:
    """The input of each probe for these rows; `pixels` uint8 (n, s, s[, 3]), as the network sees them."""
    return {"file facts": file_features(rows), **image_statistics(pixels)}


def probe_valid(
    run: RunDir, rows: pd.DataFrame, features: _Features, vocab: list[str], positive: str | None, *, has_patients: bool
) -> ShortcutBaseline:
    """Fit on train, score on valid, and save in the run what scoring the test rows needs.

    Args:
        rows: the run's train and valid rows with `group` and `split`; row i belongs to row i of each feature array.
    """
    train = (rows["split"] == "train").to_numpy()
    known = {name: values[train].astype(np.float32) for name, values in features.items()}
    ends = np.cumsum([0, *(values.shape[1] for values in known.values())]).tolist()
    columns = {name: [ends[i], ends[i + 1]] for i, name in enumerate(known)}
    stored = np.hstack(list(known.values()))
    buffer = io.BytesIO()
    np.save(buffer, stored, allow_pickle=False)
    write_file(run, run.probe_features, buffer.getvalue())
    valid = rows[~train]
    scores = _scored(known, rows[train], {name: values[~train] for name, values in features.items()}, vocab)
    k = None if positive is None else vocab.index(positive)
    found = {name: _metric(probs, valid, vocab, k, has_patients=has_patients) for name, probs in scores.items()}
    write_file(run, run.probe_scores("valid"), _as_csv(scores, valid, vocab))
    best = _best_probe(found)
    check = hashlib.sha256(buffer.getvalue()).hexdigest()
    about = {"schema_version": 1, "columns": columns, "features_sha256": check, "best": best}
    write_file(run, run.probes, dump_json(about))
    return ShortcutBaseline(best=best, auroc=found[best] if best else None, probes=found)


@dataclass(frozen=True)
class TrainProbes:
    """The saved probe features of a run's train rows, read and checked."""

    known: _Features
    rows: pd.DataFrame

    def score(self, part: pd.DataFrame, pixels: Any, vocab: list[str]) -> str:
        """The probes' probabilities for other rows, as the text of their CSV."""
        return _as_csv(_scored(self.known, self.rows, probe_features(part, pixels), vocab), part, vocab)


def read_train_probes(finished: FinishedRun) -> TrainProbes | None:
    """None where the run was trained without the audit; read before an access, so that a damaged file costs none.

    Raises:
        DataError: a file of the probes is missing or changed.
    """
    run, train = finished.run, finished.part("train")
    if not is_kept(run, run.probes):
        return None
    columns, _, check = _read(run)
    try:
        data = read_verified(run, run.probe_features)
        stored = np.load(io.BytesIO(data), allow_pickle=False) if hashlib.sha256(data).hexdigest() == check else None
    except (OSError, ValueError):
        stored = None
    if stored is None or len(stored) != len(train):
        raise _damaged(run.probe_features)
    return TrainProbes({name: stored[:, a:b] for name, (a, b) in columns.items()}, train)


def shortcut_baseline(finished: FinishedRun, split: str, network: np.ndarray) -> ShortcutBaseline | None:
    """The baseline row of a split from its saved scores; None where the run was trained without the audit.

    Args:
        network: float (n, k), the network's probabilities of the same rows.
    Raises:
        DataError: a file of the probes is missing or changed.
    """
    run, card, part = finished.run, finished.card, finished.part(split)
    path = run.probe_scores(split)
    if not is_kept(run, run.probes):
        return None
    columns, best, _ = _read(run)
    found, chosen = {}, None
    try:
        frame = pd.read_csv(io.BytesIO(read_verified(run, path)), dtype=str, keep_default_na=False)
        if frame["sha256"].tolist() != part["sha256"].tolist():
            raise _damaged(path)
        for name in columns:
            if _column(name, card.vocab[0]) in frame:
                probs = frame[[_column(name, label) for label in card.vocab]].to_numpy(dtype=np.float64)
            else:
                probs = None
            found[name] = _metric(probs, part, card.vocab, card.positive_index, has_patients=card.has_patients)
            chosen = probs if name == best else chosen
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        raise _damaged(path) from None
    beside = _beside_the_network(network, chosen, part, card) if chosen is not None and len(part) else {}
    return ShortcutBaseline(best=best, auroc=found[best] if best else None, probes=found, **beside)


def _beside_the_network(network: np.ndarray, probe: np.ndarray, part: pd.DataFrame, card: Card) -> dict[str, Metric]:
    """The difference of the network to the best probe and, of two classes, its share of the discordant pairs."""
    found: dict[str, Metric] = {"difference": baseline_difference(network, probe, part, card)}
    if (k := card.positive_index) is not None:
        positive, known = label_index(part, card.vocab) == k, card.has_patients
        found["beyond"] = discordant_concordance(
            network[:, k], probe[:, k], positive, part["group"], has_patients=known
        )
    return found


def _read(run: RunDir) -> tuple[dict[str, list[int]], str | None, str]:
    try:
        saved = parsed_json(read_verified(run, run.probes), run.probes)
        columns = {name: [int(a), int(b)] for name, (a, b) in saved["columns"].items()}
        if saved["best"] not in (None, *columns):
            raise ValueError("no such probe")
        return columns, saved["best"], saved["features_sha256"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise _damaged(run.probes) from None


def _damaged(path: Path) -> DataError:
    return DataError(f"{path} is missing or damaged. Restore it from a backup, or train again.")


def _column(probe: str, label: str) -> str:
    return f"{probe}: {label}"


def _scored(
    known: _Features, train: pd.DataFrame, features: _Features, vocab: list[str]
) -> dict[str, np.ndarray | None]:
    """Probabilities (n, k) of each probe fitted on `known`; None where a class has too few patients to learn from."""
    labels, groups = label_index(train, vocab), train["group"].to_numpy()
    patients = train.groupby("label")["group"].nunique()
    if any(patients.get(label, 0) < _MIN_PATIENTS for label in vocab):
        return dict.fromkeys(features)
    return {
        name: fit_and_score(known[name], labels, groups, values.astype(np.float32)) for name, values in features.items()
    }


def _as_csv(scores: dict[str, np.ndarray | None], part: pd.DataFrame, vocab: list[str]) -> str:
    table = {"sha256": part["sha256"].tolist()}
    for name, probs in scores.items():
        if probs is not None:
            table.update({_column(name, label): [f"{p:.9g}" for p in probs[:, k]] for k, label in enumerate(vocab)})
    return pd.DataFrame(table).to_csv(index=False, lineterminator="\n")


def _metric(
    probs: np.ndarray | None, part: pd.DataFrame, vocab: list[str], positive: int | None, *, has_patients: bool
) -> Metric:
    if probs is None:
        return not_estimable(f"fewer than {_MIN_PATIENTS} patients of a class in train", len(part))
    patients = part["patient"].to_numpy() if has_patients else None
    return shortcut_metric(
        probs, label_index(part, vocab), part["group"].to_numpy(), patients, positive=positive, crossed=False
    )


def shortcut_note(found: Mapping[str, Metric], where: str) -> list[str]:
    """The banner for probes by name: none, or one sentence that every output repeats."""
    above = {name: metric for name, metric in found.items() if raises_banner(metric)}
    best = _best_probe(above)
    if best is None:
        return []
    top, others = above[best], [name for name in above if name != best]
    also = f" (also above {LIMIT:g}: {', '.join(others)})" if others else ""
    verb = "reach" if best.partition(" (")[0].endswith(("facts", "statistics")) else "reaches"
    return [f"SHORTCUT: the {best} alone, without fine detail, {verb} AUROC {estimate_text(top)} {where}{also}."]


def unknown_note(found: Mapping[str, Metric], where: str) -> list[str]:
    """That and why no probe could be judged: none, or one sentence. A score without a baseline says less."""
    if not found or any(metric.value is not None for metric in found.values()):
        return []
    why = next(iter(found.values())).method.removeprefix("not estimable: ")
    return [
        f"NO SHORTCUT BASELINE: what probes without fine detail reach {where} is not known ({why}). Add images of each class."
    ]


def _best_probe(metrics: Mapping[str, Metric]) -> str | None:
    """Name of the probe with the highest value, the first of equals; None when none could be estimated.

    The highest of several is optimistic by chance: choose on valid, report on images not used for the choice.
    """
    values = {name: metric.value for name, metric in metrics.items() if metric.value is not None}
    return max(values, key=lambda name: values[name]) if values else None
