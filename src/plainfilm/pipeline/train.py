"""`plainfilm train` and `resume`: one fit, from its first step or from where it stopped, to a finished run.

torch and fastai are imported inside the functions, so that invalid input is refused at once, and what is needed after
training is imported then (scipy's statistics take 0.6 s).
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from plainfilm.base.events import EventCallback, logged, silent
from plainfilm.base.files import atomic_write, sha256_of
from plainfilm.config import ExperimentConfig, Phase
from plainfilm.data.cache.rows import PixelRows
from plainfilm.data.loaders.augment import natural_note
from plainfilm.evaluate.operating.thresholds import is_fixed
from plainfilm.models.find_weights import find_again, starting_point, without_path
from plainfilm.models.registry import get_spec, statistics
from plainfilm.pipeline.first_step import FirstStepWork
from plainfilm.pipeline.learner import build_learner, estimate, refuse_precision, say_estimate
from plainfilm.pipeline.prepare import Prepared, keep_out_of_data
from plainfilm.pipeline.run_inputs import read_inputs, write_inputs
from plainfilm.pipeline.weights_overlap import prepare_without_overlap
from plainfilm.runs.card import KEPT_BEST, KEPT_LAST, Card, write_card
from plainfilm.runs.environment import peak_rss_mb
from plainfilm.runs.folder import CHECKPOINT_MINUTES, Pace, RunDir
from plainfilm.runs.run_manifest import seal_files
from plainfilm.runs.trial import Trial, refuse_resume_of_trial
from plainfilm.schemas.documents import ShortcutBaseline, Timing, TrainDocument

if TYPE_CHECKING:
    from fastai.learner import Learner

    from plainfilm.train.checkpoint import Checkpoint
    from plainfilm.train.estimate import Estimate


def train_run(
    cfg: ExperimentConfig,
    out: Path | None = None,
    *,
    device: str = "auto",
    dry_run: bool = False,
    checkpoint_minutes: float = CHECKPOINT_MINUTES,
    max_minutes: float | None = None,
    offline: bool = False,
    on_event: EventCallback = silent,
) -> TrainDocument:
    """`plainfilm train`: one-cycle training into a new run folder; after the scan no test image is opened.

    Args:
        checkpoint_minutes: how often the state is written, besides at each epoch's end.
        max_minutes: training stops after this time with a StoppedError, and resume_run() continues it.
        offline: download no weights; if they are not on this machine, a MissingError says how to get them.
    """
    return _train(cfg, out, _Order(device, dry_run, checkpoint_minutes, max_minutes, offline), on_event)


def train_trial(
    cfg: ExperimentConfig, out: Path, trial: Trial, ready: Prepared | None = None, *, device: str = "auto",
    offline: bool = False, on_event: EventCallback = silent,
) -> TrainDocument:  # fmt: skip
    """As train_run(), a trial of a study, which may end it (PrunedError); `ready`: its images, where they are scanned."""
    return _train(cfg, out, _Order(device, offline=offline, trial=trial, ready=ready), on_event)


@dataclass(frozen=True)
class _Order:
    """How a training is begun."""

    device: str
    dry_run: bool = False
    checkpoint_minutes: float = CHECKPOINT_MINUTES
    max_minutes: float | None = None
    offline: bool = False
    trial: Trial | None = None
    ready: Prepared | None = None


def _train(cfg: ExperimentConfig, out: Path | None, order: _Order, on_event: EventCallback) -> TrainDocument:
    started = time.perf_counter()
    run = RunDir.plan(out, get_spec(cfg.model.name).name.replace("/", "-"))
    keep_out_of_data(run.root, cfg)
    cfg, found = starting_point(cfg, offline=order.offline, on_event=on_event)
    refuse_precision(cfg.train, order.device)
    # before torch is imported: the counts are shown within seconds
    ready = prepare_without_overlap(cfg, found, on_event, order.ready)
    for note in natural_note(ready.table.rows["grey"].to_numpy(), cfg.train.augment):
        on_event("note", {"text": note})
    from plainfilm.models.build import pick_device
    from plainfilm.train.machine.precision import settle_precision
    from plainfilm.train.machine.speed import facts, gpu_facts, speed_up

    device = pick_device(order.device)
    asked = cfg
    cfg, precision = settle_precision(asked, device, on_event)
    kept_memory = speed_up(cfg.train.speed)
    learn, valid_pixels = build_learner(cfg, ready, device, run.root, on_event, found)
    if order.dry_run:
        return TrainDocument(run=None, data=ready.counts, positive=ready.positive, threshold=None, threshold_rule=None, best_epoch=None,
                             notes=list(ready.split.notes), metrics={}, timing=None, estimate_seconds=estimate(learn, cfg, on_event),
                             patient_patterns=ready.undeclared_patterns)  # fmt: skip
    with run.claim(), run.outcome():
        on_event = logged(run.log, on_event)
        learn.progress.on_event = on_event
        speed = facts(device, cfg.train.speed, kept_memory, precision)
        speed |= gpu_facts(device, cfg.train.gpu, resident=learn.dls.train.resident is not None)
        if order.trial:  # before anything that a later command reads
            run.write_status("running", **order.trial.facts())
        write_inputs(run, asked, ready, speed, seal=ready.seal,
                     initial_weights=learn.model.initial_weights)  # fmt: skip
        on_event("run", {"path": str(run.root)})
        training = _Training(run, cfg, ready, learn, valid_pixels, device, on_event, trial=order.trial)
        return training.to_end(Pace(order.checkpoint_minutes, order.max_minutes, started))


def resume_run(
    root: Path,
    *,
    data: Path | None = None,
    device: str | None = None,
    checkpoint_minutes: float = CHECKPOINT_MINUTES,
    max_minutes: float | None = None,
    trial: Trial | None = None,
    on_event: EventCallback = silent,
) -> TrainDocument:
    """`plainfilm resume`: continue a stopped run from its last state; on the CPU the result is bit-identical.

    Args:
        data: where DATA is now, if it was moved.
        device: None = the run's own.
        trial: of a study that may still prune it.
    Raises:
        UsageError: the run is done or diverged, or a trial of a study. OccupiedError: another process is writing it.
        DataError: its inputs have changed, or its state is damaged; says what.
        MissingError: it began in bf16, and this machine does not compute in it.
    """
    started = time.perf_counter()
    run = RunDir.existing(root)
    with run.lock():
        run.refuse_unless_stopped()
        if trial is None:
            refuse_resume_of_trial(run)
        # before torch is loaded
        began = read_inputs(run, lambda done, of: on_event("scan", {"done": done, "of": of}), data=data)
        from plainfilm.models.build import pick_device
        from plainfilm.train.checkpoint import read_checkpoint
        from plainfilm.train.estimate import resumed_at
        from plainfilm.train.machine.precision import require_precision, with_precision
        from plainfilm.train.machine.speed import speed_up

        ready, device = began.ready, pick_device(device or began.environment.device)
        require_precision(run.root, began.environment.precision, device)
        cfg = with_precision(began.cfg, began.environment.precision)
        checkpoint = read_checkpoint(run, sha256_of(run.start))
        started -= checkpoint.state.seconds if checkpoint else 0
        speed_up(cfg.train.speed, began.environment.threads)
        with run.outcome():
            on_event = logged(run.log, on_event)
            run.write_status("running")
            on_event("run", {"path": str(run.root)})
            # a state has every tensor; the initial weights are read again only without one
            found = None if checkpoint else find_again(cfg.model, began.initial_weights)
            learn, valid_pixels = build_learner(cfg, ready, device, run.root, on_event, found)
            learn.model.initial_weights = began.initial_weights
            place = resumed_at(learn, cfg.train.phases, checkpoint)
            left = place.pop("share_left")
            on_event("resume", {**place, "device": device, "notes": ready.split.notes,
                                "began_on": began.environment.device})  # fmt: skip
            training = _Training(run, cfg, ready, learn, valid_pixels, device, on_event,
                                 left if checkpoint else None, trial)  # fmt: skip
            return training.to_end(Pace(checkpoint_minutes, max_minutes, started), checkpoint)


@dataclass(frozen=True)
class _Training:
    """A training in its run folder: from its first step, or its last state, to the saved results on valid.

    `left`: share of the training that a resumed run still has to do, 0..1; None if it begins.
    """

    run: RunDir
    cfg: ExperimentConfig
    ready: Prepared
    learn: Learner
    valid_pixels: PixelRows
    device: str
    on_event: EventCallback
    left: float | None = None
    trial: Trial | None = None

    def to_end(self, pace: Pace, checkpoint: Checkpoint | None = None) -> TrainDocument:
        """Train from the first step or from the checkpoint, probe after the first step made here, save the results."""
        from plainfilm.train.estimate import TimeSteps
        from plainfilm.train.first_step import AfterFirstStep
        from plainfilm.train.pruning import PruneTrial

        after_step = FirstStepWork(self.run, self.cfg, self.ready, self.learn, self.on_event)
        times = TimeSteps(self.cfg.train.phases, self._say, checkpoint.state.estimate_seconds if checkpoint else None)
        self.learn.add_cbs([AfterFirstStep(after_step), times, PruneTrial(self.trial)])
        best_at = self._fit(pace, checkpoint)
        after_step()  # where no step was left to make
        document = replace(self, ready=after_step.ready)._finish(
            after_step.baseline, best_at, times.seconds() or 0.0, pace.began
        )
        self.on_event("done", {"path": str(self.run.root)})
        return document

    def _say(self, found: Estimate) -> None:
        say_estimate(found, self.learn, self.cfg, self.on_event, self.left)

    def _fit(self, pace: Pace, checkpoint: Checkpoint | None) -> tuple[int, int]:
        """After it the learner has the kept weights. Returns their (phase, epoch)."""
        from plainfilm.models.build import load_weights
        from plainfilm.train.fit import found_rate
        from plainfilm.train.interruption import fit_with_stops

        run, train, learn = self.run, self.cfg.train, self.learn

        def find(phase: Phase) -> float:
            return found_rate(learn, phase, train, self.on_event)

        best_at = fit_with_stops(learn, train.phases, find, run, pace, sha256_of(run.start), self.on_event, checkpoint)
        if train.keep == "last":
            if train.ema:
                learn.average_weights.swap()
            last = len(train.phases) - 1
            return last, train.phases[last].epochs - 1
        load_weights(learn.model, run.checkpoint("best"))
        return best_at

    def _finish(
        self, probes: ShortcutBaseline | None, best_at: tuple[int, int], estimated: float, started: float
    ) -> TrainDocument:
        from plainfilm.evaluate.document import ExtraBlocks, evaluate_document
        from plainfilm.evaluate.finished import FinishedRun
        from plainfilm.evaluate.operating.operating_point import settle
        from plainfilm.evaluate.predictions import save_predictions
        from plainfilm.evaluate.shortcuts.probe_baseline import shortcut_baseline
        from plainfilm.pipeline.saved_document import save_document
        from plainfilm.train.callbacks import weights_bytes

        run, cfg, ready, learn = self.run, self.cfg, self.ready, self.learn
        weights = weights_bytes(learn.model)
        atomic_write(run.weights, weights)
        card = _card(cfg, ready, best_at, hashlib.sha256(weights).hexdigest(), learn.model.initial_weights)
        card, valid = settle(run, card, cfg, ready.split.seen, learn.model, learn.dls.train.pixels, self.device)
        save_predictions(run, "valid", valid, self.valid_pixels)
        write_card(run, card)
        finished = FinishedRun(run, card, cfg, ready.split.rows)
        probes = probes and shortcut_baseline(finished, "valid", valid.probs)
        document = evaluate_document(finished, "valid", valid, accesses=(0, 0)).model_copy(
            update={"shortcut_baseline": probes}
        )
        save_document(run, document, ExtraBlocks(), set())
        seal_files(run, run.history, run.timing, *([run.l2_head] if run.l2_head.is_file() else []))
        return TrainDocument(
            run=str(run.root), data=ready.counts, positive=ready.positive, threshold=card.threshold, best_epoch=best_at[1] + 1,
            threshold_rule=card.threshold_rule, threshold_chosen_on=card.threshold_chosen_on, temperature=card.temperature, bias=card.bias,
            threshold_range=card.threshold_range, notes=document.notes, metrics={"valid": document.metrics}, macro=document.macro,
            shortcut_baseline=probes, estimate_seconds=estimated, timing=_timing(run, time.perf_counter() - started),
        )  # fmt: skip


def _card(
    cfg: ExperimentConfig, ready: Prepared, best_at: tuple[int, int], sha256: str,
    initial_weights: dict[str, Any] | None,
) -> Card:  # fmt: skip
    from plainfilm.train.machine.precision import precision_of_phase

    mean, std = statistics(cfg.model)
    fixed = is_fixed(cfg.evaluate.threshold)
    return Card(
        model=without_path(cfg.model), vocab=ready.vocab, positive=ready.positive, decode=ready.spec.as_dict(),
        mean=mean, std=std, threshold=None,
        threshold_rule=cfg.evaluate.threshold if ready.positive else "argmax",
        threshold_chosen_on=cfg.evaluate.threshold_on if ready.positive and not fixed else "nothing",
        precision=precision_of_phase(cfg, best_at[0]), kept_phase=best_at[0], kept_epoch=best_at[1],
        kept_by=KEPT_LAST if cfg.train.keep == "last" else KEPT_BEST,
        split=ready.split.kind, leaky=ready.split.leaky, has_patients=ready.table.has_patients,
        seal=ready.seal, notes=[*ready.split.notes, *_last_epoch_note(cfg, best_at)], weights_sha256=sha256,
        initial_weights=initial_weights,
    )  # fmt: skip


def _last_epoch_note(cfg: ExperimentConfig, best_at: tuple[int, int]) -> list[str]:
    """That the best epoch was the last one, so that more might be better; none where a single epoch was all."""
    last = len(cfg.train.phases) - 1
    epochs = cfg.train.phases[last].epochs
    if (
        cfg.train.keep == "last"
        or best_at != (last, epochs - 1)
        or sum(phase.epochs for phase in cfg.train.phases) == 1
    ):
        return []
    return [f"The best epoch was the last of {epochs}: more may score higher. Try about --epochs {2 * epochs}."]


def _timing(run: RunDir, seconds: float) -> Timing:
    rows = pd.read_csv(run.timing)
    return Timing(
        seconds=round(seconds, 2),
        epochs_seconds=round(float(rows["epoch_seconds"].sum()), 2),
        train_img_per_s=round(float(rows["images"].sum() / rows["train_seconds"].sum()), 2),
        peak_rss_mb=round(peak_rss_mb(), 1),
    )
