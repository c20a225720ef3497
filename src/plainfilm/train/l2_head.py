"""The head as a regularised logistic regression on the features of a frozen network: exact, in seconds.

With tens of images one-cycle training of 1,280 weights depends on rate, epochs and order; this has one number to
choose, and patient-grouped folds inside train choose it.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import torch
from fastai.callback.core import Callback

from plainfilm.base.events import EventCallback, silent
from plainfilm.data.loaders.block import targets_of
from plainfilm.train.callbacks import raise_if_stop_requested

_FOLDS = 5
# Inverse strengths of L2 on standardised features; a wider grid was never chosen from at its ends.
STRENGTHS = tuple(10.0**power for power in range(-5, 2))
_WITHOUT_FOLDS = 1e-3  # where a class has one patient, nothing can be held out
_SEED = 0


class L2Choice(NamedTuple):
    """What was chosen: `strength`, the inverse of L2; `losses`, log loss of held-out patients for each of STRENGTHS,
    empty where a class has a single patient; `folds`, their number."""

    strength: float
    losses: tuple[float, ...]
    folds: int


class L2Head(Callback):
    """Sets the head's weights before the first step of a phase whose rate is 0, from its train features.

    `learn.patients`: the patient of each row of the cache, object (n,); without it every image is its own. Classes are
    weighted equally where the loss or the order of the images does.
    `learn.l2_choice`: the L2Choice.
    """

    def __init__(self, on_event: EventCallback = silent) -> None:
        self.on_event = on_event

    def before_fit(self) -> None:
        """Fit on the train rows and write the head; a resumed phase fits the same again."""
        train = self.learn.dls.train
        self.balanced = train.balance or getattr(self.learn.loss_func, "weight", None) is not None
        rows = np.asarray(train.dataset.items)
        patients = getattr(self.learn, "patients", None)
        groups = rows if patients is None else np.asarray(patients, dtype=object)[rows]
        features, labels = train.features[rows].astype(np.float64), targets_of(train.dataset)
        with np.errstate(over="ignore"), warnings.catch_warnings(action="ignore"):
            weight, bias, choice = self._solved(features, labels, groups, self.learn.model.head.out_features)
        self.learn.l2_choice = choice
        head = self.learn.model.head
        with torch.no_grad():
            head.weight.copy_(torch.from_numpy(weight))
            head.bias.copy_(torch.from_numpy(bias))
        self.on_event("l2_head", {"strength": choice.strength, "folds": choice.folds, "images": len(labels)})

    def _solved(
        self, features: np.ndarray, labels: np.ndarray, groups: np.ndarray, classes: int
    ) -> tuple[np.ndarray, np.ndarray, L2Choice]:
        choice = choose_l2(
            features, labels, groups, balanced=self.balanced, between=lambda: raise_if_stop_requested(self.learn)
        )
        return (*solve_head(features, labels, choice.strength, classes, balanced=self.balanced), choice)


def choose_l2(
    features: np.ndarray, labels: np.ndarray, groups: np.ndarray, *, balanced: bool = False, between: Any = lambda: None
) -> L2Choice:
    """The L2 whose log loss on held-out patients is lowest, over folds of whole patients inside these rows.

    Args:
        features: float (n, d). labels: int (n,). groups: patient of each row, (n,).
        balanced: weight the classes equally. between: runs between fits, and may raise a stop.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    present = np.unique(labels)
    folds = min(_FOLDS, *(len(np.unique(groups[labels == label])) for label in present))
    if folds < 2 or len(present) < 2:
        return L2Choice(_WITHOUT_FOLDS, (), 0)
    divided = StratifiedGroupKFold(folds, shuffle=True, random_state=_SEED).split(features, labels, groups)
    losses, images = np.zeros(len(STRENGTHS)), 0
    for known, other in divided:
        if not len(other) or len(np.unique(labels[known])) < len(present):
            continue
        images += len(other)
        centre, spread = _scale(features[known])
        known_x, other_x = (features[known] - centre) / spread, (features[other] - centre) / spread
        for i, strength in enumerate(STRENGTHS):
            between()
            line = _line(known_x, labels[known], strength, balanced=balanced)
            log_probs = line.predict_log_proba(other_x)
            losses[i] -= log_probs[np.arange(len(other)), np.searchsorted(line.classes_, labels[other])].sum()
    if not images:
        return L2Choice(_WITHOUT_FOLDS, (), 0)
    return L2Choice(STRENGTHS[int(np.argmin(losses))], tuple((losses / images).tolist()), folds)


def solve_head(
    features: np.ndarray, labels: np.ndarray, strength: float, classes: int, *, balanced: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Weight (k, d) and bias (k,) of the linear layer on unscaled features, float64.

    A class without images gets the lowest bias of the others less 10, so that its score is nearly 0.
    """
    centre, spread = _scale(features)
    weight, bias = np.zeros((classes, features.shape[1])), np.zeros(classes)
    present = np.unique(labels)
    if len(present) > 1:
        line = _line((features - centre) / spread, labels, strength, balanced=balanced)
        coef, intercept = line.coef_, line.intercept_
        if len(present) == 2:  # one line for the second class: half of it, and its negative for the first
            coef, intercept = np.vstack((-coef, coef)) / 2, np.concatenate((-intercept, intercept)) / 2
        weight[present] = coef / spread
        bias[present] = intercept - weight[present] @ centre
    absent = np.setdiff1d(np.arange(classes), present)
    weight[absent], bias[absent] = weight[present].mean(axis=0), bias[present].min() - 10
    return weight, bias


def _scale(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column; 1 where it does not vary."""
    spread = features.std(axis=0)
    return features.mean(axis=0), np.where(spread > 0, spread, 1.0)


def _line(features: np.ndarray, labels: np.ndarray, strength: float, *, balanced: bool) -> Any:
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(1):  # as the probes: bit-identical whatever the number of threads
        return LogisticRegression(C=strength, max_iter=1000, class_weight="balanced" if balanced else None).fit(features, labels)  # fmt: skip
