"""`plainfilm audit`: check the images of DATA before training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from plainfilm.base.events import EventCallback, silent
from plainfilm.base.files import atomic_write, dump_json
from plainfilm.config import ExperimentConfig
from plainfilm.data.audit.findings import Findings, by_class, find
from plainfilm.data.audit.patient_patterns import propose_patterns
from plainfilm.data.audit.probes import PROBES, cross_validated, file_features, image_statistics
from plainfilm.data.cache.rows import PixelRows, decode_with_events
from plainfilm.data.image import sandbox
from plainfilm.data.loaders.augment import natural_note
from plainfilm.data.split.identities import IDENTITY_NOTE, without_identities
from plainfilm.data.split.splits import grouped, label_index, leaks, people
from plainfilm.data.synthetic.drawn_files import drawn_note
from plainfilm.data.table.image_table import ImageTable, scan_table
from plainfilm.errors import DataError
from plainfilm.evaluate.shortcuts.probe_baseline import shortcut_note
from plainfilm.evaluate.shortcuts.shortcut_warning import LIMIT, not_estimable, raises_banner, shortcut_metric
from plainfilm.pipeline.prepare import decode_spec, default_phantom, keep_out_of_data, pick_positive, positive_note
from plainfilm.runs.folder import RunDir
from plainfilm.schemas.data import AuditDocument, Ignored, Quarantined, Shortcut
from plainfilm.schemas.documents import Metric

_FILE_FACTS = PROBES[0]
_UNKNOWN = ", and it is unknown whether a patient is in two given folders"


def audit_data(cfg: ExperimentConfig, out: Path | None = None, on_event: EventCallback = silent) -> AuditDocument:
    """`plainfilm audit`: scan, decode and audit all images; writes audit.json and audit.html into a new folder.

    Raises:
        DataError: there is no usable image.
    """
    folder = RunDir.plan(out, "audit")
    keep_out_of_data(folder.root, cfg)
    with sandbox.used(cfg.data.sandbox, option=True):
        document, page = _audited(cfg, folder, on_event)
    folder.make()
    atomic_write(folder.root / "audit.json", dump_json(document.model_dump(mode="json")))
    atomic_write(folder.root / "audit.html", page)
    return document


def _audited(cfg: ExperimentConfig, folder: RunDir, on_event: EventCallback) -> tuple[AuditDocument, str]:
    """The document of an audit, and its page; nothing is written but into the cache."""
    path = Path(cfg.data.path) if cfg.data.path else default_phantom(cfg.data.phantom, on_event)
    table, _ = scan_table(path, cfg.data, lambda done, of: on_event("scan", {"done": done, "of": of}))
    if not len(table.rows):
        first = table.excluded[table.excluded["state"] == "quarantined"].iloc[0]
        raise DataError(
            f"None of the {table.found} files under {path} can be used (first: {first['relative']!r}, {first['code']}: "
            f"{first['why']}). Repair them, or give another folder."
        )
    plain = _decoded(cfg, table, on_event, harmonise=False)
    positive = pick_positive(table.classes, cfg.data) if len(table.classes) > 1 else None
    probes = _TableProbes(table, positive, cfg.train.seed)
    shortcuts = [probes.probe(_FILE_FACTS, "file", file_features(table.rows))]
    shortcuts += probes.pixel_probes("plain", plain, on_event)
    if cfg.data.harmonise:
        shortcuts += probes.pixel_probes("harmonised", _decoded(cfg, table, on_event, harmonise=True), on_event)
    document = _document(path, table, find(table, plain), positive, shortcuts, folder)
    document = document.model_copy(update={"notes": [*document.notes, *positive_note(table.classes, cfg.data)]})
    from plainfilm.report.audit_page import draw_page

    return document, draw_page(document, table.rows, plain, LIMIT)


def _decoded(cfg: ExperimentConfig, table: ImageTable, on_event: EventCallback, *, harmonise: bool) -> PixelRows:
    data = cfg.data.model_copy(
        update={"harmonise": harmonise, "requantise": cfg.data.requantise if harmonise else None}
    )
    spec = decode_spec(cfg.model_copy(update={"data": data}), table)
    test = (table.rows["given"] == "test").to_numpy()
    # the images of a given test folder join the cache at the first test-set access, not here
    parts = ((~test, cfg.data.cache), (test, False))
    return PixelRows.joined(
        [(part, decode_with_events(table.rows[part], spec, on_event, keep=keep)) for part, keep in parts]
    )


class _TableProbes:
    """Shortcut probes on one table, cross-validated over its groups of patients and copies."""

    def __init__(self, table: ImageTable, positive: str | None, seed: int) -> None:
        self.rows, self.seed, self.vocab, self.positive = table.rows, seed, table.classes, positive
        self.labels = label_index(self.rows, self.vocab)
        self.groups = grouped(self.rows, wide=True)["group"].to_numpy()
        self.patients = self.groups if table.has_patients else None

    def pixel_probes(self, pixels: Any, decoded: PixelRows, on_event: EventCallback) -> list[Shortcut]:
        """The probes on pixels."""
        on_event("probe", {"pixels": pixels})
        return [self.probe(name, pixels, features) for name, features in image_statistics(decoded).items()]

    def probe(self, name: str, pixels: Any, features: np.ndarray) -> Shortcut:
        """One row of the document."""
        metric = self._metric(features)
        return Shortcut(probe=name, pixels=pixels, auroc=metric, banner=raises_banner(metric))

    def _metric(self, features: np.ndarray) -> Metric:
        n = len(self.labels)
        if len(self.vocab) < 2:
            return not_estimable("one class only", n)
        try:
            probs = cross_validated(features, self.labels, self.groups, seed=self.seed, names=self.vocab)
        except DataError as error:
            return not_estimable(str(error), n)
        k = None if self.positive is None else self.vocab.index(self.positive)
        return shortcut_metric(probs, self.labels, self.groups, self.patients, positive=k, crossed=True)


def _document(
    path: Path, table: ImageTable, found: Findings, positive: str | None, shortcuts: list[Shortcut], folder: RunDir
) -> AuditDocument:
    rows, excluded = table.rows, table.excluded
    unknown = all(s.auroc.value is None for s in shortcuts) or _may_cross(rows)
    bad, ignored = (excluded[excluded["state"] == state] for state in ("quarantined", "ignored"))
    return AuditDocument(
        data=str(path), found=table.found, used=len(rows), classes=by_class(rows),
        quarantined=[Quarantined(path=r["relative"], code=r["code"], why=r["why"]) for _, r in bad.iterrows()],
        dropped_duplicates=table.count("duplicate"),
        ignored=[Ignored(path=r["relative"], rule=r["code"]) for _, r in ignored.iterrows()],
        duplicates=found.identical, near_duplicates=found.near, label_conflicts=found.conflicts,
        patients_across_splits=found.across_patients, duplicates_across_splits=found.across_identical,
        **people(rows, table.has_patients), positive=positive, shortcuts=shortcuts,
        verdict=found.verdict(any(shortcut.banner for shortcut in shortcuts), unknown),
        patient_patterns=propose_patterns(rows),
        notes=[*drawn_note(rows), *table.notes, *_notes(shortcuts, table), *_given_notes(rows, found), *natural_note(rows["grey"].to_numpy())], page=str(folder.root / "audit.html"),
    )  # fmt: skip


def _notes(shortcuts: list[Shortcut], table: ImageTable) -> list[str]:
    named = {s.probe if s.pixels == "file" else f"{s.probe} ({s.pixels} pixels)": s.auroc for s in shortcuts}
    notes = shortcut_note(named, "in cross-validation")
    if all(s.auroc.value is None for s in shortcuts):
        notes.append(f"Shortcuts could not be tested: {shortcuts[0].auroc.method.removeprefix('not estimable: ')}")
    if without := _without_patient(table.rows):
        who = f"{without} of {len(table.rows)} images have no" if table.has_patients else "No"
        notes.append(
            f"{who} patient key: images of one patient on both sides of a fold may inflate the probes' scores"
            f"{_UNKNOWN if _may_cross(table.rows) else ''}."
        )
    return [*notes, *([IDENTITY_NOTE] if without_identities(table, "image")[1] else [])]


def _without_patient(rows: pd.DataFrame) -> int:
    """Images without a patient key."""
    return int((rows["patient"] == "").sum())


def _may_cross(rows: pd.DataFrame) -> bool:
    """Whether a patient whom no key names may be in two given folders."""
    return rows.loc[rows["given"] != "", "given"].nunique() > 1 and _without_patient(rows) > 0


def _given_notes(rows: pd.DataFrame, found: Findings) -> list[str]:
    """A note where `train` treats given folders differently: it pools train and val and splits them again by patient."""
    given = rows[rows["given"] != ""]
    named = set(found.across_patients or ()) - set(
        leaks(given.assign(split=given["given"].replace("valid", "train"))).patients
    )
    if not named:
        return []
    return [
        f"{len(named)} of the patient keys in two folders are in train and val only; --split official pools those two."
    ]
