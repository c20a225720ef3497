"""The section tune of a file for `plainfilm tune`: how many trials, over which keys, and what confirms the best."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from plainfilm.config.keys import Section, key

_Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class Axis(Section):
    """The values that one key may take: exactly one of these."""

    log: tuple[_Number, _Number] | None = key(
        None, "Lowest and highest value, drawn on the logarithm.", unit="the key's"
    )
    uniform: tuple[_Number, _Number] | None = key(None, "Lowest and highest value.", unit="the key's")
    int: tuple[Any, ...] | None = key(None, "Lowest and highest whole number.")
    choice: tuple[Any, ...] | None = key(None, "The values, at least two.", min_length=2)

    @model_validator(mode="after")
    def is_one_of_them(self) -> Axis:
        given = [name for name in ("log", "uniform", "int", "choice") if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "nothing"
            raise ValueError(f"found {found}; expected one of log: [a, b], uniform: [a, b], int: [a, b], choice: [...]")
        if given[0] != "choice":
            self._is_a_range(given[0], getattr(self, given[0]))
        elif len({repr(value) for value in self.choice or ()}) < len(self.choice or ()):
            raise ValueError("choice: a value is listed twice; keep one")
        return self

    @staticmethod
    def _is_a_range(kind: str, ends: tuple[Any, ...]) -> None:
        if kind == "int" and not (len(ends) == 2 and all(type(end) is int for end in ends)):
            raise ValueError(f"int: found {list(ends)}; expected two whole numbers")
        low, high = ends
        if not low < high or (kind == "log" and low <= 0):
            above = ", above 0" if kind == "log" else ""
            raise ValueError(f"{kind}: found {list(ends)}; expected the lower number first{above}")


class ConfirmConfig(Section):
    """What is trained again at the end: the best configs and the default, on seeds that no trial had."""

    top: int = key(3, "How many of the best configs; 0 confirms none.", unit="configs", ge=0)
    seeds: int = key(5, "On how many fresh seeds each.", unit="seeds", ge=1)


class TuneConfig(Section):
    """A search over config keys, by select AUROC on one frozen split."""

    trials: int = key(..., "Trainings, the first with the file's own values.", unit="trainings", ge=2)
    sampler: Literal["tpe", "gp", "random"] = key(
        "tpe", "How a trial's values are drawn: tpe (from the better trials), gp (a Gaussian process) or random."
    )
    seed: int = key(0, "Of the draws; the same seed draws the same trials.", unit="none", ge=0)
    prune: Literal["none", "median"] = key(
        "none", "End a trial early: none, or median (worse by then than the median of the trials before it)."
    )
    prune_after: float = key(0.6, "Share of a trial's epochs before which it is not ended.", unit="share", ge=0, lt=1)
    space: dict[str, Axis] = key(..., "Dotted keys of the config, each with its values.", min_length=1)
    confirm: ConfirmConfig = ConfirmConfig()
