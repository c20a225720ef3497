"""Cost of a configuration: training time, memory, model size, and latency of one image on this CPU."""

from __future__ import annotations

import io
import time
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from plainfilm.base.files import dump_json, regular_file
from plainfilm.base.json_text import json_model
from plainfilm.errors import DataError
from plainfilm.runs.card import read_card
from plainfilm.runs.folder import RunDir
from plainfilm.runs.run_manifest import is_kept, read_verified, write_file
from plainfilm.schemas.documents import TrainDocument

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
WARM_UP, REPEATS, MOST_SECONDS = 3, 50, 3.0
_WAIT_SECONDS = 60  # for an `evaluate` of the same run: a training that succeeded must not count as failed


class _Latency(BaseModel):
    """Milliseconds for one image through the network on the CPU, without decoding: median and the middle 80 %."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    median_ms: float
    low_ms: float
    high_ms: float
    n: int
    threads: int


class Cost(BaseModel):
    """cost.json of a run; None: not measured. `peak_rss_exact` is False if the process had used as much before."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_version: Literal[1] = 1
    parameters: int
    weights_mb: float
    seconds: float | None = None
    train_img_per_s: float | None = None
    peak_rss_mb: float | None = None
    peak_rss_exact: bool = False
    latency: _Latency | None = None


def read_cost(run: RunDir) -> Cost:
    """The saved cost, or what can be read from the run folder without it.

    Raises:
        DataError: cost.json is damaged, or the weights are.
    """
    if not is_kept(run, run.cost):
        return Cost(**_size(run), **_time(run))
    try:
        saved = json_model(Cost, read_verified(run, run.cost), run.cost)
    except (ValidationError, ValueError, OSError):
        raise DataError(
            f"{run.cost} is damaged or of a newer version. Remove it and repeat experiments run, which measures it again."
        ) from None
    return saved.model_copy(update=_size(run))  # versions count parameters differently; reading a header is fast


def write_cost(run: RunDir, trained: TrainDocument | None = None, peak_before_mb: float | None = None) -> None:
    """Save the cost of a training.

    Args:
        peak_before_mb: the process's peak before it; None: a process of its own.
    Raises:
        OccupiedError: another process writes the run, and has not ended after a minute.
    """
    facts: dict[str, Any] = _time(run)
    if trained is not None and trained.timing is not None:
        peak = trained.timing.peak_rss_mb
        facts = {
            "seconds": trained.timing.seconds, "train_img_per_s": trained.timing.train_img_per_s,
            "peak_rss_mb": peak, "peak_rss_exact": peak_before_mb is None or peak > 1.01 * peak_before_mb,
        }  # fmt: skip
    cost = Cost(**_size(run), **facts)
    with run.lock(_WAIT_SECONDS):
        _save(run, cost)


def _save(run: RunDir, cost: Cost) -> None:
    write_file(run, run.cost, dump_json(cost.model_dump(mode="json")))


def _size(run: RunDir) -> dict[str, Any]:
    """Number of weights in the file without BatchNorm's statistics, and the file's size with them."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(regular_file(run.weights), framework="numpy") as tensors:
            names = [name for name in tensors.keys() if not name.endswith(_STATISTICS)]  # noqa: SIM118 - not a dict
            shapes = [tensors.get_slice(name).get_shape() for name in names]
        return {
            "parameters": int(sum(np.prod(shape, dtype=np.int64) for shape in shapes)),
            "weights_mb": run.weights.stat().st_size / 1e6,
        }
    except (OSError, SafetensorError):
        raise DataError(f"{run.weights} is missing or damaged. Restore it from a backup, or train again.") from None


def _time(run: RunDir) -> dict[str, Any]:
    """Times from timing.csv: epochs only, without scan, decoding and probes."""
    try:
        rows = pd.read_csv(io.BytesIO(read_verified(run, run.timing)))
        return {
            "seconds": float(rows["epoch_seconds"].sum()),
            "train_img_per_s": float(rows["images"].sum() / rows["train_seconds"].sum()),
        }
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return {}


def _measure_latency(run: RunDir) -> _Latency:
    """One image after another, at least 10 and at most 50, for about three seconds."""
    import torch

    from plainfilm.models.build import fresh_model, load_weights

    card = read_card(run)
    size_px, channels = card.decode["size_px"], card.decode["channels"]
    model = fresh_model(card.model, len(card.vocab), size_px, channels=channels)
    load_weights(model, run.weights)
    model.eval()
    image, taken, started = torch.full((1, channels, size_px, size_px), 0.5), [], time.perf_counter()
    with torch.inference_mode():
        for repeat in range(WARM_UP + REPEATS):
            begun = time.perf_counter()
            model(image)
            taken.append(time.perf_counter() - begun)
            if repeat >= WARM_UP + 10 and begun - started > MOST_SECONDS:
                break
    low, median, high = (float(x) * 1e3 for x in np.percentile(taken[WARM_UP:], [10, 50, 90]))
    threads = torch.get_num_threads()
    return _Latency(median_ms=median, low_ms=low, high_ms=high, n=len(taken) - WARM_UP, threads=threads)


def write_latency(run: RunDir) -> _Latency:
    """Time the run's network on one image, and add it to cost.json; raises as write_cost()."""
    latency = _measure_latency(run)
    with run.lock(_WAIT_SECONDS):
        _save(run, read_cost(run).model_copy(update={"latency": latency}))
    return latency
