"""`plainfilm plan`: how many patients a study needs, by simulation; no image is read."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from plainfilm.base.events import EventCallback, silent
from plainfilm.errors import UsageError
from plainfilm.evaluate.planning.design import BOTH, Design
from plainfilm.evaluate.planning.formula import design_effect, formula_patients
from plainfilm.evaluate.planning.like import Like, patients_like
from plainfilm.evaluate.planning.question import METRICS, Question
from plainfilm.evaluate.planning.search import FEWEST, MOST, Patients, fewest_patients, share_met
from plainfilm.evaluate.planning.study import Simulation
from plainfilm.evaluate.stats.intervals import Ints, wilson
from plainfilm.schemas.plan import PlanDocument

_PREVALENCE, _MOST_IMAGES = 0.5, 500
_FEWEST_DRAWS, _MOST_DRAWS = 200, 1_000
_IMAGES_DRAWN = 2_000_000  # of all studies of one size: keeps a step to a few seconds
_TESTS = {
    "auroc": "DeLong (several images a patient: Obuchowski)",
    "rate": "McNemar (several images a patient: clustered)",
}
_CHOSEN = (
    "The value is that of valid, whose images chose the epoch and the threshold: likely too high. --value sets it."
)


@dataclass(frozen=True)
class PlanRequest:
    """The options of `plan`; what is None is taken from `like`, or is not asked for."""

    metric: str = "auroc"
    value: float | None = None
    width: float | None = None
    difference: float | None = None
    power: float = 0.8
    patients: int | None = None
    prevalence: float | None = None
    images_per_patient: str | None = None
    like: Path | None = None
    icc: float = 0.3
    correlation: float = 0.5
    seed: int = 0


def plan_study(request: PlanRequest, on_event: EventCallback = silent) -> PlanDocument:
    """The fewest patients for a width or a difference; with `patients`, what these give.

    Raises:
        UsageError: options that do not fit together, or values that no study can have. DataError: `like` cannot be read.
    """
    _check(request)
    like = None if request.like is None else patients_like(request.like, request.metric)
    question = _question(request, like)
    simulation = Simulation(question, _draws(question, request.patients), request.seed, on_event)
    if request.patients is None:
        found = fewest_patients(simulation)
    else:
        found = Patients(request.patients, None, None, simulation.outcomes(request.patients))
    return _document(request, question, found, like)


def _check(request: PlanRequest) -> None:
    """Raises a UsageError for the first fault."""
    if request.metric not in METRICS:
        raise UsageError(f"--metric {request.metric!r} cannot be planned; expected {', '.join(METRICS)}.")
    if request.width is not None and request.difference is not None:
        raise UsageError("--width plans one model, --difference compares two. Give one of them.")
    if request.width is None and request.difference is None and request.patients is None:
        raise UsageError("Say what is planned: --width 0.06, --difference 0.02, or --patients N to see what N give.")
    if request.like is not None and request.images_per_patient is not None:
        raise UsageError("--like takes the images of each patient from there. Leave --images-per-patient out.")
    for option, value, is_possible, expected in _ranges(request):
        if value is not None and not is_possible(value):
            raise UsageError(f"{option} {value:g} is not possible; expected {expected}.")


def _ranges(request: PlanRequest) -> Iterator[tuple[str, float | None, Callable[[float], bool], str]]:
    """Options with a number: its name, the number, which are possible, and that in words."""
    for option, value, low in (
        ("--value", request.value, _lowest(request)),
        ("--width", request.width, 0.0),
        ("--power", request.power, 0.1),
        ("--prevalence", request.prevalence, 0.0),
    ):
        yield option, value, partial(_is_between, low), f"above {low:g} and below 1"
    for option, share in (("--icc", request.icc), ("--correlation", request.correlation)):
        yield option, share, lambda x: 0 <= x <= 0.99, "0 to 0.99"
    yield "--patients", request.patients, lambda x: FEWEST <= x <= MOST, f"{FEWEST} to {MOST:,}"


def _is_between(low: float, value: float) -> bool:
    return low < value < 1


def _lowest(request: PlanRequest) -> float:
    """Below it the metric is worse than chance, or no rate."""
    return 0.5 if request.metric == "auroc" else 0.0


def _question(request: PlanRequest, like: Like | None) -> Question:
    value = request.value if request.value is not None or like is None else like.value
    if value is None or not _lowest(request) < value < 1:
        raise UsageError(f"--value is missing: the {request.metric} that you expect, such as 0.9.")
    return Question(
        request.metric, value, _other(request, value), request.width, request.power, request.icc, request.correlation,
        _design(request, like),
    )  # fmt: skip


def _other(request: PlanRequest, value: float) -> float | None:
    """The metric of the second model."""
    if request.difference is None:
        return None
    other, low = value - request.difference, _lowest(request)
    if not low < other < 1 or request.difference == 0:
        raise UsageError(
            f"--difference {request.difference:g} from {value:.4g} gives the other model {other:.4g}; expected another "
            f"number, above {low:g} and below 1."
        )
    return other


def _design(request: PlanRequest, like: Like | None) -> Design:
    prevalence = _PREVALENCE if request.prevalence is None else request.prevalence
    if like is None:
        return Design.of_one_class(_sizes(request.images_per_patient or "1"), prevalence)
    return (
        Design.like(like.images) if request.prevalence is None else Design.of_one_class(like.images.sum(1), prevalence)
    )


def _sizes(text: str) -> Ints:
    """'4' -> [4]; '1-3' -> [1, 2, 3]."""
    found = re.fullmatch(r"(\d{1,3})(?:-(\d{1,3}))?", text.strip())
    low, high = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not 1 <= low <= high <= _MOST_IMAGES:
        raise UsageError(
            f"--images-per-patient {text!r} is not possible; expected a number or a range, such as 1, 4 or 1-8, up to {_MOST_IMAGES}."
        )
    return np.arange(low, high + 1)


def _draws(question: Question, patients: int | None) -> int:
    """Fewer studies of many images."""
    expected = formula_patients(question) if patients is None else patients
    images = max(expected, FEWEST) * question.design.mean(question.sides)
    return int(min(max(_IMAGES_DRAWN / images, _FEWEST_DRAWS), _MOST_DRAWS))


def _document(request: PlanRequest, question: Question, found: Patients, like: Like | None) -> PlanDocument:
    notes = [] if like is None else [*like.notes, *([_CHOSEN] if request.value is None else [])]
    return PlanDocument(
        **_asked(question), **_images(question.design, found.n), **_met(question, found), **_widths(question, found),
        patients=found.n, patients_low=found.low, patients_high=found.high, design_effect=design_effect(question),
        like=None if request.like is None else str(request.like), draws=len(found.outcomes), seed=request.seed, notes=notes,
    )  # fmt: skip


def _asked(question: Question) -> dict[str, Any]:
    two = question.other is not None
    return {
        "metric": question.metric, "value": question.value, "other": question.other, "width": question.width,
        "power": question.power, "icc": question.icc, "correlation": question.correlation if two else None,
        "test": _TESTS["auroc" if question.metric == "auroc" else "rate"] if two else None,
    }  # fmt: skip


def _images(design: Design, patients: int) -> dict[str, Any]:
    sizes, mean, positive = design.images.sum(axis=1), design.mean(BOTH), design.mean((1,))
    return {
        "images": patients * mean, "positive_images": patients * positive, "prevalence": positive / mean,
        "images_fewest": int(sizes.min()), "images_most": int(sizes.max()), "images_mean": mean,
    }  # fmt: skip


def _met(question: Question, found: Patients) -> dict[str, Any]:
    """The share of the studies that succeeds, and the simple formula; None where any width is reported."""
    if question.width is None and question.other is None:
        return dict.fromkeys(("met", "met_low", "met_high", "formula_patients"))
    met = share_met(question, found.outcomes)
    low, high = wilson(met, len(found.outcomes))
    formula = math.ceil(formula_patients(question, alike=False))
    return {"met": met, "met_low": low, "met_high": high, "formula_patients": formula}


def _widths(question: Question, found: Patients) -> dict[str, Any]:
    """The median width, and the one that the share `power` of the intervals does not exceed; None where there is none."""
    if question.other is not None:
        return dict.fromkeys(("width_median", "width_at_power"))
    widths = (float(np.quantile(found.outcomes, q, method="inverted_cdf")) for q in (0.5, question.power))
    median, at_power = (width if math.isfinite(width) else None for width in widths)
    return {"width_median": median, "width_at_power": at_power}
