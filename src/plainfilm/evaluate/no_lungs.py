"""The row "no lungs needed": how far a run's own images can be told apart without looking at a lung.

The probes are fitted on the run's train rows and scored on its valid and test rows, so that their row stands beside
the network's in every comparison. The best probe is chosen on valid.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from plainfilm.card import Card
from plainfilm.data.probes import file_features, fit_and_score, picture_features
from plainfilm.errors import DataError
from plainfilm.evaluate.shortcuts import LIMIT, best_probe, raises_banner, shortcut_metric
from plainfilm.runs import RunDir, atomic_write, dump_json
from plainfilm.schemas import Metric, NoLungs

Features = dict[str, np.ndarray]  # probe -> float (n, columns of the probe)


def probe_features(rows: pd.DataFrame, pixels: Any) -> Features:
    """What each probe may see of these rows; `pixels` uint8 (n, s, s[, 3]), as the network sees them."""
    return {"file facts": file_features(rows), **picture_features(pixels)}


def probe_valid(
    run: RunDir, rows: pd.DataFrame, features: Features, vocab: list[str], positive: str | None, *, has_patients: bool
) -> NoLungs:
    """Fit on train, score on valid, and keep in the run what scoring the test rows will need.

    Args:
        rows: the run's train and valid rows with `group` and `split`; row i belongs to row i of each feature array.
    """
    train = (rows["split"] == "train").to_numpy()
    known = {name: values[train].astype(np.float32) for name, values in features.items()}
    ends = np.cumsum([0, *(values.shape[1] for values in known.values())]).tolist()
    columns = {name: [ends[i], ends[i + 1]] for i, name in enumerate(known)}
    buffer = io.BytesIO()
    np.save(buffer, np.hstack(list(known.values())), allow_pickle=False)
    atomic_write(run.probe_features, buffer.getvalue())
    found = _score(run, known, rows[train], "valid", rows[~train], {n: v[~train] for n, v in features.items()},
                   vocab, positive, has_patients=has_patients)  # fmt: skip
    best = best_probe(found)
    atomic_write(run.probes, dump_json({"schema_version": 1, "columns": columns, "best": best}))
    return NoLungs(best=best, auroc=found[best] if best else None, probes=found)


def probe_test(run: RunDir, card: Card, rows: pd.DataFrame, pixels: Any) -> None:
    """Score the probes on the test rows; called within a look, when the pictures are open."""
    if not run.probes.is_file():
        return
    columns, _ = _read(run)
    stored = np.load(run.probe_features, allow_pickle=False)
    train, test = (rows[rows["split"] == name] for name in ("train", "test"))
    if len(stored) != len(train):
        raise DataError(f"{run.probe_features} does not fit the run's table. Restore it, or train again.")
    known = {name: stored[:, a:b] for name, (a, b) in columns.items()}
    _score(run, known, train, "test", test, probe_features(test, pixels), card.vocab, card.positive,
           has_patients=card.has_patients)  # fmt: skip


def no_lungs(run: RunDir, card: Card, split: str, part: pd.DataFrame) -> NoLungs | None:
    """The row of a split from the saved scores; None where the run was trained without the audit."""
    path = run.probe_scores(split)
    if not (run.probes.is_file() and path.is_file()):
        return None
    columns, best = _read(run)
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    found = {}
    for name in columns:
        probs = frame[[_column(name, label) for label in card.vocab]].to_numpy(dtype=np.float64)
        found[name] = _metric(probs, part, card.vocab, card.positive, has_patients=card.has_patients)
    return NoLungs(best=best, auroc=found[best] if best else None, probes=found)


def _read(run: RunDir) -> tuple[dict[str, list[int]], str | None]:
    try:
        saved = json.loads(run.probes.read_text(encoding="utf-8"))
        return saved["columns"], saved["best"]
    except (OSError, ValueError, KeyError):
        raise DataError(f"{run.probes} is damaged. Restore it from a backup, or train again.") from None


def _column(probe: str, label: str) -> str:
    return f"{probe}: {label}"


def _score(
    run: RunDir, known: Features, train: pd.DataFrame, split: str, part: pd.DataFrame, features: Features,
    vocab: list[str], positive: str | None, *, has_patients: bool,
) -> dict[str, Metric]:  # fmt: skip
    """Fit each probe on `known`, save its probabilities for `part`, and measure them."""
    labels, groups = _codes(train, vocab), train["group"].to_numpy()
    table, found = {}, {}
    for name, values in features.items():
        probs = fit_and_score(known[name], labels, groups, values.astype(np.float32))
        table.update({_column(name, label): [f"{p:.9g}" for p in probs[:, k]] for k, label in enumerate(vocab)})
        found[name] = _metric(probs, part, vocab, positive, has_patients=has_patients)
    atomic_write(run.probe_scores(split), pd.DataFrame(table).to_csv(index=False, lineterminator="\n"))
    return found


def _codes(rows: pd.DataFrame, vocab: list[str]) -> np.ndarray:
    return np.asarray(pd.Categorical(rows["label"], categories=vocab).codes, dtype=np.int64)


def _metric(
    probs: np.ndarray, part: pd.DataFrame, vocab: list[str], positive: str | None, *, has_patients: bool
) -> Metric:
    groups = part["group"].to_numpy()
    k = None if positive is None else vocab.index(positive)
    return shortcut_metric(
        probs, _codes(part, vocab), groups, groups if has_patients else None, positive=k, crossed=False
    )


def shortcut_note(found: Mapping[str, Metric], where: str) -> list[str]:
    """The banner in words, for probes by name: none, or one sentence that every output repeats."""
    loud = {name: metric for name, metric in found.items() if raises_banner(metric)}
    best = best_probe(loud)
    if best is None:
        return []
    top, others = loud[best], [name for name in loud if name != best]
    also = f" (also above {LIMIT:g}: {', '.join(others)})" if others else ""
    return [
        f"SHORTCUT: without looking at a lung, AUROC {top.value:.3f} [{top.ci_low:.3f}, {top.ci_high:.3f}] {where} "
        f"from the {best} alone{also}."
    ]
