"""Lines beside the tables of `evaluate`: macro means, operating point, likelihood ratios, calibration, net benefit."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from plainfilm.base.listing import ENDS, LISTED
from plainfilm.schemas.calibration import MeanCalibration
from plainfilm.schemas.documents import EvaluateDocument, Metric
from plainfilm.schemas.macro_mean import MacroMean, macro_lines
from plainfilm.schemas.number_text import estimate_text, limits_text, ratio_text
from plainfilm.schemas.operating import AbstainBandReport, ThresholdRange

_ABSTAINED = {"with_abstained": "abstained as predicted", "without_abstained": "without abstained"}


def print_macro(out: Console, means: Mapping[str, MacroMean], names: Mapping[str, str]) -> None:
    """Which classes a mean leaves out, below the table that it is in; `names`: display names of the metrics."""
    for line in macro_lines(means, names):
        out.print(line)


def print_likelihood_ratios(out: Console, document: EvaluateDocument) -> None:
    """LR+ and LR- in one line, with two classes."""
    shown = {"positive": "LR+", "negative": "LR-"}
    found = [
        f"{shown[name]} {estimate_text(ratio, 'z.2f') if ratio.value is not None else ratio.method}"
        for name, ratio in document.likelihood_ratios.items()
    ]
    if found:
        out.print(f"Likelihood ratios: {', '.join(found)}")


def print_calibration(out: Console, document: EvaluateDocument) -> None:
    """Whether the scores are too high or too low on average; of more than two classes also each that clearly is."""
    found = document.reliability
    if found is None or found.in_the_large is None:
        return
    ratio = found.in_the_large.observed_expected
    beside = f"; observed/expected {ratio_text(ratio)}" if ratio.value is not None else ""
    out.print(f"{found.in_the_large.says}{beside}")
    off = [mean for mean in found.by_class.values() if _is_off(mean)]
    if len(off) > LISTED:
        off.sort(key=lambda mean: -abs(mean.difference.value or 0.0))
    for mean in off if len(off) <= LISTED else off[:ENDS]:
        out.print(mean.says)
    if len(off) > LISTED:
        out.print(f"Scores of {len(off) - ENDS:,} more classes are too high or too low on average (in --json)")


def _is_off(mean: MeanCalibration) -> bool:
    """Whether the scores of a class are clearly too high or too low on average."""
    low, high = mean.difference.ci_low, mean.difference.ci_high
    return low is not None and high is not None and (low > 0 or high < 0)


def print_net_benefit(out: Console, document: EvaluateDocument) -> None:
    """The sentence of the decision curve; none for numbers that were saved with a pointwise band alone."""
    curve = document.decision_curve
    says = curve.said(document.positive) if curve is not None and document.positive is not None else ""
    if says:
        out.print(says)


def abstained_rates(band: AbstainBandReport) -> list[tuple[str, Metric]]:
    """Rows of the band's table: both rates with abstentions counted as predicted, and without them."""
    rows: list[tuple[str, Metric]] = []
    for rate in ("sensitivity", "specificity"):
        for key, how in _ABSTAINED.items():
            table = getattr(band, key)
            rows += [(f"{rate}, {how}", getattr(table, rate))] if table is not None else []
    return rows


def print_two_by_two(out: Console, band: AbstainBandReport, labels: list[str]) -> None:
    """Predicted classes of what is not abstained on, and the abstentions beside them; two classes only."""
    if band.with_abstained is None or band.without_abstained is None:
        return
    out.print("Not abstained on, by predicted class (rows = truth), and abstained:")
    table = Table(box=None, pad_edge=False)
    for name in ("", *labels, "abstained"):
        table.add_column(name, justify="right" if name else "left")
    for label, every, kept in zip(labels, band.with_abstained.rows, band.without_abstained.rows, strict=True):
        table.add_row(label, *map(str, kept), str(sum(every) - sum(kept)))
    out.print(table)


def print_threshold(
    out: Console, positive: str | None, threshold: float, how: str, about: ThresholdRange | None
) -> None:
    """From which score an image is predicted positive, and what the threshold may be with other calibrate images."""
    out.print(f"Score for class {positive}; predicted positive at {threshold:.4f} or above ({how})")
    if about is not None:
        out.print(
            f"That threshold is uncertain: {limits_text(about.low, about.high)}; from one end to the other sensitivity is "
            f"{_from_to(about.sensitivity)}, specificity {_from_to(about.specificity)} on the {about.images:,} images that chose it"
        )


def _from_to(ends: tuple[float, float]) -> str:
    return f"{ends[0]:.3f} to {ends[1]:.3f}"


def scaling_text(temperature: float, bias: Mapping[str, float]) -> str:
    """'logits / 0.833, plus 0.700 for PNEUMONIA'; with more than two classes the biases are only counted."""
    moved = {name: value for name, value in bias.items() if value}
    if len(bias) == 2 and moved:
        name, value = max(moved.items(), key=lambda item: abs(item[1]))
        return f"logits / {temperature:.3f}, {'plus' if value > 0 else 'minus'} {abs(value):.3f} for {name}"
    return f"logits / {temperature:.3f}" + (", plus a bias for each class" if moved else "")
