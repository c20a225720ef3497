"""The documents that `--json` prints, one pydantic model per command.

Keys may be added, never renamed; `schema_version` goes up if a rename is unavoidable.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, computed_field, model_validator

from plainfilm.schemas.calibration import Reliability
from plainfilm.schemas.evaluate import AtPrevalence, BaselineDifference, DecisionCurve, External, PerPatient, Subgroups
from plainfilm.schemas.evaluate import Metric as Metric
from plainfilm.schemas.macro_mean import MacroMean
from plainfilm.schemas.marks import DRAWN as DRAWN
from plainfilm.schemas.marks import HEAT_MAPS as HEAT_MAPS
from plainfilm.schemas.marks import IDENTITY as IDENTITY
from plainfilm.schemas.marks import marks as marks
from plainfilm.schemas.operating import AbstainBandReport, OODGateReport, ThresholdRange
from plainfilm.schemas.patient_patterns import PatientPattern

RESEARCH_ONLY = "Research use only; not a medical device."


class Document(BaseModel):
    """Fields of every document."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_version: Literal[1] = 1


class _PatientCounts(BaseModel):
    """`patients` as they are resampled: keys that may be one patient count once; None without a patient key.
    `patient_keys`: the distinct keys; None in documents of earlier versions."""

    patients: int | None
    patient_keys: int | None = None

    def more_keys(self) -> str:
        """' (72 keys)' where keys were joined, else ''."""
        return "" if self.patient_keys in (None, self.patients) else f" ({self.patient_keys:,} keys)"


class SplitCounts(_PatientCounts):
    """Size of one split."""

    images: int
    classes: dict[str, int]


class DataCounts(_PatientCounts):
    """Accounting of all files: found = used + quarantined + duplicates + ignored."""

    found: int
    used: int
    quarantined: int
    duplicates: int
    ignored: int
    identical_files: int
    classes: dict[str, int]
    splits: dict[str, SplitCounts]


class ShortcutBaseline(BaseModel):
    """The shortcut baseline: probes that see no fine detail, on the same images; `best` was chosen on valid.

    `beyond`: share of the discordant pairs (the best probe ranks them wrongly) that the network ranks correctly;
    `difference`: the network minus the best probe.
    """

    best: str | None
    auroc: Metric | None
    probes: dict[str, Metric]
    beyond: Metric | None = None
    difference: BaselineDifference | None = None


_BASELINE_KEYS = ("shortcut_baseline", "no_lungs_needed")  # the second is the older one


def _baseline_of(document: Mapping[str, Any]) -> Any:
    """The shortcut baseline of a document under either of its keys; the newer one unless it is empty."""
    return next((document[key] for key in _BASELINE_KEYS if document.get(key)), None)


class ReadsEitherKey(BaseModel):
    """Reads the shortcut baseline under its key or the older one, `no_lungs_needed`."""

    @model_validator(mode="before")
    @classmethod
    def _either_key(cls, found: Any) -> Any:
        if not isinstance(found, Mapping):
            return found
        rest = {key: value for key, value in found.items() if key not in _BASELINE_KEYS}
        return {**rest, "shortcut_baseline": _baseline_of(found)}


class HasShortcutBaseline(ReadsEitherKey):
    """Has the shortcut baseline; its older key is written too."""

    shortcut_baseline: ShortcutBaseline | None = None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def no_lungs_needed(self) -> ShortcutBaseline | None:
        return self.shortcut_baseline


class Timing(BaseModel):
    """Time and memory of the run on this machine; `epochs_seconds` of `seconds` went into the epochs."""

    seconds: float
    epochs_seconds: float
    train_img_per_s: float
    peak_rss_mb: float


class Confusion(BaseModel):
    """Counts of images: a row per true class, a column per predicted class."""

    labels: list[str]
    rows: list[list[int]]


class ModelRow(BaseModel):
    """One network. `parameters`: at `size_px` with two classes. `imagenet`: 'here', 'can be fetched' or 'none'; `file`:
    name of those weights. `installed`: whether the library that builds the network is installed. `package`: what holds
    the weights for pip; `in_package`: whether it is installed."""

    name: str
    family: Literal["scratch", "backbone"]
    library: str
    installed: bool
    size_px: int
    min_size_px: int
    channels: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    parameters: int | None
    phases: list[str]
    imagenet: Literal["here", "can be fetched", "none"]
    file: str | None
    package: str | None
    in_package: bool
    licence: str
    weights_licence: str
    source: str


class ModelsDocument(Document):
    """`plainfilm models --json`."""

    models: list[ModelRow]


class LrFindDocument(Document):
    """`plainfilm lr-find --json`; a suggestion is None if the curve is too short for it, all are if it is `flat`; then
    `lr` is what `--lr auto` takes without one. `phase`: the phase examined, from 1; `option`: the option of train that
    takes this rate."""

    suggestions: dict[Literal["valley", "slide", "minimum", "steep"], float | None]
    lr: float
    flat: bool = False
    phase: int = 1
    option: str = "--lr"
    figure: str
    curve: str
    notes: list[str]


