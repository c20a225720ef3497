"""The head as a regularised logistic regression on the features of a frozen network, in one pass.

With tens of images one-cycle training of 1,280 weights depends on rate, epochs and order; this has one number to
choose, and patient-grouped folds inside train choose it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from fastai.callback.core import Callback

from plainfilm.base.events import EventCallback, silent
from plainfilm.base.files import atomic_write, dump_json
from plainfilm.data.loaders.block import targets_of
from plainfilm.train.callbacks import raise_if_stop_requested

_FOLDS = 5
GRID = tuple(10.0**power for power in range(-5, 4))  # of C, the inverse of the L2 penalty on standardised features
_WITHOUT_FOLDS = 1e-3  # where no two classes have two patients each, nothing can be held out
_LEAST_SPREAD = 0.1  # of the median column: a feature that hardly varies in train may vary by thousands of it elsewhere
_LEAST = 1e-15  # probability in a log loss, as in scikit-learn's
_SEED = 0


class _L2Choice(NamedTuple):
    """What was chosen: `c`, the inverse of the L2 penalty; `losses`, mean log loss of held-out patients for each of
    GRID, empty where there are no `folds`."""

    c: float
    losses: tuple[float, ...]
    folds: int


class L2Head(Callback):
    """Sets the head's weights before the first step of a phase whose rate is 0, from its train features.

    `learn.patients`: the patient of each row of the cache, object (n,); without it every image is its own. Classes are
    weighted equally where the loss or the order of the images does. The choice is written as l2_head.json into
    `learn.path`.
    """

    def __init__(self, on_event: EventCallback = silent) -> None:
        self.on_event = on_event

    def before_fit(self) -> None:
        """Fit on the train rows and write the head; a resumed phase fits the same again."""
        train, head = self.learn.dls.train, self.learn.model.head
        rows = np.asarray(train.dataset.items)
        patients = getattr(self.learn, "patients", None)
        groups = rows if patients is None else np.asarray(patients, dtype=object)[rows]
        features, labels = train.features[rows].astype(np.float64), targets_of(train.dataset)
        balanced = train.balance or getattr(self.learn.loss_func, "weight", None) is not None
        choice = _choose_l2(features, labels, groups, balanced=balanced, between=self._between)
        weight, bias = _solve_head(features, labels, choice.c, head.out_features, balanced=balanced)
        with torch.no_grad():
            head.weight.copy_(torch.from_numpy(weight))
            head.bias.copy_(torch.from_numpy(bias))
        self._report(choice, len(labels))

    def _between(self) -> None:
        raise_if_stop_requested(self.learn)

    def _report(self, choice: _L2Choice, images: int) -> None:
        losses = [{"c": c, "log_loss": loss} for c, loss in zip(GRID, choice.losses, strict=bool(choice.folds))]
        found = {"schema_version": 1, "c": choice.c, "folds": choice.folds, "images": images, "held_out": losses}
        Path(self.learn.path).mkdir(parents=True, exist_ok=True)
        atomic_write(Path(self.learn.path) / "l2_head.json", dump_json(found))
        self.on_event("l2_head", {"c": choice.c, "folds": choice.folds, "images": images})


def _choose_l2(
    features: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    *,
    balanced: bool = False,
    between: Callable[[], None] = lambda: None,
) -> _L2Choice:
    """The penalty whose log loss on held-out patients is lowest, over folds of whole patients inside these rows.

    Classes of one patient are left out of this: none of them can be held out.

    Args:
        features: float (n, d). labels: int (n,). groups: patient of each row, (n,).
        balanced: weight the classes equally, in the fit and in the loss. between: runs between fits, and may raise a stop.
    """
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.utils.class_weight import compute_sample_weight

    patients = {label: len(np.unique(groups[labels == label])) for label in np.unique(labels).tolist()}
    kept = np.isin(labels, [label for label, n in patients.items() if n > 1])
    features, labels, groups = features[kept], labels[kept], groups[kept]
    if len(np.unique(labels)) < 2:
        return _L2Choice(_WITHOUT_FOLDS, (), 0)
    folds = min(_FOLDS, *(n for n in patients.values() if n > 1))
    weights = compute_sample_weight("balanced" if balanced else None, labels)
    losses, total = np.zeros(len(GRID)), 0.0
    with warnings.catch_warnings(action="ignore"):  # of classes with fewer images than folds
        divided = list(StratifiedGroupKFold(folds, shuffle=True, random_state=_SEED).split(features, labels, groups))
    for known, other in divided:
        if not len(other) or not np.isin(labels[other], labels[known]).all():
            continue
        total += weights[other].sum()
        found = _held_out_losses(features, labels, known, other, balanced=balanced, between=between)
        losses += found @ weights[other]
    if not total:
        return _L2Choice(_WITHOUT_FOLDS, (), 0)
    return _L2Choice(GRID[int(np.argmin(losses))], tuple((losses / total).tolist()), folds)


def _held_out_losses(
    features: np.ndarray, labels: np.ndarray, known: np.ndarray, other: np.ndarray, *, balanced: bool,
    between: Callable[[], None],
) -> np.ndarray:  # fmt: skip
    """Log loss of each held-out row at each C, (len(GRID), m)."""
    centre, spread = _scale(features[known])
    known_x, other_x = (features[known] - centre) / spread, (features[other] - centre) / spread
    found = []
    for c in GRID:
        between()
        fitted = _logistic(known_x, labels[known], c, balanced=balanced)
        at = np.searchsorted(fitted.classes_, labels[other])
        found.append(-np.log(np.maximum(fitted.predict_proba(other_x)[np.arange(len(other)), at], _LEAST)))
    return np.array(found)


def _solve_head(
    features: np.ndarray, labels: np.ndarray, c: float, classes: int, *, balanced: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Weight (k, d) and bias (k,) of the linear layer on unscaled features, float64.

    A class without images gets the lowest bias of the others less 10, so that its score is nearly 0.
    """
    centre, spread = _scale(features)
    weight, bias = np.zeros((classes, features.shape[1])), np.zeros(classes)
    present = np.unique(labels)
    if len(present) > 1:
        fitted = _logistic((features - centre) / spread, labels, c, balanced=balanced)
        coef, intercept = fitted.coef_, fitted.intercept_
        if len(present) == 2:  # one line for the second class: half of it, and its negative for the first
            coef, intercept = np.vstack((-coef, coef)) / 2, np.concatenate((-intercept, intercept)) / 2
        weight[present] = coef / spread
        bias[present] = intercept - weight[present] @ centre
    absent = np.setdiff1d(np.arange(classes), present)
    weight[absent], bias[absent] = weight[present].mean(axis=0), bias[present].min() - 10
    return weight, bias


def _scale(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column, at least _LEAST_SPREAD of the median one; 1 where none varies."""
    spread = features.std(axis=0)
    varies = spread[spread > 0]
    least = _LEAST_SPREAD * float(np.median(varies)) if len(varies) else 1.0
    return features.mean(axis=0), np.maximum(spread, least)


def _logistic(features: np.ndarray, labels: np.ndarray, c: float, *, balanced: bool) -> Any:
    """scikit-learn's logistic regression; probabilities are within about 1e-4 of the optimum."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    weights = "balanced" if balanced else None
    with threadpool_limits(1), warnings.catch_warnings(action="ignore"):  # bit-identical whatever the number of threads
        return LogisticRegression(C=c, max_iter=2000, tol=1e-6, class_weight=weights).fit(features, labels)
