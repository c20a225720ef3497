"""card.json: everything needed to use the model of a run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from plainfilm import __version__
from plainfilm.base.files import dump_json, read_regular, sha256_of
from plainfilm.base.json_text import json_model, parsed_json
from plainfilm.base.listing import some
from plainfilm.base.sanitize import found_value
from plainfilm.config import ModelConfig
from plainfilm.errors import DataError
from plainfilm.runs.folder import RunDir
from plainfilm.runs.run_manifest import read_verified, write_file
from plainfilm.runs.scaling import Scaling
from plainfilm.schemas.documents import RESEARCH_ONLY
from plainfilm.schemas.operating import Recalibration, ThresholdRange

KEPT_BEST, KEPT_LAST = "highest valid AUROC", "last epoch"


class AbstainBand(BaseModel):
    """The abstain band: for each class, the lowest score at which it stays possible, and the patients used to set it.

    An image is not abstained when its predicted class is the only one whose score reaches `lowest`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    level: float  # share of the new images of each class whose true class stays possible
    lowest: dict[str, float]
    patients: dict[str, int]


class GateKinds(BaseModel):
    """How many of `images` valid images the out-of-distribution (OOD) gate marks, as they are and changed, by kind.

    `fresh`: whether they did not set its limit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    images: int
    fresh: bool
    marked: dict[str, int]

    @property
    def counted_on(self) -> str:
        """Which images were counted."""
        which = (
            f"{self.images} valid images that did not set"
            if self.fresh
            else f"{self.images} of the valid images that set"
        )
        return f"counted on {which} its limit, each unchanged and with each change"

    def said(self) -> str:
        """The shares, e.g. '60 of 60 blurred, 0 of 60 unchanged', and on which images they were counted."""
        shares = ", ".join(f"{n} of {self.images} {kind}" for kind, n in self.marked.items())
        return f"{shares}; {self.counted_on}"


class Card(BaseModel):
    """Everything needed to get scores from the weights; holds no path, file name or patient key."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_version: Literal[1] = 1
    plainfilm: str = __version__
    notice: str = RESEARCH_ONLY
    task: Literal["single"] = "single"
    model: ModelConfig
    vocab: list[str]
    positive: str | None
    decode: dict[str, Any]  # DecodeSpec
    mean: tuple[float, ...]
    std: tuple[float, ...]
    temperature: float = 1.0
    bias: dict[str, float] = {}  # by class, added to logits / temperature; {} = none
    threshold: float | None
    threshold_rule: str
    threshold_chosen_on: str
    threshold_range: ThresholdRange | None = None
    band: AbstainBand | None = None
    recalibration: Recalibration | None = None
    gate_sha256: str | None = None  # of gate.safetensors, the out-of-distribution (OOD) gate
    gate_kinds: GateKinds | None = None  # None: not measured
    precision: Literal["fp32", "bf16"] = "fp32"  # of the training steps; every score is fp32
    kept_phase: int
    kept_epoch: int
    kept_by: str
    split: str
    leaky: bool
    has_patients: bool
    seal: str | None
    notes: list[str]
    weights_sha256: str
    initial_weights: dict[str, Any] | None = None  # kind, sha256, key report

    @property
    def positive_index(self) -> int | None:
        """Position of the positive class in `vocab`; None for more than two classes."""
        return None if self.positive is None else self.vocab.index(self.positive)

    @property
    def scaling(self) -> Scaling:
        """From logits to scores."""
        return Scaling(self.temperature, tuple(self.bias[name] for name in self.vocab) if self.bias else ())


def write_card(run: RunDir, card: Card) -> None:
    """Save card.json."""
    write_file(run, run.card, dump_json(card.model_dump(mode="json")))


def _refuse_newer(run: RunDir) -> None:
    """Raise DataError for a card that is intact but was written by another version."""
    try:
        raw = parsed_json(read_verified(run, run.card), run.card)
        version, unknown = raw["schema_version"], sorted(raw.keys() - Card.model_fields.keys())
        unknown += [f"model.{key}" for key in sorted(raw["model"].keys() - ModelConfig.model_fields.keys())]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return  # missing or damaged: read_card reports it
    if version != 1 or unknown:
        what = (
            f"schema {found_value(version)}" if version != 1 else f"unknown keys: {some([key[:80] for key in unknown])}"
        )
        raise DataError(
            f"The run {run.root} was written by another version of plainfilm ({str(raw.get('plainfilm', 'unknown'))[:80]}; {what}); "
            f"this is {__version__}. Use the version that wrote it, or a newer one."
        )


def has_own_weights(run: RunDir) -> bool:
    """Whether the weights are those that card.json describes, be it of any version; not where one is absent or damaged."""
    try:
        return bool(sha256_of(run.weights) == parsed_json(read_verified(run, run.card), run.card)["weights_sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def seal_on_card(run: RunDir) -> str | None:
    """The seal on card.json, be it of any version; that of status.json where the card is absent or damaged."""
    try:
        seal = parsed_json(read_verified(run, run.card), run.card)["seal"]
    except (OSError, ValueError, KeyError, TypeError):
        seal = run.read_status().get("seal")
    return None if seal is None else str(seal)


def was_trained_in_bf16(run: RunDir) -> bool:
    """Whether card.json, be it of any version, says so; not where it is absent or damaged."""
    try:
        return bool(parsed_json(read_verified(run, run.card), run.card)["precision"] == "bf16")
    except (OSError, ValueError, KeyError, TypeError):
        return False


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        why = str(getattr(error, "strerror", None) or type(error).__name__)
        raise DataError(f"{path} cannot be read ({why}). Restore it from a backup, or train again.") from None


def read_card(run: RunDir) -> Card:
    """The card of a run, after checking that the weights are those it describes.

    Raises:
        DataError: card or weights are missing or changed.
    """
    _refuse_newer(run)
    with _named(run.card):
        card = json_model(Card, read_verified(run, run.card), run.card)
    with _named(run.weights):
        weights = read_regular(run.weights)
    if hashlib.sha256(weights).hexdigest() != card.weights_sha256:
        raise DataError(
            f"model.safetensors of {run.root} is not the file its card describes. Restore it, or train again."
        )
    return card
