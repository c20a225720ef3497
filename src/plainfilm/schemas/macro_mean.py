"""A mean over classes that leaves some of them out: which, why, and what it is with 0 for them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pydantic import BaseModel

from plainfilm.base.listing import some
from plainfilm.schemas.number_text import THREE

WITHOUT = "mean without class"
_NUMBERS = re.compile(rf"({WITHOUT}) (\d+(?:, \d+)*) \(")


class MacroMean(BaseModel):
    """Beside a metric that is a mean over classes and leaves some of them out.

    `classes`: of the run; `without`: those left out, by name, with the reason; `zero_division`: the mean over all
    classes with 0 for these (zero_division=0 of scikit-learn), None for a metric without that convention.
    """

    classes: int
    without: dict[str, str]
    zero_division: float | None = None

    def said(self) -> str:
        """'mean of 3 of 5 classes, without benign, cyst (never predicted)'."""
        alike: dict[str, list[str]] = {}
        for name, why in self.without.items():
            alike.setdefault(why, []).append(name)
        named = ", ".join(f"{some(names)} ({why})" for why, names in alike.items())
        return f"mean of {self.classes - len(self.without)} of {self.classes} classes, without {named}"


def method_text(method: str, labels: Sequence[str]) -> str:
    """A metric's method for people: names in place of the class numbers in 'mean without class 1, 3 (undefined)'.

    `labels`: class names by number. In documents the numbers stay, since other code reads them there.
    """
    return _NUMBERS.sub(lambda found: f"{found[1]} {some(_named(found[2], labels))} (", method)


def _named(numbers: str, labels: Sequence[str]) -> list[str]:
    return [labels[int(c)] if int(c) < len(labels) else c for c in numbers.split(", ")]


def macro_lines(means: Mapping[str, MacroMean], names: Mapping[str, str]) -> list[str]:
    """A line for each set of classes that is left out, with the metrics that leave it out; `names`: of the metrics.

    'PPV, F1: mean of 3 of 4 classes, without benign (never predicted); with 0 for it PPV 0.402, F1 0.381'
    """
    together: dict[str, list[str]] = {}
    for key, mean in means.items():
        together.setdefault(mean.said(), []).append(key)
    return [
        f"{', '.join(names.get(key, key) for key in keys)}: {said}{_with_zero(keys, means, names)}"
        for said, keys in together.items()
    ]


def _with_zero(keys: list[str], means: Mapping[str, MacroMean], names: Mapping[str, str]) -> str:
    zeros = [(names.get(key, key), zero) for key in keys if (zero := means[key].zero_division) is not None]
    them = "it" if len(means[keys[0]].without) == 1 else "them"
    return f"; with 0 for {them} {', '.join(f'{name} {zero:{THREE}}' for name, zero in zeros)}" if zeros else ""
