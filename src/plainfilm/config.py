"""The experiment config: frozen pydantic models, read from YAML, with single options laid over them.

Unknown keys are errors with a "did you mean"; all faults of a file are told at once. The resolved config is
saved in the run folder, and `train --config` on that file repeats the run.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from plainfilm.errors import ConfigError
from plainfilm.strict_yaml import dump_yaml, read_yaml

THRESHOLD_RULE = re.compile(r"^(accuracy|youden|(sensitivity|specificity)>=(0?\.\d+|1(\.0*)?|0)|0?\.\d+)$")


MAX_BAD = re.compile(r"^(\d+|100(\.0+)?%|\d{1,2}(\.\d+)?%)$")
ResizeMode = Literal["squish", "pad", "crop"]
Statistic = tuple[Annotated[float, Field(allow_inf_nan=False)], Annotated[float, Field(allow_inf_nan=False)],
                  Annotated[float, Field(allow_inf_nan=False)]]  # fmt: skip
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)] | Literal["auto"]


class Section(BaseModel):
    """What all parts of a config share."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PhantomConfig(Section):
    """The drawn set that stands in where no DATA is given."""

    images: int = Field(600, ge=12)
    size_px: int = Field(256, ge=32, le=1024)
    seed: int = 0


class DataConfig(Section):
    """Which images, and how they are divided."""

    path: str | None = None  # folder or CSV; None = the phantom set
    split: str = "patient"  # patient | official | image | kfold | a split file
    shares: tuple[float, float, float] = (0.60, 0.25, 0.15)  # train, valid, test: the paper's
    folds: int = Field(5, ge=3)
    fold: int = Field(0, ge=0)
    patient_pattern: str | None = None  # regex on the file name; its first group is the patient
    positive: str | None = None
    follow_links: bool = False
    bits: Literal[8, 10, 12, 14, 16] | None = None  # stored bits of integers above 8; None = measured on the set
    tiff: bool = False  # TIFF runs a large, often attacked library: by option only
    frame: int | None = Field(None, ge=0)  # of files that hold several pictures; None refuses them
    resize: ResizeMode = "squish"
    harmonise: bool = False  # one common grey path with a low-pass: less of what compression leaves in the pixels
    requantise: int | None = Field(None, ge=2, le=256)  # grey levels left by harmonise
    drop_duplicates: bool = False  # identical files but the first; never of a given test folder
    max_bad: str | None = None  # files ('20') or share ('2%') that may be damaged; None = 5 files or 1 %, the larger
    audit: bool = True  # train probes for shortcuts first: what can be told without looking at a lung
    cache: bool = True  # decoded pictures are kept on disk; the pixels are the same without
    allow_leak: bool = False
    phantom: PhantomConfig = PhantomConfig()

    @field_validator("shares")
    @classmethod
    def shares_sum_to_one(cls, shares: tuple[float, float, float]) -> tuple[float, float, float]:
        if min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
            raise ValueError(f"three positive shares that sum to 1 are needed, found {list(shares)}")
        return shares

    @field_validator("max_bad", mode="before")
    @classmethod
    def max_bad_is_a_number_or_share(cls, text: Any) -> str | None:
        if text is None:
            return None
        written = str(text).replace(" ", "")
        if not MAX_BAD.match(written):
            raise ValueError(f"found {written!r}; expected a number of files, '20', or a share, '2%'")
        return written

    @field_validator("patient_pattern")
    @classmethod
    def pattern_has_a_group(cls, pattern: str | None) -> str | None:
        if pattern is None:
            return None
        try:
            groups = re.compile(pattern).groups
        except re.error as error:
            raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
        if groups < 1:
            raise ValueError(f"{pattern!r} has no group; put brackets round the patient: '(\\d+)_'")
        return pattern

    @model_validator(mode="after")
    def requantise_needs_harmonise(self) -> DataConfig:
        if self.requantise is not None and not self.harmonise:
            raise ValueError("requantise is a step of harmonise; set harmonise: true (--harmonise) too")
        return self

    @model_validator(mode="after")
    def fold_exists(self) -> DataConfig:
        if self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} does not exist; {self.folds} folds are numbered 0 to {self.folds - 1}")
        return self


