"""metrics.json: the one place that reads it, and its documents as the report takes them.

The documents are lenient on purpose: unknown blocks are ignored, known ones are validated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from plainfilm.base.command_line import command_line
from plainfilm.base.files import hash_json
from plainfilm.base.json_text import parsed_json
from plainfilm.errors import DataError
from plainfilm.runs.folder import RunDir
from plainfilm.runs.run_manifest import read_manifest, read_verified
from plainfilm.schemas.calibration import CalibrationCurve
from plainfilm.schemas.documents import Confusion, ReadsEitherKey
from plainfilm.schemas.evaluate import BaselineDifference, DecisionCurve, LeftOut
from plainfilm.schemas.macro_mean import MacroMean

ITSELF = "metrics.json"  # key of `inputs`: the hash of what a document says
_UNSIGNED = {"inputs", "run", "opened", "opened_set", "written"}  # may differ without an edit
_Document = TypeVar("_Document", bound=BaseModel)


class _ReadModel(BaseModel):
    """Base of all blocks."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Number(_ReadModel):
    """A value with its 95 % interval; `value` is None if it cannot be estimated; `method` says why."""

    value: float | None
    ci_low: float | None = None
    ci_high: float | None = None
    n: int | None = None
    n_patients: int | None = None
    method: str = ""


class _BaselineDifference(BaselineDifference):
    """As it is written, and also with what later versions add."""

    model_config = ConfigDict(extra="ignore")


class _Probes(_ReadModel):
    """The shortcut baseline; `beyond`: share of the discordant pairs (the best probe ranks them wrongly) that the
    network ranks correctly; `difference`: the network minus the best probe.
    """

    best: str | None = None
    auroc: Number | None = None
    probes: dict[str, Number] = {}
    beyond: Number | None = None
    difference: _BaselineDifference | None = None


class _Changed(_ReadModel):
    """Scores of the valid images after one change."""

    change: str
    auroc: Number
    log_loss: float


class _PerPatient(_ReadModel):
    """Metrics of the mean score of each patient."""

    patients: int
    disagreeing: int = 0
    metrics: dict[str, Number]
    macro: dict[str, MacroMean] = {}


class AtPrevalence(_ReadModel):
    """PPV and NPV as they would be where this share of the images is positive."""

    prevalence: float
    ppv: Number
    npv: Number


class _Subgroup(_ReadModel):
    """The images with one value of a column."""

    name: str
    images: int
    patients: int | None = None
    metrics: dict[str, Number]
    macro: dict[str, MacroMean] = {}


class _Gap(_ReadModel):
    """A metric of subgroup `a` minus that of `b`; `p_holm` is adjusted for all gaps of the table."""

    a: str
    b: str
    metric: str
    of: str | None = None
    value: float | None
    ci_low: float | None = None
    ci_high: float | None = None
    p_holm: float | None = None
    p_holm_is_floor: bool = False
    method: str = ""


class _Subgroups(_ReadModel):
    """A split by one column."""

    column: str
    among: str | None = None
    groups: list[_Subgroup]
    gaps: list[_Gap] = []
    notes: list[str] = []


class _MeanCalibration(_ReadModel):
    """Calibration in the large: mean score minus the share observed, and that share over the mean score."""

    difference: Number
    observed_expected: Number
    says: str


class _Reliability(_ReadModel):
    """What the reliability block says in numbers; the diagram is a figure."""

    curve: CalibrationCurve | None = None
    in_the_large: _MeanCalibration | None = None
    by_class: dict[str, _MeanCalibration] = {}


class _DecisionCurve(DecisionCurve):
    """As it is written, and also with what later versions add."""

    model_config = ConfigDict(extra="ignore")


class _TwoByTwo(_ReadModel):
    """Counts of images by truth and predicted class, and both rates."""

    rows: list[list[int]]
    sensitivity: Number
    specificity: Number


class _AbstainBlock(_ReadModel):
    """The abstain band and its effect on these images."""

    level: float
    lowest: dict[str, float]
    on: str
    coverage: dict[str, Number]
    kept: Number
    error_among_kept: Number
    holds: str
    with_abstained: _TwoByTwo | None = None
    without_abstained: _TwoByTwo | None = None


