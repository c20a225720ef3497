"""Check that every run can start, before the first one begins, which may take hours."""

from __future__ import annotations

from collections.abc import Sequence

from plainfilm.base.events import EventCallback
from plainfilm.config import ExperimentConfig
from plainfilm.errors import ConfigError, PlainfilmError
from plainfilm.experiments.status import Place
from plainfilm.models.find_weights import find_weights
from plainfilm.models.registry import check_sizes, require_library


def require_possible(places: Sequence[Place], *, device: str, offline: bool, on_event: EventCallback) -> None:
    """Check networks, sizes, precision and weights of all new runs; ImageNet's weights are downloaded now if allowed.

    A stopped run has its own weights, and a finished one needs none.

    Raises:
        PlainfilmError: the type that all faults share, else ConfigError; names every configuration with its fault.
    """
    faults: dict[str, PlainfilmError] = {}
    checked: set[str] = set()
    for place in places:
        cfg, name = place.planned.cfg, place.planned.configuration
        key = f"{cfg.model!r} {[phase.size_px for phase in cfg.train.phases]} {cfg.train.norm} {cfg.train.precision}"
        if place.standing != "new" or key in checked:
            continue
        checked.add(key)
        try:
            _require(cfg, device, offline=offline, on_event=on_event)
        except PlainfilmError as error:
            faults.setdefault(name, error)
    if not faults:
        return
    kinds = {type(error) for error in faults.values()}
    listed = "; ".join(f"{name}: {str(error).rstrip('.')}" for name, error in faults.items())
    of = len({place.planned.configuration for place in places})
    message = f"{len(faults)} of {of} configurations cannot be trained, and none was started: {listed}."
    raise kinds.pop()(message) if len(kinds) == 1 else ConfigError(message)


def _require(cfg: ExperimentConfig, device: str, *, offline: bool, on_event: EventCallback) -> None:
    spec = check_sizes(cfg.model, cfg.train)
    require_library(spec)
    if cfg.train.norm == "hold" and not spec.batch_norm:
        raise ConfigError(f"train.norm: hold keeps the statistics of BatchNorm, and {cfg.model.name!r} has none")
    if cfg.train.precision == "bf16":
        _require_bf16(cfg, device)
    find_weights(cfg.model, offline=offline, on_event=on_event)


def _require_bf16(cfg: ExperimentConfig, device: str) -> None:
    from plainfilm.models.build import pick_device
    from plainfilm.train.machine.precision import choose_precision

    choose_precision(cfg.train, pick_device(device))
