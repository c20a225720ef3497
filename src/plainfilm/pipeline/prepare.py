"""The first step of train, lr-find and split: DATA and config become a table, a split and a decode spec."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from plainfilm.base.events import EventCallback
from plainfilm.base.listing import NAMED, some
from plainfilm.config import DataConfig, ExperimentConfig, PhantomConfig
from plainfilm.data.audit.patient_patterns import propose_patterns
from plainfilm.data.cache.store import cache_folder
from plainfilm.data.image import sandbox
from plainfilm.data.image.decode import DecodeSpec
from plainfilm.data.split.exclude import leave_out
from plainfilm.data.split.few_images import few_images_note
from plainfilm.data.split.identities import IDENTITY_NOTE, without_patients
from plainfilm.data.split.splits import Split, count, make_split
from plainfilm.data.split.subsample import keep_per_class
from plainfilm.data.split.valid_roles import calibrates, cut_valid
from plainfilm.data.synthetic.drawn_files import drawn_note
from plainfilm.data.table.image_table import ImageTable, build_table
from plainfilm.data.table.positive_class import BY_ALPHABET, positive_of_two
from plainfilm.errors import ConfigError, DataError, UsageError
from plainfilm.evaluate.operating.thresholds import patients_for
from plainfilm.evaluate.test_ledger import images_of, seal_of
from plainfilm.schemas.documents import DataCounts
from plainfilm.schemas.patient_patterns import PatientPattern


@dataclass(frozen=True)
class Prepared:
    """Everything known before a network is built; `positive` is None for more than two classes."""

    table: ImageTable
    split: Split
    counts: DataCounts
    positive: str | None
    spec: DecodeSpec

    @property
    def vocab(self) -> list[str]:
        """Class names in the order of the network's outputs."""
        return self.table.classes

    @property
    def seal(self) -> str | None:
        """Fingerprint of the test rows; None if there are none."""
        return seal_of(self.split.of("test")) if self.split.has_test else None

    @property
    def images(self) -> str | None:
        """Fingerprint of the test images under any labels; None if there are none."""
        return images_of(self.split.of("test")) if self.split.has_test else None

    @property
    def undeclared_patterns(self) -> list[PatientPattern]:
        """Patterns for the images without a patient key; of identities all have one, which their split leaves out."""
        return [] if IDENTITY_NOTE in self.split.notes else propose_patterns(self.table.rows)


def prepare(cfg: ExperimentConfig, on_event: EventCallback) -> Prepared:
    """Scan, split and count; opens every file once; writes only into the cache folder (facts, and the phantom set if
    no DATA is given).

    Raises:
        PlainfilmError: the data, the split or the positive class is refused.
    """
    path = Path(cfg.data.path) if cfg.data.path else default_phantom(cfg.data.phantom, on_event)
    with sandbox.used(cfg.data.sandbox, option=True):
        table = build_table(path, cfg.data, lambda done, of: on_event("scan", {"done": done, "of": of}))
    positive = pick_positive(table.classes, cfg.data)
    split = make_split(table, cfg.data, cfg.train.seed)
    table = without_patients(table) if (split.rows["patient"] == "").all() else table  # a split of identities has none
    if cfg.data.exclude is not None:
        table, split = leave_out(table, split, Path(cfg.data.exclude))
    if cfg.data.per_class is not None:
        table, split = keep_per_class(table, split, cfg.data.per_class, cfg.train.seed)
    split = cut_valid(split, table.classes, cfg.train.seed)
    _refuse_unreachable_bound(cfg.evaluate.threshold, split, positive)
    split = replace(split, notes=_all_notes(table, split, cfg.data))
    counts = count(table, split)
    spec = decode_spec(cfg, table)
    on_event(
        "data", {"path": str(path), "counts": counts, "positive": positive, "split": split, "excluded": table.excluded}
    )
    return Prepared(table, split, counts, positive, spec)


