"""card.json of a bundle: the run's card, and everything needed to judge a model without its run."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from plainfilm.config.strict_yaml import dump_yaml
from plainfilm.data.errors import MEGAPIXELS, MOST_MEGAPIXELS
from plainfilm.data.image.decode import DecodeSpec
from plainfilm.data.image.modes import DEPTHS
from plainfilm.data.image.resize import ResizeMode
from plainfilm.runs.card import Card
from plainfilm.runs.people_card import of_bundle
from plainfilm.schemas.calibration import MeanCalibration
from plainfilm.schemas.documents import DataCounts, HasShortcutBaseline, Metric
from plainfilm.schemas.macro_mean import MacroMean
from plainfilm.schemas.marks import marks
from plainfilm.schemas.number_text import limits_text


class _Block(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Architecture(_Block):
    """The network, as the registry knows it."""

    name: str
    family: str
    library: str
    source: str
    parameters: int
    licence: str
    weights_licence: str  # of the weights that training started from; '' from scratch


class OnnxFacts(_Block):
    """model.onnx: input uint8 `image` (n, c, h, w) as decode() gives it; `differences` from torch by output, the largest
    over `pictures` images, relative where the values are above 1."""

    opset: int
    input: tuple[int, int, int]  # c, h, w
    outputs: tuple[str, ...]
    pictures: int
    compared_on: str
    differences: dict[str, float]


class SplitScores(_Block, HasShortcutBaseline):
    """What was measured on one set of images, and how often it was accessed."""

    opened: int
    opened_by_all_runs: int
    threshold: float | None
    metrics: dict[str, Metric]
    metrics_at_half: dict[str, Metric]
    top_3_accuracy: Metric | None = None
    band_kept: Metric | None = None
    band_error: Metric | None = None
    gate_marked: Metric | None = None
    calibration: MeanCalibration | None = None
    macro: dict[str, MacroMean] = {}


class _Decoding(_Block):
    """The fields of DecodeSpec, checked: a card may come from anywhere."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    size_px: int = Field(gt=0, le=2048)  # the largest that training allows
    channels: Literal[1, 3] = 1
    resize: ResizeMode = "squish"
    bits: int | None = None
    tiff: bool = False
    frame: int | None = Field(None, ge=0)
    harmonise: bool = False
    requantise: int | None = Field(None, ge=2, le=256)
    megapixels: int = Field(MEGAPIXELS, ge=1, le=MOST_MEGAPIXELS)


class BundleCard(Card):
    """Everything that turns images into scores and predicted classes, and says what they are worth.

    `data_sha256`: of the sorted (file hash, label) of all images; `split_sha256`: of (file hash, label, split).
    `metrics`: by set of images (valid, test, external-<8 hex>). `test_opened_by_all_runs`: accesses to the test set by
    the run and those beside it, as far as its folder shows. `parent_sha256`: of the MANIFEST.json of the version before,
    whose people said something else. Holds no path, file name or patient key.
    """

    architecture: Architecture
    onnx: OnnxFacts
    data: DataCounts
    data_sha256: str
    split_sha256: str
    metrics: dict[str, SplitScores]
    test_opened_by_all_runs: int = 0
    temperature_rule: str = "least log loss"
    temperature_chosen_on: str = "valid"
    versions: dict[str, str]
    trained: str  # UTC
    people: dict[str, str] = Field(default_factory=dict)  # the filled fields of card.yaml, which nobody checked
    parent_sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")

    @field_validator("people")
    @classmethod
    def people_fill_known_fields(cls, found: dict[str, str]) -> dict[str, str]:
        return of_bundle(found)

    @property
    def size_px(self) -> int:
        """Side of the square image that the network sees."""
        return int(self.decode["size_px"])

    @property
    def channels(self) -> int:
        """1 (grey) or 3 (RGB)."""
        return int(self.decode["channels"])

    def decode_spec(self) -> DecodeSpec:
        """How files become pixels.

        Raises:
            ValueError: the card does not say it.
        """
        found = _Decoding.model_validate(self.decode)
        if found.bits not in (None, *DEPTHS):
            raise ValueError("no bit depth")
        return DecodeSpec(**found.model_dump())

    def front_matter(self) -> str:
        """The metadata that Hugging Face reads at the head of a model card; numbers are of the saved test alone.

        A recalibrated bundle has none: it holds its parent's test scores, at another threshold and scaling.
        """
        found: dict[str, object] = {
            **_licence(self.people.get("licence", "")), "library_name": "plainfilm", "pipeline_tag": "image-classification",
            "tags": ["image-classification", "medical-imaging", "research-only", "onnx", self.model.name],
        }  # fmt: skip
        if "test" in self.metrics and self.recalibration is None:
            found["model-index"] = [{"name": f"plainfilm {self.model.name}", "results": [_result(self)]}]
        return f"---\n{dump_yaml(found)}---\n"

    def is_sound(self) -> bool:
        """Whether it can turn outputs into scores and predicted classes: names, threshold, temperature, bias and band fit together."""
        names = all(self.vocab) and len(set(self.vocab)) == len(self.vocab) > 1
        binary = self.positive in self.vocab and len(self.vocab) == 2
        threshold = self.threshold is not None and 0 <= self.threshold <= 1
        operating_point = binary and threshold if self.positive is not None else self.threshold is None
        band = self.band is None or (
            set(self.band.lowest) == set(self.vocab) and all(0 <= lowest <= 1 for lowest in self.band.lowest.values())
        )
        bias = set(self.bias) in (set(), set(self.vocab)) and all(map(math.isfinite, self.bias.values()))
        return names and operating_point and band and bias and math.isfinite(self.temperature) and self.temperature > 0


# Licences by the identifiers that Hugging Face knows; any other text becomes `other` with its name.
_LICENCES = frozenset({
    "apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "gpl-2.0", "gpl-3.0", "agpl-3.0", "lgpl-3.0", "mpl-2.0", "cc0-1.0", "cc-by-4.0",
    "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0", "openrail", "unlicense",
})  # fmt: skip
_HUB_METRICS = {
    "auroc": ("roc_auc", "AUROC"), "accuracy": ("accuracy", "Accuracy"), "sensitivity": ("recall", "Sensitivity"),
    "specificity": ("specificity", "Specificity"),
}  # fmt: skip


def _licence(text: str) -> dict[str, str]:
    known = text.casefold().replace(" ", "-")
    if not text or known in _LICENCES:
        return {"license": known} if text else {}
    return {"license": "other", "license_name": text[:80]}


def _result(card: BundleCard) -> dict[str, object]:
    """The scores on test, with what makes them say less in the name of the set."""
    metrics = card.metrics["test"].metrics
    shown = [
        {
            "type": kind,
            "value": round(found.value, 4),
            "name": f"{name} {limits_text(found.ci_low, found.ci_high)} n {found.n}",
            "verified": False,
        }
        for key, (kind, name) in _HUB_METRICS.items()
        if (found := metrics.get(key)) is not None and found.value is not None
    ]
    dataset = {"type": f"sha256-{card.split_sha256[:12]}", "name": f"{marks(card.notes)}test images of the data with this fingerprint"}  # fmt: skip
    return {"task": {"type": "image-classification"}, "dataset": dataset, "metrics": shown}
