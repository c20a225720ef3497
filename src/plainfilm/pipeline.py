"""One function per command; each returns the document that `--json` prints. This module alone sees everything.

Nothing here prints: a listener is told what happens. torch and fastai are imported inside the functions, so that
what does not need them starts at once.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from plainfilm.card import KEPT_BEST, KEPT_LAST, Card, peak_rss_mb, read_card, write_card
from plainfilm.config import ExperimentConfig, load_config
from plainfilm.data.cache import decode_rows
from plainfilm.data.splits import write_split
from plainfilm.data.table import read_table
from plainfilm.errors import OccupiedError, SealError, UsageError
from plainfilm.evaluate.answer import answer, save_metrics
from plainfilm.evaluate.look import look_at_test
from plainfilm.evaluate.predictions import make_predictions, predict_logits, read_predictions, save_predictions
from plainfilm.evaluate.seal import count_looks, seal_of
from plainfilm.evaluate.thresholds import choose_threshold
from plainfilm.inputs import read_inputs, sha256_of, write_inputs
from plainfilm.listener import Listener, logged, silent
from plainfilm.models.registry import get_spec
from plainfilm.prepare import Prepared, prepare
from plainfilm.runs import CHECKPOINT_MINUTES, Pace, RunDir, atomic_write
from plainfilm.schemas import (
    EvaluateDocument,
    InterpretDocument,
    LrFindDocument,
    PhantomDocument,
    SplitDocument,
    Timing,
    TrainDocument,
)

if TYPE_CHECKING:
    from fastai.learner import Learner

    from plainfilm.train.checkpoint import Checkpoint


def draw_phantom(out: Path, *, images: int, size_px: int, seed: int, listener: Listener = silent) -> PhantomDocument:
    """`plainfilm phantom`: draw the synthetic set into a new folder."""
    from plainfilm.data.phantom import write_phantom

    classes = write_phantom(
        out,
        images=images,
        size_px=size_px,
        seed=seed,
        progress=lambda done: listener("draw", {"done": done, "of": images}),
    )
    names = [path.name.split("-")[1] for path in out.rglob("phantom-*.png")]
    return PhantomDocument(
        out=str(out), images=images, patients=len(set(names)), size_px=size_px, seed=seed, classes=classes
    )


def split_data(cfg: ExperimentConfig, out: Path, listener: Listener = silent) -> SplitDocument:
    """`plainfilm split`: write the split file."""
    if out.exists():
        raise OccupiedError(f"{out} exists; a split file is never overwritten. Choose another --out.")
    ready = prepare(cfg, listener)
    write_split(out, ready.split)
    return SplitDocument(
        out=str(out), kind=ready.split.kind, leaky=ready.split.leaky, seed=cfg.train.seed, data=ready.counts,
        seal=_seal(ready), notes=list(ready.split.notes),
    )  # fmt: skip


def _keep_out_of_data(out: Path, cfg: ExperimentConfig) -> None:
    """Figures inside DATA would be read as images of a class the next time."""
    data = Path(cfg.data.path).resolve() if cfg.data.path else None
    if data is not None and data.is_dir() and out.resolve().is_relative_to(data):
        raise UsageError(f"The output {out} lies inside DATA ({data}). Choose an --out elsewhere.")


def _seal(ready: Prepared) -> str | None:
    return seal_of(ready.split.of("test")) if ready.split.has_test else None


def build_learner(
    cfg: ExperimentConfig, ready: Prepared, device: str, path: Path, listener: Listener
) -> tuple[Learner, np.ndarray]:
    """A Learner over the train and valid rows, and the pixels of the valid rows."""
    from plainfilm.data.block import make_dls
    from plainfilm.models.build import build_model, parameter_count
    from plainfilm.train.learner import make_learner
    from plainfilm.train.memory import require_memory

    rows = ready.split.rows[ready.split.rows["split"] != "test"].reset_index(drop=True)
    model = build_model(cfg.model, len(ready.vocab), cfg.train.size_px, cfg.train.seed)  # first: refuses a wrong size
    if device == "cpu":
        require_memory(model, images=len(rows), channels=ready.spec.channels, size_px=cfg.train.size_px,
                       batch_size=cfg.train.batch_size)  # fmt: skip
    pixels = decode_rows(rows, ready.spec, lambda done, of: listener("decode", {"done": done, "of": of}))
    dls = make_dls(rows, pixels, cfg.train, vocab=ready.vocab, device=device)
    listener(
        "network",
        {
            "name": cfg.model.name,
            "parameters": parameter_count(model),
            "size_px": cfg.train.size_px,
            "device": device,
            "balanced": dls.train.balance,
        },
    )
    learn = make_learner(dls, model, cfg.train, path=path, listener=listener)
    return learn, pixels[(rows["split"] == "valid").to_numpy()]


def find_learning_rate(
    cfg: ExperimentConfig, out: Path | None, *, device: str, num_it: int, listener: Listener = silent
) -> LrFindDocument:
    """`plainfilm lr-find`: curve and suggestions, saved into a folder of their own; no run is touched."""
    from plainfilm.interpret.figures import as_png, plot_lr_curve

    run = RunDir.plan(out, f"lr-find-{get_spec(cfg.model.name).name}")
    _keep_out_of_data(run.root, cfg)
    ready = prepare(cfg, listener)
    from plainfilm.models.build import pick_device
    from plainfilm.train.fit import find_lr
    from plainfilm.train.speed import keep_memory

    device = pick_device(device)
    keep_memory()
    learn, _ = build_learner(cfg, ready, device, run.root, listener)
    curve = find_lr(learn, cfg.train, num_it)
    run.make()
    figure, table = run.root / "lr_find.png", run.root / "lr_find.csv"
    atomic_write(figure, as_png(plot_lr_curve(curve.lrs, curve.losses, curve.suggestions, curve.lr)))
    lines = [f"{lr!r},{loss!r}\n" for lr, loss in zip(curve.lrs.tolist(), curve.losses.tolist(), strict=True)]
    atomic_write(table, "lr,loss\n" + "".join(lines))
    return LrFindDocument(
        suggestions=curve.suggestions, lr=curve.lr, figure=str(figure), curve=str(table), notes=list(ready.split.notes)
    )


def train_run(
    cfg: ExperimentConfig,
    out: Path | None = None,
    *,
    device: str = "auto",
    dry_run: bool = False,
    checkpoint_minutes: float = CHECKPOINT_MINUTES,
    max_minutes: float | None = None,
    listener: Listener = silent,
) -> TrainDocument:
    """`plainfilm train`: one-cycle training into a new run folder; after the scan no test picture is opened.

    Args:
        checkpoint_minutes: how often the state is written, besides each epoch's end.
        max_minutes: training stops after so long with a StoppedError, and resume_run() goes on.
    """
    started = time.perf_counter()
    run = RunDir.plan(out, get_spec(cfg.model.name).name)
    _keep_out_of_data(run.root, cfg)
    ready = prepare(cfg, listener)  # before torch is imported: the counts are there within seconds
    from plainfilm.models.build import pick_device
    from plainfilm.train.speed import facts, keep_memory

    device = pick_device(device)
    kept_memory = keep_memory()
    learn, valid_pixels = build_learner(cfg, ready, device, run.root, listener)
    seconds = _estimate(learn, cfg, listener)
    if dry_run:
        return TrainDocument(run=None, data=ready.counts, positive=ready.positive, threshold=None, threshold_rule=None, best_epoch=None,
                             notes=list(ready.split.notes), metrics={}, timing=None, estimate_seconds=seconds)  # fmt: skip
    with run.claim(), run.outcome():
        listener = logged(run.log, listener)
        learn.progress.listener = listener
        write_inputs(run, cfg, ready, facts(device, kept_memory), seal=_seal(ready), estimate=seconds)
        listener("run", {"path": str(run.root)})
        best_at = _fit(learn, cfg, run, Pace(checkpoint_minutes, max_minutes, started), listener)
        document = _finish(run, cfg, ready, learn, valid_pixels, best_at, device, started, seconds)
        listener("done", {"path": str(run.root)})
    return document


def resume_run(
    root: Path,
    *,
    device: str | None = None,
    checkpoint_minutes: float = CHECKPOINT_MINUTES,
    max_minutes: float | None = None,
    listener: Listener = silent,
) -> TrainDocument:
    """`plainfilm resume`: go on with a stopped run from its last state, on the CPU to the same bytes at the end.

    Args:
        device: None = the run's own.
    Raises:
        UsageError: the run is done or diverged. OccupiedError: it is being written.
        DataError: it cannot go on as it began, or its state is damaged; says what.
    """
    started = time.perf_counter()
    run = RunDir.existing(root)
    with run.lock():
        run.refuse_unless_stopped()
        began = read_inputs(run, lambda done, of: listener("scan", {"done": done, "of": of}))  # before torch is loaded
        from plainfilm.models.build import pick_device
        from plainfilm.train.checkpoint import read_checkpoint
        from plainfilm.train.speed import keep_memory, use_threads

        cfg, ready, device = began.cfg, began.ready, pick_device(device or began.environment.device)
        checkpoint = read_checkpoint(run, sha256_of(run.start))
        started -= checkpoint.state.seconds if checkpoint else 0
        use_threads(began.environment.threads)
        keep_memory()
        with run.outcome():
            listener = logged(run.log, listener)
            run.write_status("running")
            listener("run", {"path": str(run.root)})
            learn, valid_pixels = build_learner(cfg, ready, device, run.root, listener)
            place = _place(cfg, checkpoint, len(learn.dls.train))
            seconds = began.estimate_seconds * place.pop("share_left")
            listener("resume", {**place, "seconds": seconds, "device": device, "notes": ready.split.notes,
                                "began_on": began.environment.device})  # fmt: skip
            best_at = _fit(learn, cfg, run, Pace(checkpoint_minutes, max_minutes, started), listener, checkpoint)
            document = _finish(
                run, cfg, ready, learn, valid_pixels, best_at, device, started, began.estimate_seconds
            )  # fmt: skip
            listener("done", {"path": str(run.root)})
    return document


def _place(cfg: ExperimentConfig, checkpoint: Checkpoint | None, steps: int) -> dict[str, Any]:
    """Where a resumed run goes on, for people: phases and epochs from 1, steps that are done."""
    phases, at = cfg.train.phases, checkpoint and checkpoint.state
    phase, epoch, step = (at.phase, at.epoch, at.step) if at else (0, 0, 0)
    epochs = phases[phase].epochs
    done = sum(each.epochs for each in phases[:phase]) + epoch + step / steps
    return {
        "found": at is not None, "phase": phase + 1, "phases": len(phases), "epoch": min(epoch + 1, epochs),
        "epochs": epochs, "step": step, "finished": epoch == epochs,
        "share_left": 1 - done / sum(each.epochs for each in phases),
    }  # fmt: skip


def _estimate(learn: Learner, cfg: ExperimentConfig, listener: Listener) -> float:
    from plainfilm.train.fit import estimate_seconds

    seconds = estimate_seconds(learn, cfg.train.phases)
    listener("estimate", {"seconds": seconds, "epochs": sum(phase.epochs for phase in cfg.train.phases)})
    return seconds


def _fit(
    learn: Learner, cfg: ExperimentConfig, run: RunDir, pace: Pace, listener: Listener, checkpoint: Checkpoint | None = None
) -> tuple[int, int]:  # fmt: skip
    """Train, from the first step or the checkpoint's; the learner ends with the kept weights. Returns their (phase, epoch)."""
    from plainfilm.interpret.figures import as_png, plot_batch
    from plainfilm.models.build import load_weights
    from plainfilm.train.fit import find_lr
    from plainfilm.train.stops import fit_with_stops

    x, y = learn.dls.train.one_batch()
    names = [learn.dls.vocab[int(k)] for k in y[:16]]
    pictures = x[:16].cpu().numpy().transpose(0, 2, 3, 1)
    title = f"A training batch as the network sees it ({cfg.train.augment})"
    atomic_write(run.figure("batch"), as_png(plot_batch(pictures, names, title)))
    lr = checkpoint.state.lr if checkpoint else None
    if checkpoint is None and any(phase.lr == "auto" for phase in cfg.train.phases):
        lr = find_lr(learn, cfg.train).lr
        listener("lr", {"lr": lr})
    best_at = fit_with_stops(learn, cfg.train.phases, lr, run, pace, sha256_of(run.start), listener, checkpoint)
    if cfg.train.keep == "last":
        last = len(cfg.train.phases) - 1
        return last, cfg.train.phases[last].epochs - 1
    load_weights(learn.model, run.checkpoint("best"))
    return best_at


