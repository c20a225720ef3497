"""The sections of a config, their defaults and their own validation: frozen pydantic models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

_THRESHOLD_RULE = re.compile(r"^(accuracy|youden|(sensitivity|specificity)>=(0?\.\d+|1(\.0*)?|0)|0?\.\d+)$")


_MAX_BAD = re.compile(r"^(\d+|100(\.0+)?%|\d{1,2}(\.\d+)?%)$")
_ResizeMode = Literal["squish", "pad", "crop"]
_Statistic = tuple[Annotated[float, Field(allow_inf_nan=False)], Annotated[float, Field(allow_inf_nan=False)],
                  Annotated[float, Field(allow_inf_nan=False)]]  # fmt: skip
_Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)] | Literal["auto"]


class Section(BaseModel):
    """Base of all parts of a config."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PhantomConfig(Section):
    """The synthetic set that is used when no DATA is given."""

    images: int = Field(600, ge=12)
    size_px: int = Field(256, ge=32, le=1024)
    seed: int = 0


class DataConfig(Section):
    """Which images, and how they are split."""

    path: str | None = None  # folder or CSV; None = the phantom set
    split: str = "patient"  # patient | official | image | kfold | a split file
    shares: tuple[float, float, float] = (0.60, 0.25, 0.15)  # train, valid, test; as in the paper
    folds: int = Field(5, ge=3)
    fold: int = Field(0, ge=0)
    patient_pattern: str | None = None  # regex on the file name; its first group is the patient
    positive: str | None = None
    follow_links: bool = False
    bits: Literal[8, 10, 12, 14, 16] | None = (
        None  # stored bit depth of integer images above 8 bits; None = measured on the set
    )
    tiff: bool = False  # also read TIFF; off because its library is large and often attacked
    frame: int | None = Field(None, ge=0)  # which frame of files with several; None quarantines such files
    resize: _ResizeMode = "squish"
    harmonise: bool = False  # one common grey path with a low-pass filter: fewer compression artefacts in the pixels
    requantise: int | None = Field(None, ge=2, le=256)  # grey levels left by harmonise
    drop_duplicates: bool = False  # use identical files once; never applied to a given test folder
    max_bad: str | None = None  # files ('20') or share ('2%') that may be damaged; None = 5 files or 1 %, the larger
    audit: bool = True  # run shortcut probes, which cannot see the lungs, before training
    cache: bool = True  # keep decoded images on disk; the pixels are the same without
    per_class: int | None = Field(None, ge=1)  # train images per class, for learning curves; valid and test stay
    exclude: str | None = None  # a CSV of images that train and valid exclude, such as suspects.csv; test stays
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
        if not _MAX_BAD.match(written):
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
            raise ValueError(f"{pattern!r} has no group; put parentheses around the patient: '(\\d+)_'")
        return pattern

    @model_validator(mode="after")
    def requantise_needs_harmonise(self) -> DataConfig:
        if self.requantise is not None and not self.harmonise:
            raise ValueError("requantise is a step of harmonise; also set harmonise: true (--harmonise)")
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
    weights: str = "none"  # none | imagenet | a weights file | a run folder: the initial weights
    mean: _Statistic | None = None  # per channel, on pixels in 0..1; None = those of the weights
    std: _Statistic | None = None
    standardise: bool = False  # each image by its own mean and std instead; hides exposure and contrast

    @field_validator("mean", "std", mode="before")
    @classmethod
    def one_number_for_all_channels(cls, value: Any) -> Any:
        return [value] * 3 if isinstance(value, int | float) and not isinstance(value, bool) else value

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


class Phase(Section):
    """One one-cycle schedule; a position in a run is (phase, epoch, step)."""

    epochs: int = Field(ge=1)
    size_px: int = Field(ge=16)
    freeze: bool = False  # train the head alone, on features of the images without augmentation
    lr: _Rate = 1e-3
    lr_ratio: float = Field(1.0, gt=0, le=1)  # rate of the first layers as a share of the head's; rises in between


class SpeedConfig(Section):
    """Optimisations for training on a CPU, one switch each.

    Without them the same is computed more slowly and bit-identically, except for channels_last, fused and threads,
    which sum in another order, and grey_augment, whose last bits differ.
    """

    allocator: bool = Field(
        True,
        description="glibc keeps the memory of a step instead of mapping it again; the peak is not returned to the system",
    )
    channels_last: bool = Field(True, description="images are in the memory format that CPU convolutions prefer")
    pool_first: bool = Field(True, description="max-pool before ReLU: bit-identical, with a quarter of the ReLU's work")
    fused: bool = Field(True, description="fused AdamW: one pass over the weights per step")
    plain_tensors: bool = Field(
        True, description="no tensor subclass in the loop; its operations take five times as long"
    )
    gather: bool = Field(True, description="a batch is one gather from the decoded images, not one item at a time")
    grey_augment: bool = Field(True, description="grey images are augmented on one channel, not on three")
    threads: Literal["auto"] | Annotated[int, Field(ge=1)] = Field(
        "auto", description="at most the cores available to this process, and no loader workers besides"
    )


SPEED_SWITCHES = tuple(name for name, field in SpeedConfig.model_fields.items() if field.annotation is bool)


