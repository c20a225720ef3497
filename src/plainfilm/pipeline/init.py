"""`plainfilm init`: a commented config for the images it finds, which trains what `plainfilm train DATA` would train."""

from __future__ import annotations

from pathlib import Path

from plainfilm.base.events import EventCallback, silent
from plainfilm.base.files import atomic_write
from plainfilm.base.listing import LISTED, some
from plainfilm.config import ExperimentConfig
from plainfilm.config.commented import Remark, commented_yaml
from plainfilm.data.loaders.augment import natural_note
from plainfilm.errors import OccupiedError, UsageError
from plainfilm.pipeline.housekeeping import list_models
from plainfilm.pipeline.prepare import Prepared, keep_out_of_data, positive_note, prepare
from plainfilm.schemas.data import InitDocument

_HEAD = (
    "A config for plainfilm train --config THIS_FILE, which trains what plainfilm train DATA alone would train.",
    "A line that begins with '#' and a key is a proposal: not applied, for you to judge. Keys that are not here have",
    "their defaults (docs/reference/config.md).",
)

_IF_SHARED = "refused where parts share a patient"


def init_config(
    cfg: ExperimentConfig, out: Path, *, force: bool = False, on_event: EventCallback = silent
) -> InitDocument:
    """`plainfilm init`: scan DATA as train does, and write its config with what was found beside each key.

    Args:
        force: overwrite `out`.
    Raises:
        PlainfilmError: as `train`, where the data or the split is refused. OccupiedError: `out` exists.
    """
    if out.is_dir():
        raise UsageError(f"--out {out} is a folder; expected the YAML file to write.")
    if out.exists() and not force:
        raise OccupiedError(f"{out} exists and is not overwritten. Choose another --out, or give --force.")
    keep_out_of_data(out, cfg)
    ready = prepare(cfg, on_event)
    remarks = {**_of_data(cfg, ready), **_of_training(cfg, ready)}
    atomic_write(out, commented_yaml(cfg, _head(ready), remarks))
    table = ready.table
    proposals = [
        {"key": key, "value": value, "why": why} for key, said in remarks.items() for value, why in said.instead
    ]
    return InitDocument.model_validate({
        "out": str(out), "data": ready.counts, "positive": ready.positive, "bits": table.bits, "channels": ready.spec.channels,
        "sides_px": _sides(ready), "patient_patterns": ready.undeclared_patterns, "proposals": proposals,
        "notes": list(ready.split.notes), "config": cfg.model_dump(mode="json"),
    })  # fmt: skip


def _head(ready: Prepared) -> list[str]:
    counts = ready.counts
    classes = some([f"{name} {n:,}" for name, n in counts.classes.items()], LISTED)
    return [*_HEAD, "", f"{counts.found:,} files found, {counts.used:,} used. Classes: {classes}", *ready.split.notes]


def _of_data(cfg: ExperimentConfig, ready: Prepared) -> dict[str, Remark]:
    counts, data = ready.counts, cfg.data
    parts = ", ".join(f"{name} {part.images:,}" for name, part in counts.splits.items())
    bits = "8 bits" if ready.table.bits is None else f"{ready.table.bits} bits"
    return {
        "data.path": Remark(f"the images: {counts.used:,} are used"),
        "data.split": Remark(f"how images are divided: {parts}", _splits(ready) if data.split == "patient" else ()),
        "data.patient_pattern": _patients(ready),
        "data.positive": _positive(cfg, ready),
        "data.bits": Remark(f"depth of integer images, measured: {bits}"),
    }


def _splits(ready: Prepared) -> tuple[tuple[str, str], ...]:
    """Splits that keep the given folders or columns, where there are any."""
    given = set(ready.table.rows["given"])
    kept = [("official", f"keeps the given test, pools train and val; {_IF_SHARED}")] if "test" in given else []
    whole = {"train", "valid"} <= given
    return tuple(
        kept + ([("given", f"keeps the given train, val and test as they are; {_IF_SHARED}")] if whole else [])
    )


def _patients(ready: Prepared) -> Remark:
    """What is known of the patients, or what could name them."""
    if ready.counts.patients is not None:
        return Remark(f"patients are known: {ready.counts.patients:,}; a pattern would replace how they are found")
    proposed = tuple(
        (found.pattern, f"{found.sentence()}; check that each group is one patient")
        for found in ready.undeclared_patterns
    )
    said = "choose one below if it is right" if proposed else "give one if the file names hold patients"
    return Remark(f"no patient is known, so each image counts as its own; {said}", proposed)


def _positive(cfg: ExperimentConfig, ready: Prepared) -> Remark:
    if ready.positive is None:
        return Remark(f"none of {len(ready.vocab)} classes: each is set against the rest")
    if not positive_note(ready.vocab, cfg.data):
        return Remark(
            f"the class that scores are for: {ready.positive}" + " by the names" * (cfg.data.positive is None)
        )
    other = next(name for name in ready.vocab if name != ready.positive)
    return Remark(
        f"the class that scores are for: {ready.positive}, by alphabet alone; name the finding",
        tuple((name, "where this is the finding") for name in (other, ready.positive)),
    )


def _of_training(cfg: ExperimentConfig, ready: Prepared) -> dict[str, Remark]:
    train = cfg.train
    low, high = _sides(ready)
    sides = f"{low:,} px" if low == high else f"{low:,} to {high:,} px"
    enlarged = "; smaller images are enlarged, which adds no detail" if low < train.size_px else ""
    sizes = sorted(ready.counts.classes.values())
    coloured = natural_note(ready.table.rows["grey"].to_numpy(), train.augment)
    return {
        "model.name": Remark("the small network of the paper; plainfilm models lists the others"),
        "model.weights": _weights(),
        "train.epochs": Remark(f"passes over the {ready.counts.splits['train'].images:,} train images"),
        "train.size_px": Remark(f"side of the square input; the images' smaller side is {sides}{enlarged}"),
        "train.batch_size": Remark(),
        "train.lr": Remark(),
        "train.seed": Remark(),
        "train.augment": Remark(
            "random changes of train images, mild enough for radiographs", tuple(("natural", note) for note in coloured)
        ),
        "train.balance": Remark(
            f"the largest class has {sizes[-1] / sizes[0]:.1f} times the images of the smallest; auto samples evenly, costs calibration"
        ),
        "evaluate.threshold": Remark("rule for the cut on the score, chosen on valid: smooth, accuracy, youden, sensitivity>=0.95, ..."),
    }  # fmt: skip


def _weights() -> Remark:
    """ImageNet weights that need no download."""
    here = [row.name for row in list_models().models if row.imagenet == "here" and row.installed]
    if not here:
        return Remark("random; no ImageNet weights are on this machine, plainfilm models says which can be had")
    return Remark("random", (("imagenet", f"on this machine for model.name {some(here, LISTED)}"),))


def _sides(ready: Prepared) -> tuple[int, int]:
    """Smallest and largest of the images' smaller sides, in pixels."""
    smaller = ready.table.rows[["width", "height"]].min(axis=1)
    return int(smaller.min()), int(smaller.max())
