"""The section evaluate: how scores become predicted classes, and predictions become metrics."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import field_validator

from plainfilm.config.keys import Option, Section, key

_THRESHOLD_RULE = re.compile(
    r"^(smooth|accuracy|youden|(sensitivity|specificity)>=(0?\.\d+|1(\.0*)?|0)|(sensitivity|specificity)>=0?\.\d+@0?\.\d+|0?\.\d+)$"
)


class EvaluateConfig(Section):
    """How scores become predicted classes, and predictions become metrics."""

    threshold: str = key(
        "smooth",
        "Rule for the threshold, chosen on valid: smooth (where a logistic line is even), accuracy, youden, 'sensitivity>=0.95', "
        "'sensitivity>=0.95@0.9' (with 90 % confidence), 'specificity>=0.9' or a number.",
        Option(
            "--threshold", "Training", metavar="RULE", words=("smooth", "accuracy", "youden"),
            harmless=r"[0-9.eE+%-]{1,24}|(sensitivity|specificity)>=[0-9.]{1,8}(@[0-9.]{1,8})?",
        ),
    )  # fmt: skip
    threshold_on: Literal["valid", "valid-shifted"] = key(
        "valid",
        "Images that choose the threshold: valid, or valid-shifted (also under a fixed list of changes).",
        Option("--threshold-on", "Training", metavar="SPLIT"),
    )
    n_boot: int = key(2000, "Bootstrap draws of whole patients for each interval.", unit="draws", ge=100)
    band_level: float = key(
        0.90, "Coverage: share of each class whose true class stays possible.", unit="share", ge=0.5, lt=1
    )
    gate: bool = key(True, "Fit the out-of-distribution (OOD) gate, by one more pass over the train images.")

    @field_validator("threshold", mode="before")
    @classmethod
    def rule_is_known(cls, rule: Any) -> str:
        text = str(rule).replace(" ", "")
        if not _THRESHOLD_RULE.match(text):
            raise ValueError(
                f"found {rule!r}; expected smooth, accuracy, youden, sensitivity>=0.95, sensitivity>=0.95@0.9, specificity>=0.9 or 0.5"
            )
        confidence = float(text.partition("@")[2] or 0.9)
        if not 0.5 < confidence < 1 or ("@" in text and not 0 < float(text.partition("@")[0].partition(">=")[2]) < 1):
            raise ValueError(
                f"found {rule!r}; a bound with a confidence is above 0 and below 1, its confidence above 0.5"
            )
        return text
