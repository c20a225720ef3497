"""The large-sample number of patients, in closed form: where the search begins, and what simulation is compared with."""

from __future__ import annotations

from scipy.special import ndtri

from plainfilm.evaluate.planning.latent import cut_covariance
from plainfilm.evaluate.planning.question import Question

Z = float(ndtri(0.975))


def formula_patients(question: Question, *, alike: bool = True) -> float:
    """Patients after which the expected interval is that narrow, or the test has that power.

    Args:
        alike: False takes the images for independent: the simple formula.
    Source: a rate: p (1 - p) / n; AUROC: DeLong's variance of normal scores (Obuchowski & McClish, Stat Med
        1997;16:1529, exact instead of approximated); a difference: (z + z_power)^2 variance / difference^2.
    """
    if question.other is not None:
        times = (Z + float(ndtri(question.power))) / (question.value - question.other)
    else:
        times = 2 * Z / (question.width or 1.0)
    return _variance(question, alike) * times**2


def design_effect(question: Question) -> float:
    """How many times larger the variance is than with independent images, by formula.

    Source: Rao & Scott, Biometrics 1992;48:577.
    """
    return _variance(question, True) / _variance(question, False)


def _variance(question: Question, alike: bool) -> float:
    """Variance of the estimate, or of the difference of two, times the number of patients.

    A patient with images of both classes counts twice, as if the two parts were independent.
    """
    groups = ((0,), (1,)) if question.metric == "auroc" else (question.sides,)
    own, shared = _covariance(question, 1.0), _covariance(question, question.scores.icc) if alike else 0.0
    design = question.design
    return sum((own + (design.alike(group) - 1) * shared) / design.mean(group) for group in groups)


def _covariance(question: Question, r: float) -> float:
    """Covariance of what two images of a class contribute when their scores correlate by `r`; 1 = the image itself.

    To an area an image contributes its placement in the other class: two of them are ranked against one image each, so
    their scores correlate half as much.
    """
    scores, half = question.scores, 0.5 if question.metric == "auroc" else 1.0
    a = float(scores.cuts[0])
    if question.other is None:
        return cut_covariance(a, a, half * r)
    b, between = float(scores.cuts[1]), half * r * scores.correlation
    return cut_covariance(a, a, half * r) + cut_covariance(b, b, half * r) - 2 * cut_covariance(a, b, between)
