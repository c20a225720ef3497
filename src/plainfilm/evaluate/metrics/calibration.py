"""Calibration: temperature and bias, the calibration line, and the gaps bin by bin.

`confidence` is float (n,), the positive probability of two classes or the top probability of more; `correct` is bool
(n,), whether the truth is positive, or the top class correct. Everything is a function of arrays (numpy, scipy).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plainfilm.errors import DataError
from plainfilm.evaluate.metrics.point_metrics import ECE_BINS, REASONS, ece_bins
from plainfilm.evaluate.stats import intervals
from plainfilm.evaluate.stats.intervals import Bools, Floats, Interval, Ints, Statistic
from plainfilm.runs.scaling import Scaling

COLDEST, HOTTEST = 0.1, 10.0  # range of temperatures; at a limit the images were too few or too easy
_EDGE = 1e-9  # scores are saved with nine digits; 0 and 1 have no logit
_LINE_PATIENTS = 10  # of the rarer class: fewer say little about the slope among other patients


# --- temperature and bias --------------------------------------------------------------------------------------------

_BIAS_PATIENTS = 20  # of each class; a bias from fewer would follow these patients
_UNCERTAIN = 1.001  # a temperature nearer than this factor to a limit was stopped by it


@dataclass(frozen=True)
class _Fitted:
    """The scaling of the logits, and a note about it ('' = none)."""

    scaling: Scaling
    note: str = ""


def fit_scaling(logits: Floats, targs: Ints, patients: Ints) -> _Fitted:
    """Temperature and one bias for each class, which together minimise the log loss of softmax(logits / T + bias).

    A temperature alone cannot mend scores that are all too high. Two classes: this is Platt's line. The bias is 0 for
    the first class, and left out where a class has fewer than 20 patients, or where no finite one is best (the scores
    separate the classes): then the temperature is fitted alone.

    Args:
        logits: float (n, k). targs: int (n,), 0..k-1. patients: int (n,), clusters.
    Raises:
        DataError: no image.
    Source: Alexandari, Kundaje & Shrikumar, ICML 2020 (bias-corrected temperature scaling).
    """
    k = logits.shape[1]
    enough = all(len(np.unique(patients[targs == c])) >= _BIAS_PATIENTS for c in range(k))
    found = fit_bias(logits, targs) if enough and len(targs) else None
    return _Fitted(found) if found else _fit_temperature(logits, targs)


def fit_bias(logits: Floats, targs: Ints, *, temperature: bool = True) -> Scaling | None:
    """The bias of each class, 0 for the first, that minimises the log loss, with a temperature or at temperature 1.

    By L-BFGS on (1 / T, bias), in which the log loss is convex; None where T ends at a limit.

    Args:
        logits: float (n, k). targs: int (n,), 0..k-1, every class present.
    """
    from scipy.optimize import minimize
    from scipy.special import logsumexp

    n, k = logits.shape
    centred = logits - logits.mean(axis=1, keepdims=True)  # the same scores; better conditioned
    truth = np.eye(k)[targs]

    def loss(at: Floats) -> tuple[float, Floats]:
        scaled = at[0] * centred + np.concatenate([[0.0], at[1:]])
        log_sum = logsumexp(scaled, axis=1)
        apart = np.exp(scaled - log_sum[:, None]) - truth
        value = float((log_sum - scaled[np.arange(n), targs]).mean())
        return value, np.concatenate([[(apart * centred).sum() / n], apart[:, 1:].mean(axis=0)])

    limits = [(1 / HOTTEST, 1 / COLDEST) if temperature else (1.0, 1.0), *[(-50.0, 50.0)] * (k - 1)]
    best = minimize(loss, np.concatenate([[1.0], np.zeros(k - 1)]), jac=True, bounds=limits, method="L-BFGS-B",
                    options={"ftol": 1e-16, "gtol": 1e-10, "maxiter": 1000})  # fmt: skip
    found = float(1 / best.x[0])
    if not COLDEST * _UNCERTAIN < found < HOTTEST / _UNCERTAIN:
        return None
    return Scaling(found, (0.0, *map(float, best.x[1:])))


def _fit_temperature(logits: Floats, targs: Ints) -> _Fitted:
    """The temperature that minimises the log loss of softmax(logits / T), within 0.1..10.

    One number for all classes, so neither the order of the scores nor the top class changes. Where the true class has
    the largest logit on every image, the log loss falls without end as T goes to 0, which says nothing about other
    images: then T stays 1.

    scikit-learn's `CalibratedClassifierCV(method="temperature")` minimises the same loss (a test compares the two);
    it needs a classifier where we have saved logits, and its temperature is a private attribute.

    Args:
        logits: float (n, k). targs: int (n,), 0..k-1.
    Raises:
        DataError: no image.
    Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    if not len(targs):
        raise DataError("The temperature needs valid images; there are none. Split again with --split patient.")
    behind = logits - logits[np.arange(len(targs)), targs][:, None]  # each class minus the true one
    if (behind <= 0).all():
        return _Fitted(Scaling(), "TEMPERATURE 1: no image that it is fitted on was misclassified.")

    def log_loss(log_t: float) -> float:
        return float(logsumexp(behind / np.exp(log_t), axis=1).mean())

    found = minimize_scalar(
        log_loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded", options={"xatol": 1e-10}
    )
    value = float(np.exp(found.x))
    if not COLDEST * _UNCERTAIN < value < HOTTEST / _UNCERTAIN:
        return _Fitted(Scaling(value), f"TEMPERATURE {value:.3g} is at its limit: the scores are hardly calibrated.")
    return _Fitted(Scaling(value))