class ModelConfig(Section):
    """The network; the defaults are the paper's."""

    name: str = "paper"
    filters: tuple[int, ...] = (16, 32, 64)
    kernel: int = Field(5, ge=1, le=15)
    dropout: float = Field(0.2, ge=0, lt=1)  # after each convolution block
    dense: int = Field(128, ge=1)
    dense_dropout: float = Field(0.5, ge=0, lt=1)  # the paper does not give this rate
    weights: str = "none"  # none | imagenet | a weights file | a run folder: what training starts from
    mean: Statistic | None = None  # per channel, on pixels in 0..1; None = what the weights were trained with
    std: Statistic | None = None

    @field_validator("mean", "std", mode="before")
    @classmethod
    def one_number_for_all_channels(cls, value: Any) -> Any:
        return [value] * 3 if isinstance(value, int | float) and not isinstance(value, bool) else value

    @field_validator("std")
    @classmethod
    def std_is_positive(cls, std: Statistic | None) -> Statistic | None:
        if std is not None and min(std) <= 0:
            raise ValueError(f"three positive numbers are needed, found {list(std)}")
        return std

    @field_validator("weights")
    @classmethod
    def weights_are_named(cls, weights: str) -> str:
        if not weights.strip():
            raise ValueError("expected none, imagenet, a weights file or a run folder, found nothing")
        return weights


class Phase(Section):
    """One stretch of one-cycle training; a position in a run is (phase, epoch, step)."""

    epochs: int = Field(ge=1)
    size_px: int = Field(ge=16)
    freeze: bool = False  # the head alone, on features of the pictures as they are
    lr: Rate = 1e-3
    lr_ratio: float = Field(1.0, gt=0, le=1)  # rate of the first layers as a share of the head's; between them it grows


class SpeedConfig(Section):
    """What makes training on a CPU fast, one switch each.

    Off, the same is computed the slow way: bit-equal but for channels_last, fused and threads, which add the same
    sums up in another order, and grey_augment, whose last bits differ.
    """

    allocator: bool = Field(
        True,
        description="glibc keeps what a step used instead of mapping it anew; what the largest step took is not given back",
    )
    channels_last: bool = Field(True, description="pictures lie in memory as the CPU's convolutions want them")
    pool_first: bool = Field(True, description="max-pool before ReLU: the same bits, a quarter of the ReLU's work")
    fused: bool = Field(True, description="AdamW in one pass over the weights per step")
    plain_tensors: bool = Field(True, description="no tensor subclass in the loop, whose operations cost five times")
    gather: bool = Field(True, description="a batch is one gather from the decoded pictures, no item at a time")
    grey_augment: bool = Field(True, description="grey pictures are moved and relit on one channel, not on three")
    threads: Literal["auto"] | Annotated[int, Field(ge=1)] = Field(
        "auto", description="no more than there are cores for this process, and no loader workers beside them"
    )


SPEED_SWITCHES = tuple(name for name, field in SpeedConfig.model_fields.items() if field.annotation is bool)


