"""The documents of `phantom`, `split`, `audit`, `cache` and `doctor`: everything before training."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from plainfilm.schemas.documents import DataCounts, Document
from plainfilm.schemas.evaluate import Metric
from plainfilm.schemas.patient_patterns import PatientPattern


class Planted(BaseModel):
    """Known faults of a synthetic set. Paths are relative to its folder, with '/'; the second of a pair is the copy."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    shortcut: Literal["none", "jpeg", "marker"] = "none"
    marked: list[str] = []  # files with the marker, copies included
    duplicates: list[tuple[str, str]] = []
    near_duplicates: list[tuple[str, str]] = []
    near_duplicate_changes: list[str] = []  # one for each pair, e.g. 'jpeg 73'
    label_conflicts: list[tuple[str, str]] = []
    shared_patients: list[str] = []  # numbers as in the file names, e.g. '00012'


class PhantomDocument(Document):
    """`plainfilm phantom --json`; `images`, `patients` and `classes` count the contents of the folder."""

    out: str
    images: int
    patients: int
    size_px: int
    seed: int
    classes: dict[str, int]
    planted: Planted = Planted()


class SplitDocument(Document):
    """`plainfilm split --json`."""

    out: str
    kind: str
    leaky: bool
    seed: int
    data: DataCounts
    seal: str | None
    notes: list[str]


class Proposal(BaseModel):
    """Another value of a config key that may be right, and why; it is not applied."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    key: str
    value: str
    why: str


class InitDocument(Document):
    """`plainfilm init --json`. `bits`: stored depth of integers above 8 bits, null where there are none; `sides_px`: the
    smallest and the largest of the images' smaller sides; `config`: what `out` says, every key named."""

    out: str
    data: DataCounts
    positive: str | None
    bits: int | None
    channels: int
    sides_px: tuple[int, int]
    patient_patterns: list[PatientPattern]
    proposals: list[Proposal]
    notes: list[str]
    config: dict[str, Any]


class Quarantined(BaseModel):
    """An image that is not used, and why."""

    path: str
    code: str
    why: str


class Ignored(BaseModel):
    """A file that a rule excludes."""

    path: str
    rule: str


class Shortcut(BaseModel):
    """How well a classifier that sees no fine detail separates the classes.

    `pixels`: 'file' (file facts only), 'plain' (as decoded) or 'harmonised'.
    """

    probe: str
    pixels: Literal["file", "plain", "harmonised"]
    auroc: Metric
    banner: bool


class AuditDocument(Document):
    """`plainfilm audit --json`; paths are relative to DATA.

    `patients_across_splits`: of the patient keys that are known; None where no image has one: it is unknown.
    `patient_patterns`: what --patient-pattern could be for the images without a key; none is applied. `verdict`, the
    gravest first: fail, warn, unknown, ok. It is unknown where nothing fails or warns, and no probe is estimable, or
    there are two given folders or more and an image without a patient key.
    """

    data: str
    found: int
    used: int
    classes: dict[str, dict[str, Any]]
    quarantined: list[Quarantined]
    dropped_duplicates: int
    ignored: list[Ignored]
    duplicates: list[list[str]]
    near_duplicates: list[list[str]]
    label_conflicts: list[list[str]]
    patients_across_splits: list[str] | None
    duplicates_across_splits: list[list[str]]
    patients: int | None  # as they are resampled
    patient_keys: int | None = None
    positive: str | None
    shortcuts: list[Shortcut]
    verdict: Literal["ok", "unknown", "warn", "fail"]
    notes: list[str]
    page: str
    patient_patterns: list[PatientPattern]


class CacheEntry(BaseModel):
    """One part of the cache folder."""

    name: str
    what: str
    files: int
    bytes: int


class CacheDocument(Document):
    """`plainfilm cache ls --json`; after `cache clear` the entries are those removed."""

    folder: str
    removed: bool
    bytes: int
    entries: list[CacheEntry]


class Lever(BaseModel):
    """A speed setting: `on` or off, and `what` it does; `switch`: the option of train, or environment variable, for off."""

    name: str
    on: bool
    what: str
    switch: str


class CacheFacts(BaseModel):
    """Where decoded images are kept, and the free space there."""

    folder: str
    bytes: int
    free_bytes: int
    writable: bool


class DoctorDocument(Document):
    """`plainfilm doctor --json`; None where the system does not report it. `others_cores`: cores that other processes
    keep busy; `slowdown`: time of a training step beside them, in times its time alone."""

    versions: dict[str, str]
    python: str
    platform: str
    processors: int
    cores: int | None
    threads: int
    devices: list[str]
    load: float | None
    others_cores: float
    slowdown: float
    memory_free_bytes: int | None
    cache: CacheFacts
    levers: list[Lever]
    warnings: list[str]
