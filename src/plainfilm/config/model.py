"""The section model: which network, how it starts, and how pixels enter it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from plainfilm.config.keys import LEARNS, Option, Section, key

_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Statistic = tuple[_Finite, _Finite, _Finite]


class ModelConfig(Section):
    """The network; the defaults are the paper's."""

    name: str = key(
        "paper",
        "Which network; plainfilm models lists them.",
        Option("--model", "Network", LEARNS, "NAME", harmless=r"[a-z0-9_-]{1,40}|timm/[a-z0-9_.-]{1,60}"),
    )
    filters: tuple[int, ...] = key(
        (16, 32, 64), "Channels of each convolution block, for paper and paper-gap.", unit="channels"
    )
    kernel: int = key(5, "Side of the convolutions' square kernel, for paper and paper-gap.", unit="px", ge=1, le=15)
    dropout: float = key(
        0.2, "Share of values set to 0 after each convolution block, in training.", unit="share", ge=0, lt=1
    )
    dense: int = key(128, "Units of the hidden dense layer, for paper and paper-gap.", unit="units", ge=1)
    dense_dropout: float = key(
        0.5,
        "Share of the dense layer's values set to 0 in training; the paper does not give this rate.",
        unit="share",
        ge=0,
        lt=1,
    )
    weights: str = key(
        "none",
        "Initial weights: none, imagenet, a weights file, or a run folder.",
        Option("--weights", "Weights", LEARNS, "WHAT", words=("none", "imagenet"), path="any", hides="WEIGHTS"),
    )
    mean: _Statistic | None = key(
        None,
        "Mean of each channel, subtracted from pixels in 0..1; one number is meant for all. null: that of the weights.",
        unit="pixel value in 0..1",
    )
    std: _Statistic | None = key(
        None,
        "Standard deviation of each channel, by which pixels are divided; one number is meant for all. null: that of the weights.",
        unit="pixel value in 0..1",
    )
    range: tuple[_Finite, _Finite] | None = key(
        None,
        "What black and white were to the weights of a file, as LOW,HIGH: -1024,1024 for torchxrayvision, -1,1 for RadImageNet; sets mean and std.",
        Option(
            "--range", "Weights", LEARNS, "LOW,HIGH", unset="mean and std of the network", harmless=r"[0-9.,eE+-]{1,40}"
        ),
        unit="pixel value",
    )
    standardise: bool = key(
        False,
        "Normalise each image with its own mean and standard deviation instead, which hides exposure and contrast.",
        Option("--standardise", "Network", LEARNS),
    )

    @field_validator("mean", "std", mode="before")
    @classmethod
    def one_number_for_all_channels(cls, value: Any) -> Any:
        return [value] * 3 if isinstance(value, int | float) and not isinstance(value, bool) else value

    @field_validator("range", mode="before")
    @classmethod
    def range_from_the_command_line(cls, value: Any) -> Any:
        """'-1024,1024' as it is typed; what is no number there stays, and is refused as one."""
        return [part.strip() for part in value.split(",")] if isinstance(value, str) else value

    @field_validator("range")
    @classmethod
    def range_rises(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not value[0] < value[1]:
            raise ValueError(
                f"the first number must be below the second, as in -1024,1024; found {value[0]:g},{value[1]:g}"
            )
        return value

    @property
    def statistics_of_range(self) -> tuple[_Statistic | None, _Statistic | None]:
        """Mean and std, of pixels in 0..1, that bring them to `range`; None and None without one."""
        if self.range is None:
            return None, None
        low, high = self.range
        return (-low / (high - low),) * 3, (1 / (high - low),) * 3

    @model_validator(mode="after")
    def range_agrees(self) -> ModelConfig:
        mean, std = self.statistics_of_range
        if mean and ((self.mean or mean) != mean or (self.std or std) != std):
            raise ValueError("range, and mean or std, are two ways to say the same; give one of them")
        if self.range is not None and self.standardise:
            raise ValueError("standardise takes no range: it normalises each image by itself; choose one")
        return self

    @model_validator(mode="after")
    def one_normalisation(self) -> ModelConfig:
        if self.standardise and self.weights == "imagenet":
            raise ValueError(
                "standardise does not give the input that ImageNet's weights expect; choose standardise or weights: imagenet"
            )
        return self

    @field_validator("std")
    @classmethod
    def std_is_positive(cls, std: _Statistic | None) -> _Statistic | None:
        if std is not None and min(std) <= 0:
            raise ValueError(f"three positive numbers are needed, found {list(std)}")
        return std

    @field_validator("weights")
    @classmethod
    def weights_are_named(cls, weights: str) -> str:
        if not weights.strip():
            raise ValueError("expected none, imagenet, a weights file or a run folder, found nothing")
        return weights