class TrainConfig(Section):
    """How the network learns. `epochs`, `size_px` and `lr` are the short way to write one phase."""

    epochs: int = Field(10, ge=1)
    size_px: int = Field(224, ge=16, le=2048)
    batch_size: int = Field(64, ge=1)
    lr: Rate = 1e-3  # peak of the one-cycle schedule; auto runs the finder first
    wd: float = Field(0.01, ge=0)  # decoupled weight decay (AdamW)
    seed: int = Field(0, ge=0)
    augment: Literal["radiograph", "robust", "natural", "none"] = "radiograph"
    # auto: classes drawn evenly when one is > 1.5 times another. Not the default: at 64 px on valid of the Kermany
    # set it gained 0.001 AUROC and lost calibration (Brier 0.040 against 0.032).
    balance: Literal["auto", "none"] = "none"
    class_weights: bool = False
    label_smoothing: float = Field(0.0, ge=0, lt=1)  # share of each truth spread over all classes
    clip: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None  # largest norm of a step's gradient
    ema: float = Field(0.0, ge=0, lt=1)  # decay of the averaged weights that are validated and kept; 0 = none
    freeze: bool = False  # the head alone, on features that are computed once
    freeze_epochs: int = Field(0, ge=0)  # so many of the head alone, before `epochs` of the whole network
    freeze_lr: Rate = 1e-2  # of those
    lr_ratio: float = Field(1.0, gt=0, le=1)  # rate of the first layers as a share of the head's
    # BatchNorm's statistics in training: batch = of the batch; hold = those of the weights it starts from
    norm: Literal["batch", "hold"] = "batch"
    keep: Literal["best", "last"] = "best"  # best = the epoch with the highest valid AUROC
    phases: tuple[Phase, ...] = ()
    speed: SpeedConfig = SpeedConfig()

    @model_validator(mode="before")
    @classmethod
    def phases_from_the_short_way(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            return raw
        names = ("epochs", "size_px", "lr", "freeze", "lr_ratio")
        given = raw.get("phases")
        if given:  # one phase also fills the short way
            only = given[0] if len(given) == 1 and isinstance(given[0], Mapping) else {}
            return {**{name: only[name] for name in names if name in only}, **raw}
        whole = {name: value.default for name, value in cls.model_fields.items()} | dict(raw)
        if whole["freeze"] is True:
            whole["lr"] = raw.get("lr", whole["freeze_lr"])
        main = {name: whole[name] for name in names}
        head = {"epochs": whole["freeze_epochs"], "size_px": whole["size_px"], "lr": whole["freeze_lr"], "freeze": True}
        return {**raw, "lr": whole["lr"], "phases": [head, main] if whole["freeze_epochs"] else [main]}

    @model_validator(mode="after")
    def phases_are_possible(self) -> TrainConfig:
        if {phase.size_px for phase in self.phases} != {self.size_px}:
            raise ValueError(f"phases: every phase must have size_px {self.size_px}; a size per phase is not supported")
        frozen = [phase.freeze for phase in self.phases]
        if self.freeze and self.freeze_epochs:
            raise ValueError("freeze trains the head alone, freeze_epochs the rest after it; choose one")
        if frozen != sorted(frozen, reverse=True):
            raise ValueError("phases: frozen ones come first; what they rest on would change under them")
        if self.balance == "auto" and self.class_weights:
            raise ValueError("balance: auto and class_weights: true both correct the class sizes; choose one")
        if len(self.phases) == 1 and (self.phases[0].epochs, self.phases[0].lr) != (self.epochs, self.lr):
            raise ValueError("epochs and lr contradict the one entry of phases; give one or the other")
        return self


class EvaluateConfig(Section):
    """How scores become calls and calls become numbers."""

    threshold: str = "accuracy"  # accuracy | youden | sensitivity>=x | specificity>=x | a number
    threshold_on: Literal["valid", "valid-shifted"] = "valid"  # shifted: under a fixed list of changes
    n_boot: int = Field(2000, ge=100)

    @field_validator("threshold", mode="before")
    @classmethod
    def rule_is_known(cls, rule: Any) -> str:
        text = str(rule).replace(" ", "")
        if not THRESHOLD_RULE.match(text):
            raise ValueError(f"found {rule!r}; expected accuracy, youden, sensitivity>=0.95, specificity>=0.9 or 0.5")
        return text


class ExperimentConfig(Section):
    """Everything that decides a run's result."""

    task: Literal["single"] = "single"  # one label per image; other tasks are refused for now
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()

    @model_validator(mode="after")
    def frozen_layers_know_something(self) -> ExperimentConfig:
        if self.model.weights != "none":
            return self
        if any(phase.freeze for phase in self.train.phases):
            raise ValueError("train.freeze: frozen layers must have learned something; set model.weights (--weights)")
        if self.train.norm == "hold":
            raise ValueError(
                "train.norm: there are no statistics to hold; set model.weights (--weights), or norm: batch"
            )
        return self

    def as_yaml(self) -> str:
        """The resolved config, every key named."""
        return dump_yaml(self.model_dump(mode="json"))


def load_config(path: Path | None = None, options: Mapping[str, Any] | None = None) -> ExperimentConfig:
    """The config of a file (or the defaults), with single options laid over it.

    Args:
        path: a YAML file, or None for the defaults.
        options: dotted keys to values, e.g. {"train.lr": 0.01}; entries that are None are left out.
    Raises:
        ConfigError: names every unknown key and wrong value at once.
    """
    return make_config(read_yaml(path) if path else {}, options, source=str(path) if path else "The options")


def make_config(raw: dict[str, Any], options: Mapping[str, Any] | None = None, *, source: str) -> ExperimentConfig:
    """The config of a mapping as a YAML file holds it, which is changed; `source` is named in refusals."""
    for key, value in (options or {}).items():
        if value is not None:
            _lay_over(raw, key, value)
    try:
        return ExperimentConfig.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"{source}: " + "; ".join(_explain(fault) for fault in error.errors())) from None


