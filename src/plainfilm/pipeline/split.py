"""`plainfilm split`: write the split file."""

from __future__ import annotations

from pathlib import Path

from plainfilm.base.events import EventCallback, silent
from plainfilm.base.files import atomic_write
from plainfilm.config import ExperimentConfig
from plainfilm.data.split.splits import Split
from plainfilm.errors import OccupiedError
from plainfilm.pipeline.prepare import prepare
from plainfilm.schemas.data import SplitDocument


def split_data(cfg: ExperimentConfig, out: Path, on_event: EventCallback = silent) -> SplitDocument:
    """`plainfilm split`: write the split file."""
    if out.exists():
        raise OccupiedError(f"{out} exists; a split file is never overwritten. Choose another --out.")
    # a split file lists all images, including those that a run excludes
    all_images = cfg.data.model_copy(update={"exclude": None})
    ready = prepare(cfg.model_copy(update={"data": all_images}), on_event)
    write_split(out, ready.split)
    return SplitDocument(
        out=str(out), kind=ready.split.kind, leaky=ready.split.leaky, seed=cfg.train.seed, data=ready.counts,
        seal=ready.seal, notes=list(ready.split.notes),
    )  # fmt: skip


def write_split(path: Path, split: Split, *, roles: bool = False) -> None:
    """Save the split file: relative path, label, patient, group, split, sha256, series where they were held out, and
    with `roles` what each valid image is for, so that every run on the file selects on the same patients."""
    columns = [
        "relative",
        "label",
        "patient",
        "group",
        "split",
        "sha256",
        *(["series"] if "series" in split.rows else []),
        *(["role"] if roles else []),
    ]
    frame = split.rows[columns].rename(columns={"relative": "path"})
    atomic_write(path, frame.to_csv(index=False, lineterminator="\n"))
