"""The Learner of a command, and the time that its training will take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from plainfilm.base.events import EventCallback
from plainfilm.config import ExperimentConfig, TrainConfig
from plainfilm.config.gpu import without_effect
from plainfilm.data.cache.features import FeatureCache
from plainfilm.data.cache.rows import PixelRows, decode_with_events
from plainfilm.data.image import sandbox
from plainfilm.data.split.valid_roles import selects
from plainfilm.models.find_weights import FoundWeights
from plainfilm.models.registry import get_spec, statistics
from plainfilm.pipeline.prepare import Prepared

if TYPE_CHECKING:
    from fastai.learner import Learner

    from plainfilm.train.estimate import Estimate

# Parameters for each train image from which the note comes: efficientnet_lite0 below 113 images. Not measured yet (that is
# experiments/recipes.yaml): in first trials a probe was ahead of a small network from scratch at 50 images, and behind at 200.
_MOST_PER_IMAGE = 30_000


def refuse_precision(train: TrainConfig, device: str) -> None:
    """Refuse bf16 on a machine without it before any image is read; torch is loaded only where it was asked for.

    Raises:
        MissingError: the device does not compute in it.
    """
    if train.precision == "bf16":
        from plainfilm.models.build import pick_device
        from plainfilm.train.machine.precision import choose_precision

        choose_precision(train, pick_device(device))


def build_learner(
    cfg: ExperimentConfig,
    ready: Prepared,
    device: str,
    path: Path,
    on_event: EventCallback,
    found: FoundWeights | None = None,
) -> tuple[Learner, PixelRows]:
    """A Learner over the train and valid rows, and the pixels of the valid rows; `found`: the initial weights."""
    from plainfilm.data.loaders.block import make_dls
    from plainfilm.models.build import fresh_model, parameter_count
    from plainfilm.models.load_weights import load_initial
    from plainfilm.train.learner import make_learner
    from plainfilm.train.machine.precision import set_precision
    from plainfilm.train.machine.speed import set_up_gpu
    from plainfilm.train.memory import require_memory

    rows = ready.split.seen
    # first, since it refuses a wrong size
    model = fresh_model(cfg.model, len(ready.vocab), cfg.train.size_px, cfg.train.seed,
                        channels=ready.spec.channels, speed=cfg.train.speed)  # fmt: skip
    if found is not None:
        report = load_initial(model, get_spec(cfg.model.name), found, ready.vocab)
        mean, std = statistics(cfg.model)
        counts = {name: len(value) if isinstance(value, list) else value for name, value in report.as_dict().items()}
        on_event(
            "weights",
            {
                **counts,
                "kind": found.kind,
                "sha256": found.sha256,
                "report": report,
                "mean": mean,
                "std": std,
                "standardise": cfg.model.standardise,
                "range": cfg.model.range,
            },
        )
    if device == "cpu":
        set_precision(model, cfg.train.precision)  # bf16 needs less
        require_memory(model, images=len(rows), channels=ready.spec.channels, size_px=cfg.train.size_px,
                       batch_size=cfg.train.batch_size)  # fmt: skip
    elif device == "cuda":
        set_up_gpu(cfg.train.gpu)
    for note in without_effect(cfg.train.gpu, device):
        on_event("note", {"text": note})
    with sandbox.used(cfg.data.sandbox):
        pixels = decode_with_events(rows, ready.spec, on_event, keep=cfg.data.cache)
    # training uses only the part of valid for model selection; the rest calibrates scores and chooses the threshold
    shown = rows.assign(split=rows["split"].where((rows["split"] != "valid") | selects(rows), "calibrate"))
    dls = make_dls(shown, pixels, cfg.train, vocab=ready.vocab, device=device)
    on_event(
        "network",
        {
            "name": cfg.model.name,
            "parameters": parameter_count(model),
            "size_px": cfg.train.size_px,
            "device": device,
            "balanced": dls.train.balance,
        },
    )
    for note in _recipe_note(cfg, len(dls.train_ds), parameter_count(model)):
        on_event("note", {"text": note})
    learn = make_learner(dls, model, cfg.train, path=path, on_event=on_event)
    learn.patients = rows["group"].to_numpy()
    if cfg.data.cache:
        network = cfg.model.model_dump(mode="json", exclude={"weights"})
        learn.feature_cache = FeatureCache(rows["sha256"].tolist(), ready.spec, network, on_event)
    return learn, pixels.part((rows["split"] == "valid").to_numpy())


def _recipe_note(cfg: ExperimentConfig, images: int, parameters: int) -> list[str]:
    """That the whole of a pretrained network is to be trained on too few images for it; none where the head alone is.

    Args:
        images: those of train. parameters: of the network.
    """
    if cfg.model.weights == "none" or cfg.train.phases[-1].freeze or parameters < _MOST_PER_IMAGE * images:
        return []
    count = f"{parameters / 1e6:.1f} M" if parameters >= 100_000 else f"{parameters:,}"
    return [
        f"FEW IMAGES FOR THIS RECIPE: {images:,} train images, {count} parameters: training all of them may undo what the weights "
        "know. Try --recipe probe, which fits the head alone."
    ]


def estimate(learn: Learner, cfg: ExperimentConfig, on_event: EventCallback) -> float:
    """Seconds the training will take under the machine's load of this moment, from timed steps of a copy."""
    from plainfilm.train.estimate import estimate_time

    found = estimate_time(learn, cfg.train.phases)
    say_estimate(found, learn, cfg, on_event)
    return found.seconds


def say_estimate(
    found: Estimate, learn: Learner, cfg: ExperimentConfig, on_event: EventCallback, left: float | None = None
) -> None:
    """Send the estimate event; `left`: the share of the training that a resumed run still has to do, 0..1."""
    from plainfilm.train.machine.speed import threads_for

    slowdown = found.load.slowdown(threads_for(cfg.train.speed)) if str(learn.dls.device) == "cpu" else 1.0
    on_event("estimate", {
        "seconds": found.seconds * (1 if left is None else left), "epochs": sum(phase.epochs for phase in cfg.train.phases),
        "load": str(found.load), "slowdown": slowdown, "resumed": left is not None,
    })  # fmt: skip