class TrainConfig(Section):
    """How the network is trained. `epochs`, `size_px` and `lr` are short for a single phase."""

    epochs: int = Field(10, ge=1)
    size_px: int = Field(224, ge=16, le=2048)
    batch_size: int = Field(64, ge=1)
    lr: _Rate = 1e-3  # peak of the one-cycle schedule; auto runs the finder first; with freeze it means freeze_lr
    wd: float = Field(0.01, ge=0)  # decoupled weight decay (AdamW)
    seed: int = Field(0, ge=0)
    augment: Literal["radiograph", "robust", "strong", "natural", "none"] = "radiograph"
    # auto: sample classes evenly when one is > 1.5 times another. Not the default: at 64 px on valid of the Kermany
    # set it gained 0.001 AUROC and lost calibration (Brier 0.040 against 0.032).
    balance: Literal["auto", "none"] = "none"
    class_weights: bool = False
    label_smoothing: float = Field(0.0, ge=0, lt=1)  # share of each label spread over all classes
    clip: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None  # maximum gradient norm of a step
    ema: float = Field(0.0, ge=0, lt=1)  # decay of the averaged weights that are validated and kept; 0 = none
    freeze: bool = False  # train the head alone, on features that are computed once
    freeze_epochs: int = Field(0, ge=0)  # epochs of the head alone, before `epochs` of the whole network
    freeze_lr: _Rate = 1e-2  # peak rate of the head while it trains alone
    lr_ratio: float = Field(1.0, gt=0, le=1)  # rate of the first layers as a share of the head's
    # BatchNorm statistics in training: batch = of the batch; hold = those of the initial weights
    norm: Literal["batch", "hold"] = "batch"
    keep: Literal["best", "last"] = "best"  # best = the epoch with the highest valid AUROC
    phases: tuple[Phase, ...] = ()
    speed: SpeedConfig = SpeedConfig()

    @model_validator(mode="before")
    @classmethod
    def phases_from_the_short_way(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            return raw
        given = raw.get("phases")
        if not given:
            if raw.get("freeze") is True and "lr" in raw and "freeze_lr" not in raw:
                raw = {("freeze_lr" if name == "lr" else name): value for name, value in raw.items()}
            return {**raw, "phases": phases_of(raw)}
        return {**short_way_of(given[0]), **raw} if len(given) == 1 else raw

    @model_validator(mode="after")
    def phases_are_possible(self) -> TrainConfig:
        if {phase.size_px for phase in self.phases} != {self.size_px}:
            raise ValueError(f"phases: every phase must have size_px {self.size_px}; a size per phase is not supported")
        frozen = [phase.freeze for phase in self.phases]
        if self.freeze and self.freeze_epochs:
            raise ValueError("freeze trains only the head, freeze_epochs the head and then everything; choose one")
        if self.freeze and self.lr_ratio != 1:
            raise ValueError("lr_ratio sets a rate per layer; freeze trains only the head")
        if frozen != sorted(frozen, reverse=True):
            raise ValueError("phases: frozen phases must come first; the others change the features under the head")
        if self.balance == "auto" and self.class_weights:
            raise ValueError("balance: auto and class_weights: true both correct the class sizes; choose one")
        self._phases_agree_with_the_short_way()
        return self

    def _phases_agree_with_the_short_way(self) -> None:
        short = tuple(Phase.model_validate(phase) for phase in phases_of(self.model_dump()))
        if self.phases == short:
            return
        default = {name: type(self).model_fields[name].default for name in SHORT_WAY if name != "size_px"}
        said = [name for name, value in default.items() if getattr(self, name) != value]
        if said or len(self.phases) == 1:
            raise ValueError(f"{' and '.join(said or ['epochs'])} contradict phases; give one or the other")


SHORT_WAY = ("epochs", "size_px", "lr", "freeze", "freeze_epochs", "freeze_lr", "lr_ratio")


def phases_of(train: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The phases given by the keys of SHORT_WAY, as in a config."""
    whole = {name: train.get(name, TrainConfig.model_fields[name].default) for name in SHORT_WAY}
    frozen = whole["freeze"] is True
    main = {
        "epochs": whole["epochs"], "size_px": whole["size_px"], "freeze": whole["freeze"],
        "lr": whole["freeze_lr"] if frozen else whole["lr"], "lr_ratio": 1.0 if frozen else whole["lr_ratio"],
    }  # fmt: skip
    first = whole["freeze_epochs"]
    head = {"epochs": first, "size_px": whole["size_px"], "lr": whole["freeze_lr"], "freeze": True}
    return [head, main] if isinstance(first, int) and first > 0 else [main]


def short_way_of(phase: Any) -> dict[str, Any]:
    """The keys of SHORT_WAY that give one phase, as in a config."""
    if not isinstance(phase, Mapping):
        return {}
    rate = "freeze_lr" if phase.get("freeze") is True else "lr"
    same = {name: phase[name] for name in ("epochs", "size_px", "freeze", "lr_ratio") if name in phase}
    return {**same, rate: phase.get("lr", Phase.model_fields["lr"].default)}


class EvaluateConfig(Section):
    """How scores become predicted classes, and predictions become metrics."""

    threshold: str = "accuracy"  # accuracy | youden | sensitivity>=x | specificity>=x | a number
    threshold_on: Literal["valid", "valid-shifted"] = "valid"  # shifted: also under a fixed list of changes
    n_boot: int = Field(2000, ge=100)
    band_level: float = Field(0.90, ge=0.5, lt=1)  # coverage: share of each class whose true class stays possible
    gate: bool = True  # fit the out-of-distribution (OOD) gate: one more pass over the train images

    @field_validator("threshold", mode="before")
    @classmethod
    def rule_is_known(cls, rule: Any) -> str:
        text = str(rule).replace(" ", "")
        if not _THRESHOLD_RULE.match(text):
            raise ValueError(f"found {rule!r}; expected accuracy, youden, sensitivity>=0.95, specificity>=0.9 or 0.5")
        return text
