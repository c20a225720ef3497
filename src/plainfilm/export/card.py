"""card.json of a bundle: the run's card, and everything that must travel with a model to be judged without its run."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from plainfilm.card import Card
from plainfilm.schemas import DataCounts, Metric, NoLungs


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
    on `pictures` pictures, relative where the values are above 1."""

    opset: int
    input: tuple[int, int, int]  # c, h, w
    outputs: tuple[str, ...]
    pictures: int
    compared_on: str
    differences: dict[str, float]


class SplitScores(_Block):
    """What was measured on one set of images, and how often it was opened."""

    opened: int
    opened_by_all_runs: int
    threshold: float | None
    metrics: dict[str, Metric]
    metrics_at_half: dict[str, Metric]
    no_lungs_needed: NoLungs | None = None
    band_kept: Metric | None = None
    band_error: Metric | None = None
    gate_marked: Metric | None = None


class BundleCard(Card):
    """Everything that turns pictures into scores and calls, and that says what they are worth.

    `data_sha256`: of the sorted (file hash, label) of all images; `split_sha256`: of (file hash, label, split).
    `metrics`: by set of images (valid, test, external-<8 hex>). `test_opened_by_all_runs`: looks at the test set by the
    run and those beside it, as far as its folder tells. Holds no path, file name or patient key.
    """

    architecture: Architecture
    onnx: OnnxFacts
    data: DataCounts
    data_sha256: str
    split_sha256: str
    metrics: dict[str, SplitScores]
    test_opened_by_all_runs: int = 0
    versions: dict[str, str]
    trained: str  # UTC

    @property
    def size_px(self) -> int:
        """Side of the square picture that the network sees."""
        return int(self.decode["size_px"])

    @property
    def channels(self) -> int:
        """1 (grey) or 3 (RGB)."""
        return int(self.decode["channels"])
