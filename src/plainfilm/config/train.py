"""The section train: how the network is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from plainfilm.config.gpu import GpuConfig
from plainfilm.config.keys import DECODES, LEARNS, READS, Option, Section, key

_Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)] | Literal["auto"]
# Above it a number is a slip of the hand: at a second an epoch it is 12 days. --max-minutes ends a run at fewer.
_MOST_EPOCHS = 1_000_000


class Phase(Section):
    """One one-cycle schedule; a position in a run is (phase, epoch, step)."""

    epochs: int = key(..., "Passes over the train images in this phase.", unit="epochs", ge=1, le=_MOST_EPOCHS)
    size_px: int = key(
        ...,
        "Side of the square images in training; smaller at first, train.size_px in the last phase.",
        unit="px",
        ge=16,
        le=2048,
    )
    freeze: bool = key(False, "Train the head alone, on features of the images without augmentation.")
    head: Literal["steps", "l2"] = key(
        "steps",
        "How a frozen phase trains the head: steps, or l2 (logistic regression whose penalty patient-grouped folds inside train choose; one epoch).",
    )
    lr: _Rate = key(1e-3, "Peak of the one-cycle schedule, or auto.", unit="learning rate")
    lr_ratio: float = key(
        1.0, "Rate of the first layers as a share of the head's; rises in between.", unit="share", gt=0, le=1
    )

    @model_validator(mode="after")
    def l2_is_one_epoch_of_a_frozen_phase(self) -> Phase:
        if self.head == "l2" and not (self.freeze and self.epochs == 1):
            raise ValueError("head: l2 is fitted once, on a frozen network; it needs freeze: true and epochs: 1")
        return self


class SpeedConfig(Section):
    """Optimisations for training on a CPU, one switch each.

    Without them the same is computed more slowly and bit-identically, except for channels_last, fused,
    grey_first_layer and threads, which sum in another order, grey_augment, whose last bits differ, and packed_masks
    and channels_last, which give other dropout masks of the same law.
    """

    allocator: bool = key(
        True,
        "glibc keeps the memory of a step instead of mapping it again; the peak is not returned to the system",
    )
    channels_last: bool = key(True, "images are in the memory format that CPU convolutions prefer")
    pool_first: bool = key(True, "max-pool before ReLU: bit-identical, with a quarter of the ReLU's work")
    fused: bool = key(True, "fused AdamW: one pass over the weights per step")
    plain_tensors: bool = key(True, "no tensor subclass in the loop; its operations take five times as long")
    gather: bool = key(True, "a batch is one gather from the decoded images, not one item at a time")
    grey_augment: bool = key(True, "grey images are augmented on one channel, not on three")
    grey_first_layer: bool = key(True, "grey images enter the paper's network as one channel, its kernels summed")
    packed_masks: bool = key(True, "dropout masks of our own networks from packed random bits, four units to a draw")
    backbone_masks: Literal["torch", "packed"] = key(
        "torch", "Dropout masks of backbones: torch's, or packed as in our own networks.", unit="masks"
    )
    threads: Literal["auto"] | Annotated[int, Field(ge=1)] = key(
        "auto",
        "CPU threads; auto is one for each core available. Another number gives a result that is not bit-identical.",
        Option("--threads", "Speed", LEARNS, "auto|N"),
        unit="threads",
    )


SPEED_SWITCHES = tuple(name for name, field in SpeedConfig.model_fields.items() if field.annotation is bool)


class TrainConfig(Section):
    """How the network is trained. `epochs`, `size_px` and `lr` are short for a single phase."""

    epochs: int = key(
        10, "Passes over the train images.", Option("--epochs", "Training", metavar="N"), unit="epochs", ge=1,
        le=_MOST_EPOCHS,
    )  # fmt: skip
    size_px: int = key(
        224,
        "Side of the square network input.",
        Option("--size", "Network", DECODES, "PX"),
        unit="px",
        ge=16,
        le=2048,
    )
    batch_size: int = key(64, "Images per step.", Option("--batch-size", "Training", LEARNS, "N"), unit="images", ge=1)
    lr: _Rate = key(
        1e-3,
        "Peak of the one-cycle schedule, or auto (runs the learning-rate finder first); with --freeze it sets freeze_lr.",
        Option("--lr", "Training", metavar="RATE"),
        unit="learning rate",
    )
    wd: float = key(
        0.01,
        "Decoupled weight decay (AdamW): each step shrinks a weight by this times the learning rate.",
        unit="share",
        ge=0,
    )
    seed: int = key(
        0, "Sets split, initial weights and order.", Option("--seed", "Split", READS, "N"), unit="none", ge=0
    )
    augment: Literal["radiograph", "robust", "strong", "natural", "none"] = key(
        "radiograph",
        "Random changes of train images: radiograph, robust (also sharpness, noise, grey curve), strong (also aspect ratio and holes), natural or none.",
        Option("--augment", "Training", LEARNS, "PROFILE"),
    )
    # Not the default: at 64 px on valid of the Kermany set auto gained 0.001 AUROC and lost calibration (Brier 0.040
    # against 0.032).
    balance: Literal["auto", "none"] = key(
        "none",
        "auto (sample classes evenly when one is > 1.5 times another; costs calibration) or none.",
        Option("--balance", "Training", LEARNS, "HOW"),
    )
    class_weights: bool = key(
        False, "Weight the loss by class size, instead of --balance.", Option("--class-weights", "Training")
    )
    label_smoothing: float = key(
        0.0,
        "Share of each label spread over all classes.",
        Option("--label-smoothing", "Training", metavar="X"),
        unit="share",
        ge=0,
        lt=1,
    )
    clip: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = key(
        None,
        "Maximum gradient norm of a step.",
        Option("--clip", "Training", metavar="NORM", unset="none"),
        unit="gradient norm",
    )
    ema: float = key(
        0.0,
        "Decay per step of averaged weights to validate and keep, e.g. 0.99; 0 is off.",
        Option("--ema", "Training", metavar="DECAY"),
        unit="share",
        ge=0,
        lt=1,
    )
    freeze: bool = key(
        False,
        "Train the head alone, on features computed once (seconds); needs --weights.",
        Option("--freeze", "Weights", LEARNS),
    )
    freeze_epochs: int = key(
        0,
        "Train the head alone for N epochs, then the whole network for --epochs.",
        Option("--freeze-epochs", "Weights", LEARNS, "N"),
        unit="epochs",
        ge=0,
        le=_MOST_EPOCHS,
    )
    freeze_lr: _Rate = key(
        1e-2,
        "Peak rate of the head while it trains alone, or auto.",
        Option("--freeze-lr", "Weights", metavar="RATE"),
        unit="learning rate",
    )
    recipe: Literal["probe", "head-then-all", "all"] | None = key(
        None,
        "What is trained from weights: probe (the head alone, as logistic regression on features; seconds), head-then-all, or all (from random weights without --weights).",
        Option("--recipe", "Weights", LEARNS, "WHICH", unset="as --freeze and --freeze-epochs say"),
    )
    lr_ratio: float = key(
        1.0,
        "Rate of the first layers as a share of the head's, e.g. 0.1; rises in between.",
        Option("--lr-ratio", "Weights", LEARNS, "X"),
        unit="share",
        gt=0,
        le=1,
    )
    norm: Literal["batch", "hold"] = key(
        "batch",
        "BatchNorm statistics in training: batch, or hold (those of the initial weights; for few images).",
        Option("--norm", "Weights", LEARNS, "HOW"),
    )
    keep: Literal["best", "last"] = key(
        "best",
        "Which weights are kept: best (epoch with the highest valid AUROC) or last.",
        Option("--keep", "Training", metavar="WHICH"),
    )
    phases: tuple[Phase, ...] = key((), "The schedule as a list, frozen phases first, instead of the short keys.")
    precision: Literal["fp32", "bf16", "auto"] = key(
        "fp32",
        "Arithmetic of the training steps: fp32, bf16 (on a processor or GPU made for it) or auto (bf16 there, else fp32). Validation and scores are fp32.",
        Option("--precision", "Speed", LEARNS, "WHICH"),
    )
    speed: SpeedConfig = SpeedConfig()
    gpu: GpuConfig = GpuConfig()

    @model_validator(mode="before")
    @classmethod
    def phases_from_the_short_way(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            return raw
        given = raw.get("phases")
        if given in ([], ()):
            raise ValueError("phases: the list is empty; give at least one phase, or leave the key out")
        if not given:
            if raw.get("freeze") is True and "lr" in raw and "freeze_lr" not in raw:
                raw = {("freeze_lr" if name == "lr" else name): value for name, value in raw.items()}
            return {**raw, "phases": phases_of(raw)}
        if not isinstance(given, list | tuple):
            return raw
        last = short_way_of(given[-1])
        if len(given) > 1:
            last = {"size_px": last["size_px"]} if "size_px" in last else {}
        return {**last, **raw}

    @model_validator(mode="after")
    def phases_are_possible(self) -> TrainConfig:
        self._sizes_grow()
        frozen = [phase.freeze for phase in self.phases]
        idle = self._changed(*_IDLE.get(self.recipe or "", ()))
        if self.recipe and (said := self._changed("freeze", "freeze_epochs")):
            raise ValueError(f"recipe says what is trained; leave out {' and '.join([*said, *idle])}")
        if idle:
            raise ValueError(f"recipe: {self.recipe} fits the head without steps; leave out {' and '.join(idle)}")
        if self.freeze and self.freeze_epochs:
            raise ValueError("freeze trains only the head, freeze_epochs the head and then everything; choose one")
        if self.freeze and self.lr_ratio != 1:
            raise ValueError("lr_ratio sets a rate per layer; freeze trains only the head")
        if self.precision == "bf16" and all(frozen):
            raise ValueError("precision: bf16 would change nothing; freeze trains only the head, in fp32")
        if frozen != sorted(frozen, reverse=True):
            raise ValueError("phases: frozen phases must come first; the others change the features under the head")
        if self.balance == "auto" and self.class_weights:
            raise ValueError("balance: auto and class_weights: true both correct the class sizes; choose one")
        self._phases_agree_with_the_short_way()
        return self

    def _sizes_grow(self) -> None:
        """Validation and use of the network are at size_px, and so are the features of a frozen network."""
        if self.phases[-1].size_px != self.size_px:
            raise ValueError(f"phases: the last phase must have size_px {self.size_px}, the size of the run")
        if any(phase.freeze and phase.size_px != self.size_px for phase in self.phases):
            raise ValueError(f"phases: a frozen phase passes each image once and must have size_px {self.size_px}")
        sizes = [phase.size_px for phase in self.phases if not phase.freeze]
        if sizes != sorted(sizes):
            raise ValueError(f"phases: sizes may only grow, and {', '.join(map(str, sizes))} px do not")

    def _phases_agree_with_the_short_way(self) -> None:
        short = tuple(Phase.model_validate(phase) for phase in phases_of(self.model_dump()))
        if self.phases == short:
            return
        said = self._changed(*(name for name in SHORT_WAY if name != "size_px"))
        if said or len(self.phases) == 1:
            raise ValueError(f"{' and '.join(said or ['epochs'])} contradict phases; give one or the other")

    def _changed(self, *names: str) -> list[str]:
        """Those of the keys that differ from their default."""
        return [name for name in names if getattr(self, name) != type(self).model_fields[name].default]


_IDLE = {
    "probe": ("epochs", "lr", "freeze_lr", "lr_ratio", "augment", "wd", "clip", "ema", "label_smoothing"),
    "head-then-all": ("freeze_lr",),
}
SHORT_WAY = ("epochs", "size_px", "lr", "freeze", "freeze_epochs", "freeze_lr", "recipe", "lr_ratio")


def phases_of(train: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The phases given by the keys of SHORT_WAY, as in a config."""
    whole = {name: train.get(name, TrainConfig.model_fields[name].default) for name in SHORT_WAY}
    frozen, recipe = whole["freeze"] is True, whole["recipe"]
    main = {
        "epochs": whole["epochs"], "size_px": whole["size_px"], "freeze": whole["freeze"],
        "lr": whole["freeze_lr"] if frozen else whole["lr"], "lr_ratio": 1.0 if frozen else whole["lr_ratio"],
    }  # fmt: skip
    probe = {"epochs": 1, "size_px": whole["size_px"], "freeze": True, "head": "l2"}
    if recipe in ("probe", "head-then-all"):
        return [probe] if recipe == "probe" else [probe, main]
    first = whole["freeze_epochs"]
    head = {"epochs": first, "size_px": whole["size_px"], "lr": whole["freeze_lr"], "freeze": True}
    return [head, main] if isinstance(first, int) and first > 0 else [main]


def short_way_of(phase: Any) -> dict[str, Any]:
    """The keys of SHORT_WAY that give one phase, as in a config."""
    if not isinstance(phase, Mapping):
        return {}
    if phase.get("head") == "l2":
        return {"recipe": "probe", **({"size_px": phase["size_px"]} if "size_px" in phase else {})}
    rate = "freeze_lr" if phase.get("freeze") is True else "lr"
    same = {name: phase[name] for name in ("epochs", "size_px", "freeze", "lr_ratio") if name in phase}
    return {**same, rate: phase.get("lr", Phase.model_fields["lr"].default)}