# --- the calibration line --------------------------------------------------------------------------------------------


def calibration_line(confidence: Floats, correct: Bools) -> tuple[float, float] | None:
    """Intercept and slope of logit P(correct) = intercept + slope * logit(confidence); (0, 1) is calibrated.

    A slope below 1 means that the scores are too extreme. The intercept is that of this line, not of a line with its
    slope fixed at 1 (calibration in the large). None where one class is missing, or where the scores separate the two
    perfectly, so that the slope diverges.

    scikit-learn's LogisticRegression without a penalty ends within 1e-11 of it (a test compares the two), but its last
    digits differ, which metrics.json keeps; the check for separation would remain.
    Source: Cox, Biometrika 1958;45:562; Van Calster et al., BMC Medicine 2019;17:230.
    """
    x, y = logit(confidence), np.asarray(correct, dtype=np.float64)
    if y.all() or not y.any() or _separated(x, correct):
        return None
    theta, design = np.zeros(2), np.column_stack([np.ones_like(x), x])

    def loss(at: Floats) -> float:
        return float(np.logaddexp(0, design @ at).sum() - y @ (design @ at))

    for _ in range(100):
        p = sigmoid(design @ theta)
        slope = design.T @ (y - p)
        step = np.linalg.solve(design.T @ (design * (p * (1 - p))[:, None]) + 1e-12 * np.eye(2), slope)
        while loss(theta + step) > loss(theta) + 1e-12 and np.abs(step).max() > 1e-12:
            step = step / 2
        theta = theta + step
        if np.abs(step).max() < 1e-10:
            break
    return float(theta[0]), float(theta[1])


def line_statistic(confidence: Floats, correct: Bools, line: tuple[float, float]) -> Statistic:
    """The line as a function of weights (b, n) -> (b, 2), by one Newton step from the line of all images.

    A step is a sum over images, so 2,000 draws cost one matrix product; a full fit would also diverge in draws
    without an error.
    """
    x = logit(confidence)
    p = sigmoid(line[0] + line[1] * x)
    residual, spread = np.asarray(correct, dtype=np.float64) - p, p * (1 - p)
    sums = np.column_stack([residual, residual * x, spread, spread * x, spread * x**2])

    def statistic(weights: Floats) -> Floats:
        r, rx, s, sx, sxx = (weights @ sums).T
        det = s * sxx - sx**2
        usable = det > 1e-12 * s * sxx
        det = np.where(usable, det, np.nan)
        moves = np.column_stack([(sxx * r - sx * rx) / det, (s * rx - sx * r) / det])
        return np.asarray(moves + np.array(line))

    return statistic


