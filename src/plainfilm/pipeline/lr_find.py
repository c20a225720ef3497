"""`plainfilm lr-find`: the curve of the learning-rate finder and its suggestions."""

from __future__ import annotations

from pathlib import Path

from plainfilm.base.events import EventCallback, silent
from plainfilm.base.files import atomic_write
from plainfilm.config import ExperimentConfig, Phase, TrainConfig, phases_of
from plainfilm.errors import UsageError
from plainfilm.models.find_weights import starting_point
from plainfilm.models.registry import get_spec
from plainfilm.pipeline.learner import build_learner, refuse_precision
from plainfilm.pipeline.prepare import keep_out_of_data
from plainfilm.pipeline.weights_overlap import prepare_without_overlap
from plainfilm.runs.folder import RunDir
from plainfilm.schemas.documents import LrFindDocument


def find_learning_rate(
    cfg: ExperimentConfig,
    out: Path | None,
    *,
    device: str,
    num_it: int,
    phase: int = 1,
    offline: bool = False,
    on_event: EventCallback = silent,
) -> LrFindDocument:
    """`plainfilm lr-find`: curve and suggestions, saved into a folder of their own; no run is changed.

    Args:
        phase: the training phase, from 1; earlier phases are not trained, and a note says so.
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
    if phases[phase - 1].head == "l2":
        more = " Give --phase 2 for the whole network." if len(phases) > 1 else ""
        raise UsageError(f"Phase {phase} fits its head at once and has no rate to find.{more}")
    run = RunDir.plan(out, f"lr-find-{get_spec(cfg.model.name).name.replace('/', '-')}")
    keep_out_of_data(run.root, cfg)
    cfg, found = starting_point(cfg, offline=offline, on_event=on_event)
    refuse_precision(cfg.train, device)
    ready = prepare_without_overlap(cfg, found, on_event)
    from plainfilm.models.build import pick_device
    from plainfilm.train.fit import FLAT, as_in_phase, find_lr
    from plainfilm.train.machine.precision import settle_precision
    from plainfilm.train.machine.speed import speed_up

    device = pick_device(device)
    cfg, _ = settle_precision(cfg, device, on_event)
    speed_up(cfg.train.speed)
    learn, _ = build_learner(cfg, ready, device, run.root, on_event, found)
    with as_in_phase(learn, phases[phase - 1]):
        curve = find_lr(learn, cfg.train, num_it, phases[phase - 1].lr_ratio)
    run.make()
    figure, table = run.root / "lr_find.png", run.root / "lr_find.csv"
    atomic_write(
        figure, as_png(plot_lr_curve(curve.lrs, curve.losses, curve.suggestions, None if curve.flat else curve.lr))
    )
    lines = [f"{lr!r},{loss!r}\n" for lr, loss in zip(curve.lrs.tolist(), curve.losses.tolist(), strict=True)]
    atomic_write(table, "lr,loss\n" + "".join(lines))
    return LrFindDocument(
        suggestions=curve.suggestions,
        lr=curve.lr,
        flat=curve.flat,
        phase=phase,
        option=_rate_option(cfg.train, phase),
        figure=str(figure),
        curve=str(table),
        notes=[*([FLAT] if curve.flat else []), *_about_phase(cfg.train, phase), *ready.split.notes],
    )


def _rate_option(train: TrainConfig, phase: int) -> str:
    """The option or key that sets the peak rate of a phase, numbered from 1."""
    if train.phases != tuple(Phase.model_validate(each) for each in phases_of(train.model_dump())):
        return f"train.phases, entry {phase}, lr:"
    return "--freeze-lr" if train.phases[phase - 1].freeze and not train.freeze else "--lr"


def _about_phase(train: TrainConfig, phase: int) -> list[str]:
    found = train.phases[phase - 1]
    notes = []
    if found.freeze:
        option = _rate_option(train, phase)
        name = f"{option}, or train.freeze_lr in a file" if option.startswith("--") else option.rstrip(":")
        notes.append(f"The rate is for the head alone ({name}), not for the whole network.")
    if found.lr_ratio != 1:
        notes.append(f"The rate is the head's; the first layers had {found.lr_ratio:g} of it, as in training.")
    if found.size_px != train.size_px:
        notes.append(f"The rate is for the {found.size_px} px of this phase, not for the run's {train.size_px} px.")
    if phase > 1:
        notes.append(
            f"PHASE {phase} OF {len(train.phases)}: the earlier phases were not trained, so the head is untrained; "
            "after them another rate may be better. train --lr auto runs the finder then."
        )
    return notes
