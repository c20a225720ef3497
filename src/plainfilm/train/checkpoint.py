"""The training state on disk: everything that makes a stopped run end bit-identical to one that never stopped.

`checkpoints/last.json` is the single source of truth: it says how far the run is, and has the name and hash of the
tensors file beside it. The tensors are written first, under a new number; only then is last.json replaced, and only
then is the older tensors file removed. A kill at any moment leaves one valid pair.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal

import torch
from fastai.learner import Learner
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save

from plainfilm.base.files import atomic_write, dump_json, read_regular
from plainfilm.base.json_text import parsed_json
from plainfilm.errors import DataError, DivergedError
from plainfilm.runs.folder import RunDir
from plainfilm.train.ema import PREFIX, STEPS, AverageWeights, weights_of

MODEL, SLOTS = "model", ("step", "exp_avg", "exp_avg_sq")  # AdamW's state of each parameter


class Best(BaseModel):
    """The best epoch so far, and the hash of its weights."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    phase: int
    epoch: int
    auroc: float
    valid_loss: float
    sha256: str


class State(BaseModel):
    """How far training is: `step` batches of `epoch` in `phase` are done; the tensors are in their own file.

    `pct_train`, `train_iter`, `hypers` (of each parameter group) and `smooth_loss` (count, value) are fastai's;
    `seen`, `right`, `loss_sum` and `epoch_seconds` are the current epoch's sums; `lr` is the rate that the finder
    found, if it ran; `seconds` is the time spent on the run, `estimate_seconds` the time that all of it takes by its steps.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    schema_version: Literal[1]
    number: int
    tensors_sha256: str
    start_sha256: str  # of the run that it belongs to
    phase: int
    epoch: int
    step: int
    pct_train: float
    train_iter: int
    hypers: list[dict[Literal["lr", "mom"], float]]
    smooth_count: int
    smooth_value: float
    seen: int
    right: int
    loss_sum: float
    epoch_seconds: float
    history: list[dict[str, int | float]]
    timing: list[dict[str, int | float]]
    best: Best | None
    lr: float | None
    seconds: float
    estimate_seconds: float | None = None


@dataclass(frozen=True)
class Checkpoint:
    """A state and its tensors: `model.<name>`, and `step`, `exp_avg`, `exp_avg_sq` by parameter name."""

    state: State
    tensors: dict[str, torch.Tensor]


def tensors_of(learn: Learner) -> dict[str, torch.Tensor]:
    """The network, the optimiser's moments and the averaged weights by name; contiguous, on the CPU, copied only if
    they are not both already."""
    average: AverageWeights | None = getattr(learn, "average_weights", None)
    exchanged = average is not None and average.in_use  # then the tensors change when the block ends
    with weights_of(learn, averaged=False):
        found = {f"{MODEL}.{name}": value for name, value in learn.model.state_dict().items()}
        for name, parameter in learn.model.named_parameters():
            slots = learn.opt.opt.state.get(parameter, {})
            found |= {f"{slot}.{name}": value for slot, value in slots.items()}
        if average:
            found |= average.tensors()
        named = {name: value.detach().cpu().contiguous() for name, value in found.items()}
        return {name: value.clone() for name, value in named.items()} if exchanged else named


def write_checkpoint(run: RunDir, facts: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    """Save a state; `facts` are the fields of State except the version and the tensors' hash.

    Raises:
        DivergedError: a tensor has NaN or infinite values; nothing is written.
    """
    odd = [name for name, value in tensors.items() if not bool(torch.isfinite(value).all())]
    if odd:
        raise DivergedError(
            f"The weights or the optimiser's moments became NaN or infinite in epoch {facts['epoch'] + 1}, after "
            f"step {facts['step']} (first: {odd[0]}). Train again with a smaller --lr (try a tenth)."
        )
    data = save(tensors)
    state = State(schema_version=1, tensors_sha256=hashlib.sha256(data).hexdigest(), **facts)
    atomic_write(run.state_tensors(state.number), data)
    plain = state.model_dump(mode="json")
    atomic_write(run.state, dump_json({"sha256": _digest(plain), "state": plain}))
    _forget_others(run, state.number)


def read_checkpoint(run: RunDir, start_sha256: str) -> Checkpoint | None:
    """The state to resume from; None when the run stopped before its first one.

    Raises:
        DataError: it is damaged, missing, or belongs to another run.
    """
    if not run.state.is_file():
        if run.history.is_file() or run.checkpoint("best").is_file():
            raise _damaged(run, "last.json is missing")
        return None
    state = _read_state(run)
    if state.start_sha256 != start_sha256:
        raise _damaged(run, "last.json and start.json belong to different runs")
    path = run.state_tensors(state.number)
    try:
        data = read_regular(path)
    except OSError as error:
        what = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise _damaged(run, f"{path.name} {what}") from None
    if hashlib.sha256(data).hexdigest() != state.tensors_sha256:
        raise _damaged(run, f"{path.name} is not the file that last.json describes")
    try:
        tensors = load(data)
    except (SafetensorError, ValueError, KeyError):
        raise _damaged(run, f"{path.name} holds no tensors") from None
    _forget_others(run, state.number)
    return Checkpoint(state, tensors)


def _read_state(run: RunDir) -> State:
    try:
        found = parsed_json(read_regular(run.state), run.state)
        if set(found) != {"sha256", "state"} or _digest(found["state"]) != found["sha256"]:
            raise _damaged(run, "last.json was changed after it was written")
        return State.model_validate(found["state"])
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise _damaged(run, f"last.json: {where}: {error.errors()[0]['msg']}") from None
    except (OSError, ValueError, TypeError):
        raise _damaged(run, "last.json is not JSON") from None


def _digest(state: Any) -> str:
    return hashlib.sha256(json.dumps(state, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _damaged(run: RunDir, what: str) -> DataError:
    return DataError(
        f"The checkpoint of {run.root} cannot be used: {what}. Restore checkpoints/ from a backup, or train again."
    )


def _forget_others(run: RunDir, number: int) -> None:
    """Remove the tensors of older states, and those whose last.json was never written."""
    for path in run.state.parent.glob("last-*.safetensors"):
        if path != run.state_tensors(number):
            with contextlib.suppress(OSError):  # harmless; the next state tries again
                path.unlink(missing_ok=True)


def restore(learn: Learner, tensors: dict[str, torch.Tensor], run: RunDir) -> None:
    """Restore weights and moments; every trainable parameter must have all its moments, and nothing may be left over.

    The moments are copied into tensors with the memory layout of their parameter. Fused AdamW walks raw memory: a
    contiguous moment of a channels_last parameter would silently be updated at the wrong places.

    Raises:
        DataError: names, shapes or types differ.
    """
    if learn.opt is None:
        learn.create_opt()
    model = learn.model.state_dict()
    trained = {name: p for name, p in learn.model.named_parameters() if p.requires_grad}
    wanted: dict[str, torch.Tensor] = {f"{MODEL}.{name}": value for name, value in model.items()}
    for name, parameter in trained.items():
        step = torch.zeros((), dtype=torch.float32, device=parameter.device if _fused(learn) else "cpu")
        wanted |= {f"{slot}.{name}": step if slot == "step" else parameter.detach() for slot in SLOTS}
    average: AverageWeights | None = getattr(learn, "average_weights", None)
    if average:
        wanted |= {PREFIX + name: value for name, value in model.items()} | {STEPS: torch.tensor(0)}
    _require_same(run, wanted, tensors)
    learn.model.load_state_dict({name: tensors[f"{MODEL}.{name}"] for name in model})
    for name, parameter in trained.items():
        back = {slot: torch.empty_like(wanted[f"{slot}.{name}"]).copy_(tensors[f"{slot}.{name}"]) for slot in SLOTS}
        learn.opt.opt.state[parameter] = back
    if average:
        average.load(tensors)


def _fused(learn: Learner) -> bool:
    return bool(learn.opt.opt.defaults.get("fused"))


def _require_same(run: RunDir, wanted: dict[str, torch.Tensor], found: dict[str, torch.Tensor]) -> None:
    for name in sorted(wanted.keys() | found.keys()):
        if name not in found:
            raise _damaged(run, f"{name} is missing")
        if name not in wanted:
            raise _damaged(run, f"{name} belongs to no trained parameter")
        shape, like = tuple(found[name].shape), tuple(wanted[name].shape)
        if shape != like or found[name].dtype != wanted[name].dtype:
            raise _damaged(run, f"{name} is {found[name].dtype} {shape}; expected {wanted[name].dtype} {like}")
