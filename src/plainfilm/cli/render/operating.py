"""Terminal output of the operating point: the threshold with its interval, temperature and bias."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console

from plainfilm.schemas.number_text import limits_text
from plainfilm.schemas.operating import ThresholdRange


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