def rarer_patients(correct: Bools, clusters: Ints) -> int:
    """Patients with an image of the rarer class; of more than two classes, of the rarer of right and wrong top labels."""
    return min(len(np.unique(clusters[correct == side])) for side in (True, False))


def why_no_line(line: tuple[float, float] | None, correct: Bools, clusters: Ints, *, top_labels: bool) -> str:
    """Why a calibration line is not reported, or ''."""
    if correct.all() or not correct.any():
        return "the top labels are all right or all wrong" if top_labels else REASONS["auroc"]
    if line is None:
        return "no slope can be fitted: the scores are all equal or separate the classes perfectly"
    found = rarer_patients(correct, clusters)
    what = "with the rarer of right and wrong top labels" if top_labels else "of the rarer class"
    return f"{found} patients {what}, at least {_LINE_PATIENTS} are needed" if found < _LINE_PATIENTS else ""


def line_interval(value: float, draws: Floats, patients: int, level: float = 0.95) -> Interval:
    """The value with Student's t limits, from the standard deviation of the draws (b,).

    Args:
        patients: of the rarer class, on which the variance rests: the degrees of freedom are one less.
    """
    draws = draws[np.isfinite(draws)]
    spread = float(np.std(draws, ddof=1)) if len(draws) > 1 else 0.0
    half = intervals.t_quantile(level, patients - 1) * spread
    return Interval(value, value - half, value + half, "bootstrap (t)")


def _separated(x: Floats, correct: Bools) -> bool:
    """Whether some cut separates the classes; with ties at the cut the slope diverges too."""
    right, wrong = x[correct], x[~correct]
    return bool(right.min() >= wrong.max() or right.max() <= wrong.min())


def logit(p: Floats) -> Floats:
    """Log odds of probabilities, finite also at 0 and 1."""
    p = np.clip(p, _EDGE, 1 - _EDGE)
    return np.asarray(np.log(p) - np.log1p(-p))


def sigmoid(x: Floats) -> Floats:
    """Probabilities of log odds."""
    from scipy.special import expit

    return np.asarray(expit(x))


# --- bin by bin ------------------------------------------------------------------------------------------------------


def less_bias(value: float, draws: Floats) -> float:
    """A sum of |gaps| less the bias from noise, estimated from draws (b,); in 0..1, like any such sum.

    Gaps of a sample scatter around the true ones, and without their sign this scatter only adds; draws from the sample
    scatter again by as much, which shows how much it adds. For a perfectly calibrated model about half of the bias is
    removed, for a clearly miscalibrated one nearly all.
    Source: Kumar, Liang & Ma, Verified Uncertainty Calibration, NeurIPS 2019 (appendix; there with normal draws).
    """
    return min(1.0, max(0.0, 2 * value - float(draws.mean())))


@dataclass(frozen=True)
class Bin:
    """One point of a reliability diagram: mean score, share of hits with its 95 % interval, images."""

    score: float
    share: Interval
    n: int


def reliability(confidence: Floats, correct: Bools, clusters: Ints, level: float = 0.95) -> list[Bin]:
    """The diagram's points in 15 bins of equal mass, lowest score first; empty bins (equal scores) are left out.

    Args:
        clusters: int (n,), the sampling unit: a patient, or a group of identical images.
    """
    bins, found = ece_bins(confidence), []
    for b in range(ECE_BINS):
        here = bins == b
        if here.any():
            unit = intervals.renumbered(clusters[here])
            share = intervals.proportion(correct[here], unit, level)
            found.append(Bin(float(confidence[here].mean()), share, int(here.sum())))
    return found