class _OODBlock(_ReadModel):
    """Share of these images that the out-of-distribution (OOD) gate marks."""

    on: str
    marked: Number


class _LeftOut(LeftOut):
    """As it is written, and also with what later versions add."""

    model_config = ConfigDict(extra="ignore")


class _External(_ReadModel):
    """Images that the run never saw; `drops`: external minus internal, by internal split, then by metric."""

    found: int
    used: int
    patients: int | None = None
    patient_keys: int | None = None
    drops: dict[str, dict[str, Number]] = {}
    left_out: _LeftOut | None = None


class MetricsDocument(_ReadModel, ReadsEitherKey):
    """What `evaluate` saved for one split."""

    split: str
    threshold: float | None
    positive: str | None
    notes: list[str]
    opened_set: int = 0
    metrics: dict[str, Number]
    metrics_at_half: dict[str, Number]
    per_class: dict[str, dict[str, Number]] = {}
    top_3_accuracy: Number | None = None
    macro: dict[str, MacroMean] = {}
    likelihood_ratios: dict[str, Number] = {}
    shortcut_baseline: _Probes | None = None
    confusion: Confusion
    changes: list[_Changed] = []
    per_patient: _PerPatient | None = None
    at_prevalence: list[AtPrevalence] = []
    decision_curve: _DecisionCurve | None = None
    subgroups: _Subgroups | None = None
    temperature: float = 1.0
    reliability: _Reliability | None = None
    band: _AbstainBlock | None = None
    gate: _OODBlock | None = None
    external: _External | None = None

    def metric(self, name: str) -> Number:
        """The metric, or one without a value."""
        return self.metrics.get(name) or Number(value=None, method="not computed by the version that wrote the run")


def saved_splits(run: RunDir) -> dict[str, dict[str, Any]]:
    """What `evaluate` saved for each split, by its name, not validated.

    Raises:
        DataError: the file is missing, or is no JSON object of objects, or a document is not what was saved.
    """
    try:
        found = dict(parsed_json(read_verified(run, run.metrics), run.metrics))
        del found["schema_version"]
        splits = {name: dict(part) for name, part in found.items()}
        edited = [
            name
            for name, part in splits.items()
            if part.get("inputs", {}).get(ITSELF, "") not in ("", numbers_hash(part))
        ]
    except FileNotFoundError:
        raise DataError(f"The run {run.root} has no metrics.json. {_again(run)}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise DataError(f"metrics.json of {run.root} is damaged. {_again(run)}") from None
    if edited and read_manifest(run) is not None:
        raise DataError(
            f"metrics.json of {run.root} was edited: the numbers of {edited[0]} are not those that were saved. Restore it "
            f"from a backup, or make it again: {command_line('evaluate', run.root, '--again')}"
        )
    return splits


def numbers_hash(document: dict[str, Any]) -> str:
    """SHA-256 of what the document of a split says, as JSON; an edit by hand changes it."""
    return hash_json({name: value for name, value in document.items() if name not in _UNSIGNED})


def validated_splits(run: RunDir, kind: type[_Document], names: Callable[[str], bool] = bool) -> dict[str, _Document]:
    """The saved documents as `kind`, by the name of their split, of those splits that `names` takes.

    Raises:
        DataError: the file is missing, damaged, from another version, or without the valid images.
    """
    try:
        documents = {
            name: kind.model_validate({**part, "run": str(run.root)})
            for name, part in saved_splits(run).items()
            if names(name)
        }
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"])) or "the document"
        raise DataError(
            f"metrics.json of {run.root} is damaged or from another version ({where} is invalid). {_again(run)}"
        ) from None
    if "valid" not in documents:
        raise DataError(f"metrics.json of {run.root} lacks the valid images. {_again(run)}")
    return documents


def _again(run: RunDir) -> str:
    return f"Make it again: {command_line('evaluate', run.root)}"