class TrainDocument(Document, HasShortcutBaseline):
    """`plainfilm train --json`; a dry run has no run, no metrics and no timing. `patient_patterns`: what a dry run proposes
    as --patient-pattern where images have no patient key."""

    run: str | None
    data: DataCounts
    positive: str | None
    threshold: float | None
    threshold_rule: str | None
    threshold_chosen_on: str | None = None
    temperature: float | None = None
    bias: dict[str, float] = {}
    threshold_range: ThresholdRange | None = None
    best_epoch: int | None
    notes: list[str]
    metrics: dict[str, dict[str, Metric]]
    macro: dict[str, MacroMean] = {}  # of the metrics of valid that are means over some of the classes
    estimate_seconds: float
    timing: Timing | None
    patient_patterns: list[PatientPattern] = []


class ChangeScore(BaseModel):
    """Scores of the valid images after one change; `log_loss` in nats, the mean over the images; `marked`: share that
    the out-of-distribution (OOD) gate marks, None without a gate."""

    change: str
    auroc: Metric
    log_loss: float
    marked: float | None = None


class EvaluateDocument(Document, HasShortcutBaseline):
    """`plainfilm evaluate --json` and `show --json`.

    `inputs`: SHA-256 of each file of the run that the numbers come from, and the version of plainfilm; empty in documents
    of earlier versions. `notes`: where saved numbers are shown, also what has changed since. `written`: files of the run that this command wrote, none where saved numbers are shown.
    """

    run: str
    split: str
    opened: int
    opened_set: int
    threshold: float | None
    positive: str | None
    notes: list[str]
    metrics: dict[str, Metric]
    metrics_at_half: dict[str, Metric]
    per_class: dict[str, dict[str, Metric]]
    top_3_accuracy: Metric | None = None  # the true class is among the three highest scores; from five classes on
    macro: dict[str, MacroMean] = {}  # of the metrics that are means over some of the classes
    likelihood_ratios: dict[str, Metric] = {}  # `positive` (LR+) and `negative` (LR-), two classes only
    confusion: Confusion
    changes: list[ChangeScore] = []  # only for the split valid-shifted
    temperature: float = 1.0
    bias: dict[str, float] = {}
    threshold_range: ThresholdRange | None = None
    reliability: Reliability | None = None
    band: AbstainBandReport | None = None
    gate: OODGateReport | None = None
    per_patient: PerPatient | None = None  # None without a patient key
    at_prevalence: list[AtPrevalence] = []
    decision_curve: DecisionCurve | None = None  # two classes only
    subgroups: Subgroups | None = None
    external: External | None = None
    unadapted: dict[str, Metric] = {}  # of external images, at the operating point before the run was recalibrated
    inputs: dict[str, str] = {}
    written: list[str] = []


class ReportDocument(Document):
    """`plainfilm report --json`; `split`: the split shown on the first screen; CLAIM items are those of 2024;
    `claim_by_people`: those of `claim_reported` that card.yaml alone fills; `card_open`: its fields without a text."""

    run: str
    out: str
    split: str
    bytes: int
    names: bool
    sections: list[str]
    caveats: list[str]
    claim_reported: int
    claim_by_people: int = 0
    claim_not_reported: int
    card_open: int = 0


class CardField(BaseModel):
    """A field of card.yaml; `claim`: the items of CLAIM 2024 that it fills; `text`: null where it is open."""

    name: str
    in_model_card: bool
    claim: list[int]
    question: str
    text: str | None


class CardDocument(Document):
    """`plainfilm card --json`; `open`: fields without a text; `written`: whether this command wrote `file`."""

    run: str
    file: str
    written: bool
    open: int
    fields: list[CardField]


class ExportDocument(Document):
    """`plainfilm export --json`; `files`: bytes by name; `differences` of ONNX from torch, the largest for each output;
    `not_reported`: fields of MODEL_CARD.md that no person has filled in; `parent_sha256`: of the MANIFEST.json of the
    version before, where the run holds one with another card.yaml."""

    run: str
    out: str
    files: dict[str, int]
    bytes: int
    opset: int
    pictures: int
    differences: dict[str, float]
    not_reported: int
    parent_sha256: str | None = None
    notes: list[str]


class PredictDocument(Document):
    """`plainfilm predict --json`: counts of the images; the rows themselves are in `out`.

    `called`: images by predicted class; `unsure`: abstained, null without an abstain band; `unlike`: out of distribution, null without a gate; `failed`: rows with an
    error; `left_out`: what folders and globs hold and no row tells of, by rule, each once: files that are not images, `link`
    (not followed), `named twice` (scored once), `empty folder`; `notes`: warnings that belong with every score, from the bundle's card.
    """

    bundle: str
    out: str | None
    pictures: int
    scored: int
    failed: int
    called: dict[str, int]
    unsure: int | None
    unlike: int | None
    left_out: dict[str, int]
    threshold: float | None
    seconds: float
    notes: list[str] = []