def _finish(
    run: RunDir, cfg: ExperimentConfig, ready: Prepared, learn: Learner, valid_pixels: np.ndarray,
    best_at: tuple[int, int], device: str, started: float, estimate: float,
) -> TrainDocument:  # fmt: skip
    from plainfilm.train.callbacks import weights_bytes

    weights = weights_bytes(learn.model)
    atomic_write(run.weights, weights)
    valid = make_predictions(
        ready.split.of("valid"),
        predict_logits(learn.model, valid_pixels, device),
        ready.vocab,
        has_patients=ready.table.has_patients,
    )
    save_predictions(run, "valid", valid, valid_pixels)
    threshold = None
    if ready.positive is not None:
        k = ready.vocab.index(ready.positive)
        threshold = choose_threshold(cfg.evaluate.threshold, valid.probs[:, k], valid.targs == k)
    card = _card(cfg, ready, best_at, threshold, hashlib.sha256(weights).hexdigest())
    write_card(run, card)
    document = answer(run, card, "valid", valid, cfg, looks=(0, 0))
    save_metrics(run, document)
    return TrainDocument(
        run=str(run.root), data=ready.counts, positive=ready.positive, threshold=threshold, best_epoch=best_at[1] + 1,
        threshold_rule=card.threshold_rule, notes=document.notes, metrics={"valid": document.metrics}, estimate_seconds=estimate,
        timing=_timing(run, time.perf_counter() - started),
    )  # fmt: skip