def _refuse_unreachable_bound(rule: str, split: Split, positive: str | None) -> None:
    """Refuse a bound whose confidence the calibrate patients cannot give, before training and not after it."""
    held, needed = patients_for(rule)
    if positive is None or not needed:
        return
    rows = split.rows[calibrates(split.rows)]
    of_class = (rows["label"] == positive) == (held == "sensitivity")
    found = rows.loc[of_class, "group"].nunique()
    if found < needed:
        raise UsageError(
            f"--threshold {rule} needs {needed} {'positive' if held == 'sensitivity' else 'negative'} patients among the valid "
            f"images that choose it; found {found}. Use a lower bound or confidence, or give valid a larger share (data.shares)."
        )


def _all_notes(table: ImageTable, split: Split, cfg: DataConfig) -> tuple[str, ...]:
    return (
        *drawn_note(split.rows),
        *table.notes,
        *positive_note(table.classes, cfg),
        *split.notes,
        *few_images_note(split.rows),
    )


def decode_spec(cfg: ExperimentConfig, table: ImageTable) -> DecodeSpec:
    """How the files of this table become pixels."""
    data = cfg.data
    channels = 1 if data.harmonise else table.channels
    return DecodeSpec(
        cfg.train.size_px, channels=cast(Any, channels), resize=data.resize, bits=table.bits, tiff=data.tiff,
        frame=data.frame, harmonise=data.harmonise, requantise=data.requantise,
        megapixels=data.max_megapixels,
    )  # fmt: skip


def pick_positive(classes: list[str], cfg: DataConfig) -> str | None:
    """Name of the positive class: the user's, else of two the one whose name is not negative, else the last by alphabet.

    Raises:
        ConfigError: the name is not a class, or there are more than two classes.
    """
    if cfg.positive is not None and cfg.positive not in classes:
        raise ConfigError(
            f"--positive {cfg.positive!r} is not a class; found {some(classes, NAMED)}. Names are case-sensitive."
        )
    if len(classes) > 2:
        if cfg.positive is not None:
            raise ConfigError(
                f"--positive needs two classes; found {len(classes)}. Leave it out: each class is set against the rest."
            )
        return None
    if cfg.positive is not None:
        return cfg.positive
    return _present(classes, cfg) or positive_of_two(*classes)[0]


def _present(classes: list[str], cfg: DataConfig) -> str | None:
    """With --one-label the label itself, whatever its name says: 'no finding' too."""
    return next((name for name in classes if cfg.one_label and f"no {name}" in classes), None)


def positive_note(classes: list[str], cfg: DataConfig) -> list[str]:
    """The note of every output where neither the user nor the names of two classes say which one is positive."""
    if len(classes) != 2 or cfg.positive is not None or _present(classes, cfg):
        return []
    positive, decided = positive_of_two(*classes)
    return [] if decided else [f"{positive!r} is the {BY_ALPHABET}."]


def default_phantom(cfg: PhantomConfig, on_event: EventCallback) -> Path:
    """The folder of the synthetic set, used without DATA; drawn at the first use, then kept in the cache folder."""
    from plainfilm import __version__
    from plainfilm.data.synthetic.phantom import write_phantom
    from plainfilm.errors import OccupiedError

    folder = cache_folder() / f"phantom-{__version__}" / f"{cfg.images}-{cfg.size_px}px-seed{cfg.seed}"
    drawn = folder.is_dir()
    on_event("phantom", {"folder": str(folder), "drawn": drawn, "images": cfg.images})
    if not drawn:
        with contextlib.suppress(OccupiedError):  # another process has drawn the same set meanwhile
            try:
                write_phantom(
                    folder,
                    images=cfg.images,
                    size_px=cfg.size_px,
                    seed=cfg.seed,
                    progress=lambda done: on_event("draw", {"done": done, "of": cfg.images}),
                )
            except OSError as error:
                raise DataError(
                    f"The phantom set cannot be drawn into {folder} ({error.strerror}). Set PLAINFILM_CACHE to a "
                    "writable folder, or give DATA."
                ) from None
    return folder


def keep_out_of_data(out: Path, cfg: ExperimentConfig) -> None:
    """Refuse an output folder inside DATA: its figures would be read as images of a class the next time."""
    data = Path(cfg.data.path).resolve() if cfg.data.path else None
    if data is not None and data.is_dir() and out.resolve().is_relative_to(data):
        raise UsageError(f"The output {out} is inside DATA ({data}). Choose an --out elsewhere.")
