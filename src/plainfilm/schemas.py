"""The documents that `--json` prints, one pydantic model per command.

Keys may be added, never renamed; `schema_version` counts the renames that had to happen anyway.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

RESEARCH_ONLY = "Research use only; not a medical device."


def marks(notes: list[str]) -> str:
    """What every title must carry: 'LEAKY SPLIT: ' or 'VALIDATION ONLY: ', from the notes that begin so; else ''."""
    found = [mark for mark in ("LEAKY SPLIT", "VALIDATION ONLY") if any(note.startswith(mark) for note in notes)]
    return ", ".join(found) + ": " if found else ""


class Document(BaseModel):
    """What all documents share."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_version: Literal[1] = 1


class Metric(BaseModel):
    """One number with its 95 % interval.

    `n` counts the images in the metric's own denominator, `n_patients` the patients they belong to (None: no
    patient key). `value` is None when the metric cannot be estimated, for example a sensitivity without positives.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    value: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    n_patients: int | None
    method: str


class SplitCounts(BaseModel):
    """Size of one split; `patients` is None where no patient key is known."""

    images: int
    patients: int | None
    classes: dict[str, int]


class DataCounts(BaseModel):
    """Where every file went: found = used + quarantined + duplicates + ignored."""

    found: int
    used: int
    quarantined: int
    duplicates: int
    ignored: int
    identical_files: int
    patients: int | None
    classes: dict[str, int]
    splits: dict[str, SplitCounts]


class Timing(BaseModel):
    """What the run cost on this machine."""

    seconds: float
    train_img_per_s: float
    peak_rss_mb: float


class Confusion(BaseModel):
    """Counts of images: a row per true class, a column per predicted class."""

    labels: list[str]
    rows: list[list[int]]


class PhantomDocument(Document):
    """`plainfilm phantom --json`."""

    out: str
    images: int
    patients: int
    size_px: int
    seed: int
    classes: dict[str, int]


class SplitDocument(Document):
    """`plainfilm split --json`."""

    out: str
    kind: str
    leaky: bool
    seed: int
    data: DataCounts
    seal: str | None
    notes: list[str]


class LrFindDocument(Document):
    """`plainfilm lr-find --json`; a suggestion is None where the curve is too short for it."""

    suggestions: dict[Literal["valley", "slide", "minimum", "steep"], float | None]
    lr: float
    figure: str
    curve: str
    notes: list[str]


class TrainDocument(Document):
    """`plainfilm train --json`; a dry run has no run, no metrics and no timing."""

    run: str | None
    data: DataCounts
    positive: str | None
    threshold: float | None
    threshold_rule: str | None
    best_epoch: int | None
    notes: list[str]
    metrics: dict[str, dict[str, Metric]]
    estimate_seconds: float
    timing: Timing | None


class EvaluateDocument(Document):
    """`plainfilm evaluate --json`."""

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
    confusion: Confusion


class Confused(BaseModel):
    """A pair of classes that were mistaken for each other, in this direction."""

    truth: str
    called: str
    images: int


class InterpretDocument(Document):
    """`plainfilm interpret --json`."""

    run: str
    split: str
    figures: dict[str, str]
    notes: list[str]
    confused: list[Confused]