def _card(
    cfg: ExperimentConfig, ready: Prepared, best_at: tuple[int, int], threshold: float | None, sha256: str
) -> Card:
    network = get_spec(cfg.model.name)
    fixed = cfg.evaluate.threshold.replace(".", "").isdigit()
    return Card(
        model=cfg.model, vocab=ready.vocab, positive=ready.positive, decode=ready.spec.as_dict(),
        mean=network.mean, std=network.std, threshold=threshold,
        threshold_rule=cfg.evaluate.threshold if ready.positive else "argmax",
        threshold_chosen_on="valid" if ready.positive and not fixed else "nothing",
        kept_phase=best_at[0], kept_epoch=best_at[1],
        kept_by=KEPT_LAST if cfg.train.keep == "last" else KEPT_BEST,
        split=ready.split.kind, leaky=ready.split.leaky, has_patients=ready.table.has_patients,
        seal=_seal(ready), notes=list(ready.split.notes), weights_sha256=sha256,
    )  # fmt: skip


def _timing(run: RunDir, seconds: float) -> Timing:
    rows = pd.read_csv(run.timing)
    return Timing(
        seconds=round(seconds, 2),
        train_img_per_s=round(float(rows["images"].sum() / rows["train_seconds"].sum()), 2),
        peak_rss_mb=round(peak_rss_mb(), 1),
    )


