"""One function per command; each returns the document that `--json` prints. This module alone sees everything.

Nothing here prints: a listener is told what happens. torch and fastai are imported inside the functions, so that
what does not need them starts at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from filelock import Timeout

from plainfilm.base.events import Listener, silent
from plainfilm.base.files import atomic_write
from plainfilm.compare.compare import compare_runs
from plainfilm.config import ExperimentConfig, Phase, TrainConfig, load_config, phases_of
from plainfilm.data.cache.admin import Entry, clear, entries
from plainfilm.data.cache.store import cache_folder
from plainfilm.data.split.splits import write_split
from plainfilm.data.table.image_table import read_table
from plainfilm.errors import OccupiedError, SealError, UsageError
from plainfilm.evaluate.document import answer
from plainfilm.evaluate.heldout import look_at_shifted, look_at_test
from plainfilm.evaluate.operating.operating_point import threshold_of
from plainfilm.evaluate.predictions import read_predictions
from plainfilm.evaluate.shift.corrupted_valid import SHIFTED, score_changes, shifted_rows
from plainfilm.evaluate.shortcuts.probe_baseline import no_lungs
from plainfilm.evaluate.test_ledger import count_looks
from plainfilm.models.find_weights import at_hand, starting_point
from plainfilm.models.registry import MODELS, ModelSpec, get_spec
from plainfilm.pipeline.audit import audit_data
from plainfilm.pipeline.evaluate import evaluate_external, questions, save
from plainfilm.pipeline.interpret import interpret_run
from plainfilm.pipeline.prepare import keep_out_of_data, prepare
from plainfilm.pipeline.train import build_learner, resume_run, seal_or_none, train_run
from plainfilm.pipeline.weights_overlap import prepare_unseen
from plainfilm.runs.card import Card, read_card
from plainfilm.runs.folder import RunDir
from plainfilm.schemas.data import CacheDocument, CacheEntry, DoctorDocument, PhantomDocument, SplitDocument
from plainfilm.schemas.documents import EvaluateDocument, LrFindDocument, ModelRow, ModelsDocument

if TYPE_CHECKING:
    from plainfilm.data.synthetic.planted_faults import Faults

__all__ = [
    "audit_data", "build_learner", "clear_cache", "compare_runs", "draw_phantom", "evaluate_run", "find_learning_rate", "interpret_run",
    "list_cache", "list_models", "resume_run", "see_doctor", "split_data", "train_run",
]  # fmt: skip


def draw_phantom(
    out: Path, *, images: int, size_px: int, seed: int, faults: Faults | None = None, listener: Listener = silent
) -> PhantomDocument:
    """`plainfilm phantom`: draw the synthetic set, with faults where asked, into a new folder."""
    from plainfilm.data.synthetic.phantom import CLASSES
    from plainfilm.data.synthetic.planted_faults import Faults, write_planted

    faults = faults or Faults()
    of = images + faults.copies
    planted = write_planted(
        out,
        faults,
        images=images,
        size_px=size_px,
        seed=seed,
        progress=lambda done: listener("draw", {"done": done, "of": of}),
    )
    files = list(out.rglob("phantom-*.*"))
    return PhantomDocument(
        out=str(out), images=len(files), patients=len({path.name.split("-")[1] for path in files}), size_px=size_px,
        seed=seed, classes={name: sum(path.parent.name == name for path in files) for name in CLASSES}, planted=planted,
    )  # fmt: skip


def split_data(cfg: ExperimentConfig, out: Path, listener: Listener = silent) -> SplitDocument:
    """`plainfilm split`: write the split file."""
    if out.exists():
        raise OccupiedError(f"{out} exists; a split file is never overwritten. Choose another --out.")
    # the same with and without the images that a run leaves out: a split file names everybody
    everybody = cfg.data.model_copy(update={"exclude": None})
    ready = prepare(cfg.model_copy(update={"data": everybody}), listener)
    write_split(out, ready.split)
    return SplitDocument(
        out=str(out), kind=ready.split.kind, leaky=ready.split.leaky, seed=cfg.train.seed, data=ready.counts,
        seal=seal_or_none(ready), notes=list(ready.split.notes),
    )  # fmt: skip


def see_doctor() -> DoctorDocument:
    """`plainfilm doctor`: versions, devices, speed settings, and what makes this machine slow."""
    from plainfilm.pipeline.doctor import examine

    return examine()


def list_models() -> ModelsDocument:
    """`plainfilm models`: what can be trained, and which weights are on this machine; nothing heavy is imported."""
    return ModelsDocument(models=[_model_row(spec) for spec in MODELS.values()])


def _model_row(spec: ModelSpec) -> ModelRow:
    here = at_hand(spec)
    shared = ("name", "family", "library", "installed", "size_px", "min_size_px", "channels", "mean", "std",
              "parameters", "licence", "weights_licence", "source")  # fmt: skip
    return ModelRow(
        **{name: getattr(spec, name) for name in shared}, phases=list(spec.phases),
        imagenet="here" if here else "can be fetched" if spec.imagenet else "none",
        file=spec.imagenet[0].name if spec.imagenet else None,
    )  # fmt: skip


def list_cache() -> CacheDocument:
    """`plainfilm cache ls`: what lies in the cache folder."""
    return _cache_document(entries(cache_folder()), removed=False)


def clear_cache() -> CacheDocument:
    """`plainfilm cache clear`: remove all that can be made again.

    Raises:
        OccupiedError: another process is decoding into it.
    """
    try:
        return _cache_document(clear(cache_folder()), removed=True)
    except Timeout:
        raise OccupiedError("Another process is writing to the cache. Wait for it, then clear again.") from None


def _cache_document(found: list[Entry], *, removed: bool) -> CacheDocument:
    shown = [CacheEntry(name=e.name, what=e.what, files=e.files, bytes=e.bytes) for e in found]
    return CacheDocument(folder=str(cache_folder()), removed=removed, bytes=sum(e.bytes for e in found), entries=shown)


def find_learning_rate(
    cfg: ExperimentConfig,
    out: Path | None,
    *,
    device: str,
    num_it: int,
    phase: int = 1,
    offline: bool = False,
    listener: Listener = silent,
) -> LrFindDocument:
    """`plainfilm lr-find`: curve and suggestions, saved into a folder of their own; no run is touched.

    Args:
        phase: the phase of training to look at, from 1; those before it are not trained, and a note says so.
    Raises:
        UsageError: there is no such phase.
    """
    from plainfilm.plots.base import as_png, plot_lr_curve

    phases = cfg.train.phases
    if phase > len(phases):
        raise UsageError(
            f"--phase {phase}: training has {len(phases)} {'phase' if len(phases) == 1 else 'phases'}. "
            "Choose a smaller one, or give --freeze-epochs N, which makes two."
        )
    run = RunDir.plan(out, f"lr-find-{get_spec(cfg.model.name).name.replace('/', '-')}")
    keep_out_of_data(run.root, cfg)
    cfg, found = starting_point(cfg, offline=offline, listener=listener)
    ready = prepare_unseen(cfg, found, listener)
    from plainfilm.models.build import pick_device
    from plainfilm.train.fit import as_in_phase, find_lr
    from plainfilm.train.speed import speed_up

    device = pick_device(device)
    speed_up(cfg.train.speed)
    learn, _ = build_learner(cfg, ready, device, run.root, listener, found)
    with as_in_phase(learn, phases[phase - 1]):
        curve = find_lr(learn, cfg.train, num_it, phases[phase - 1].lr_ratio)
    run.make()
    figure, table = run.root / "lr_find.png", run.root / "lr_find.csv"
    atomic_write(figure, as_png(plot_lr_curve(curve.lrs, curve.losses, curve.suggestions, curve.lr)))
    lines = [f"{lr!r},{loss!r}\n" for lr, loss in zip(curve.lrs.tolist(), curve.losses.tolist(), strict=True)]
    atomic_write(table, "lr,loss\n" + "".join(lines))
    return LrFindDocument(
        suggestions=curve.suggestions,
        lr=curve.lr,
        phase=phase,
        option=rate_option(cfg.train, phase),
        figure=str(figure),
        curve=str(table),
        notes=[*_about_phase(cfg.train, phase), *ready.split.notes],
    )


def rate_option(train: TrainConfig, phase: int) -> str:
    """What of `train` takes the peak rate of a phase, numbered from 1."""
    if train.phases != tuple(Phase.model_validate(each) for each in phases_of(train.model_dump())):
        return f"train.phases, entry {phase}, lr:"
    return "--freeze-lr" if train.phases[phase - 1].freeze and not train.freeze else "--lr"


def _about_phase(train: TrainConfig, phase: int) -> list[str]:
    found = train.phases[phase - 1]
    said = []
    if found.freeze:
        option = rate_option(train, phase)
        name = f"{option}, or train.freeze_lr in a file" if option.startswith("--") else option.rstrip(":")
        said.append(f"The rate is for the head alone ({name}), not for the whole network.")
    if found.lr_ratio != 1:
        said.append(f"The rate is the head's; the first layers had {found.lr_ratio:g} of it, as in training.")
    if phase > 1:
        said.append(
            f"PHASE {phase} OF {len(train.phases)}: the phases before it were not trained, so the head is as it began; "
            "after them another rate may be better. train --lr auto looks then."
        )
    return said


def evaluate_run(
    root: Path,
    *,
    split: str = "valid",
    threshold: str | None = None,
    prevalences: list[float] | None = None,
    by: str | None = None,
    external: Path | None = None,
    names: dict[str, str] | None = None,
    patient_pattern: str | None = None,
    device: str = "cpu",
    listener: Listener = silent,
) -> EvaluateDocument:
    """`plainfilm evaluate`: metrics with intervals from one inference pass; a look at test is recorded first.

    Args:
        split: valid, test, or valid-shifted: the valid pictures as they are and under each of a fixed list of changes.
        threshold: a rule or number in place of the stored threshold, chosen on valid all the same.
        prevalences: shares of positive images, 0..1, for which PPV and NPV are restated.
        by: a column of subgroups, see `subgroup_names`.
        external: a folder or CSV of images that the run never saw, in place of a split; `names` maps their class names
            to the run's, `patient_pattern` finds the patient in their file names.
    Raises:
        SealError: the run has no test set, or its ledger or sealed rows were changed.
        UsageError: `prevalences` with more than two classes, or `by` names no column of subgroups.
        DataError: the external images cannot be read, or are not external.
    """
    run = RunDir.open(root)
    with run.lock():
        card, cfg, rows = read_card(run), load_config(run.config), read_table(run.table)
        part = rows[rows["split"] == split]
        if threshold is not None:
            card = _other_threshold(run, card, rows, threshold)  # before the look: a wrong rule must not cost one
        if external is not None:
            shared = (prevalences, by, names or {}, patient_pattern, device, listener)
            return save(run, evaluate_external(run, card, cfg, rows, external, *shared), keep=threshold is None)
        asked = questions(card, cfg, shifted_rows(rows) if split == SHIFTED else part, prevalences, by)  # before it too
        if split == "test":
            if card.seal is None:
                raise SealError(
                    "This run has no test set (VALIDATION ONLY); --split test cannot be answered. Use data with a test folder, or --split patient."
                )
            predictions, looks = look_at_test(run, card, rows, device, listener, keep=cfg.data.cache)
        elif split == SHIFTED:
            part = shifted_rows(rows)
            predictions, looks = (
                look_at_shifted(run, card, rows, device, listener, keep=cfg.data.cache),
                count_looks(run, card.seal),
            )
        else:
            predictions = read_predictions(run.predictions(split), part, card.vocab, has_patients=card.has_patients)
            looks = count_looks(run, card.seal)
        document = answer(run, card, split, predictions, cfg, looks, asked)
        if split == SHIFTED:
            positive = card.vocab.index(card.positive) if card.positive else None
            document = document.model_copy(update={"changes": score_changes(predictions, positive)})
        else:
            document = document.model_copy(
                update={"no_lungs_needed": no_lungs(run, card, split, part, predictions.probs)}
            )
        return save(run, document, keep=threshold is None)


def _other_threshold(run: RunDir, card: Card, rows: pd.DataFrame, rule: str) -> Card:
    if card.positive is None:
        raise UsageError("--threshold needs two classes; with more, the class with the highest score is called.")
    rule = load_config(options={"evaluate.threshold": rule}).evaluate.threshold
    split = SHIFTED if card.threshold_chosen_on == SHIFTED else "valid"
    part = shifted_rows(rows) if split == SHIFTED else rows[rows["split"] == "valid"]
    valid = read_predictions(run.predictions(split), part, card.vocab, has_patients=card.has_patients)
    k = card.vocab.index(card.positive)
    return card.model_copy(update={"threshold": threshold_of(rule, valid, part, k), "threshold_rule": rule})