def _lay_over(raw: dict[str, Any], key: str, value: Any) -> None:
    *sections, name = key.split(".")
    target: Any = raw
    for section in sections:
        target = target.setdefault(section, {})
        if not isinstance(target, dict):
            return  # validation names the fault
    target[name] = value
    if sections == ["train"] and name in (
        "epochs",
        "size_px",
        "lr",
        "freeze",
        "freeze_epochs",
        "freeze_lr",
        "lr_ratio",
    ):
        _drop_single_phase(target, name)


def _drop_single_phase(train: dict[str, Any], name: str) -> None:
    # A resolved config spells its one phase out; an option laid over it must reach that phase too.
    phases = train.get("phases")
    if isinstance(phases, list) and len(phases) == 1:
        del train["phases"]
    elif isinstance(phases, list) and phases:
        raise ConfigError(
            f"The config has {len(phases)} phases; --{name.removesuffix('_px')} cannot say which. Edit train.phases."
        )


# What a user of other tools looks for and does not find, and why.
NOT_OFFERED = {
    **dict.fromkeys(("amp", "fp16", "bf16", "half", "precision", "mixed_precision"),
                    "mixed precision is not offered: without a processor made for it a step takes 11 to 34 times as long"),
    **dict.fromkeys(("compile", "torch_compile"),
                    "torch.compile is not offered: on a CPU it compiles for a minute and trains no faster"),
    **dict.fromkeys(("early_stopping", "patience"),
                    "early stopping is not offered: one-cycle gains most in its last epochs; choose fewer epochs"),
}  # fmt: skip


def _explain(fault: Any) -> str:
    path = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        if reason := NOT_OFFERED.get(str(fault["loc"][-1])):
            return f"{path}: {reason}"
        known = _known_keys(fault["loc"][:-1])
        near = difflib.get_close_matches(str(fault["loc"][-1]), known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
        return f"{path}: unknown key; {hint}"
    message = fault["msg"].removeprefix("Value error, ")
    found = "" if fault["type"] == "value_error" or isinstance(fault["input"], dict) else f" (found {fault['input']!r})"
    return f"{path}: {message}{found}" if path else message + found


def _known_keys(loc: tuple[Any, ...]) -> list[str]:
    model: type[BaseModel] = ExperimentConfig
    for part in loc:
        field = model.model_fields.get(part) if isinstance(part, str) else None
        if field is None:
            return list(Phase.model_fields) if "phases" in loc else []
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            model = field.annotation
    return list(model.model_fields)


def experiment_file(name: str) -> Path:
    """Path of a config shipped with the package, e.g. 'phantom.yaml'.

    In a checkout it lies in `experiments/`; in an installed wheel, inside the package.
    """
    packaged = Path(__file__).parent / "experiments_shipped" / name
    return packaged if packaged.exists() else Path(__file__).parents[2] / "experiments" / name