def evaluate_run(
    root: Path,
    *,
    split: str = "valid",
    threshold: str | None = None,
    device: str = "cpu",
    listener: Listener = silent,
) -> EvaluateDocument:
    """`plainfilm evaluate`: metrics with intervals from one inference pass; a look at test is recorded first.

    Args:
        threshold: a rule or number in place of the stored threshold, chosen on valid all the same.
    Raises:
        SealError: the run has no test set, or its ledger or sealed rows were changed.
    """
    run = RunDir.open(root)
    with run.lock():
        card, cfg, rows = read_card(run), load_config(run.config), read_table(run.table)
        part = rows[rows["split"] == split]
        if threshold is not None:
            card = _other_threshold(run, card, rows, threshold)  # before the look: a wrong rule must not cost one
        if split == "test":
            if card.seal is None:
                raise SealError(
                    "This run has no test set (VALIDATION ONLY); --split test cannot be answered. Use data with a test folder, or --split patient."
                )
            predictions, looks = look_at_test(run, card, part, device, listener)
        else:
            predictions = read_predictions(run.predictions(split), part, card.vocab, has_patients=card.has_patients)
            looks = count_looks(run, card.seal)
        document = answer(run, card, split, predictions, cfg, looks)
        if threshold is None:
            save_metrics(run, document)
    return document


def _other_threshold(run: RunDir, card: Card, rows: pd.DataFrame, rule: str) -> Card:
    if card.positive is None:
        raise UsageError("--threshold needs two classes; with more, the class with the highest score is called.")
    rule = load_config(options={"evaluate.threshold": rule}).evaluate.threshold
    valid = read_predictions(
        run.predictions("valid"), rows[rows["split"] == "valid"], card.vocab, has_patients=card.has_patients
    )
    k = card.vocab.index(card.positive)
    return card.model_copy(
        update={"threshold": choose_threshold(rule, valid.probs[:, k], valid.targs == k), "threshold_rule": rule}
    )


def interpret_run(root: Path, *, split: str | None = None, listener: Listener = silent) -> InterpretDocument:
    """`plainfilm interpret`: figures from the saved predictions; no model runs and no image file is opened.

    Args:
        split: valid or test; None takes test where it has been looked at, else valid.
    """
    from plainfilm.interpret.gallery import confused_pairs, draw_gallery

    run = RunDir.open(root)
    split = split or ("test" if run.predictions("test").is_file() else "valid")
    card, rows = read_card(run), read_table(run.table)
    if split == "test" and not count_looks(run, card.seal)[0]:
        raise SealError(
            "No look at the test set is recorded for this run. Open it first: plainfilm evaluate RUN --split test."
        )
    part = rows[rows["split"] == split]
    predictions = read_predictions(run.predictions(split), part, card.vocab, has_patients=card.has_patients)
    matrix, drawn = draw_gallery(run, card, split, predictions)
    with run.lock():
        for name, png in drawn.items():
            atomic_write(run.figure(name), png)
    return InterpretDocument(
        run=str(run.root),
        split=split,
        figures={name: str(run.figure(name)) for name in drawn},
        notes=card.notes,
        confused=confused_pairs(matrix, card.vocab),
    )
