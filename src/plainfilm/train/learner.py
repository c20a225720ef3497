"""make_learner(): DataLoaders, a network and a config become a fastai Learner."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import fastai.callback.schedule  # noqa: F401 - gives every Learner fit_one_cycle, fine_tune and lr_find
import numpy as np
import torch
from fastai.callback.training import GradientClip
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.learner import TrainEvalCallback as TrainEval
from fastai.losses import CrossEntropyLossFlat
from fastai.metrics import accuracy
from fastai.optimizer import OptimWrapper
from sklearn.metrics import roc_auc_score
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from plainfilm.base.wait_policy import TOO_LATE, TORCH_CAME_FIRST, wait_policy
from plainfilm.config import TrainConfig
from plainfilm.errors import ConfigError
from plainfilm.models.build import parameter_groups
from plainfilm.train.callbacks import (
    HoldNorm,
    KeyedRandomness,
    NoSlowdown,
    StopWhenDiverged,
    ValidateInFullFp32,
)
from plainfilm.train.ema import AverageWeights
from plainfilm.train.late_numbers import LateNumbers, MeanMetric, WholeMetric, recorder
from plainfilm.train.machine.precision import choose_precision, set_precision
from plainfilm.train.machine.speed import FUSED_ON
from plainfilm.train.memory import PlainLosses
from plainfilm.train.progress import progress_of


def make_learner(
    dls: DataLoaders,
    model: nn.Module,
    cfg: TrainConfig,
    *,
    path: Path,
    on_event: Callable[[str, dict[str, Any]], None] | None = None,
) -> Learner:
    """A fastai Learner: cross-entropy on logits, fused AdamW, accuracy and AUROC after each epoch.

    The losses in its history are those it minimises: with class weights and label smoothing where configured.

    Args:
        path: where fastai may write (its own default is the data folder).
        on_event: event callback for each batch and epoch; without one fastai's own bars and epoch table are shown.
    """
    device = dls.device or torch.device("cpu")
    if device.type == "cpu" and wait_policy() == TOO_LATE:
        warnings.warn(TORCH_CAME_FIRST, stacklevel=2)
    if cfg.norm == "hold" and not any(isinstance(m, torch.nn.modules.batchnorm._BatchNorm) for m in model.modules()):
        raise ConfigError(
            "train.norm: hold keeps the statistics of BatchNorm, and this network has none. Leave it out."
        )
    late = LateNumbers(cfg.gpu.loss_every if device.type == "cuda" else 1)
    set_precision(model, choose_precision(cfg, device.type).name)
    own = [
        late,
        KeyedRandomness(cfg.seed, plain_tensors=cfg.speed.plain_tensors),
        PlainLosses(),
        StopWhenDiverged(),
        progress_of(on_event),
        NoSlowdown(),
    ]
    own += [GradientClip(cfg.clip)] if cfg.clip else []
    own += [HoldNorm()] if cfg.norm == "hold" else []
    own += [AverageWeights(cfg.ema)] if cfg.ema else []
    own += [ValidateInFullFp32()] if device.type == "cuda" else []
    return Learner(
        dls,
        model.to(device),
        loss_func=CrossEntropyLossFlat(
            weight=_class_weights(dls).to(device) if cfg.class_weights else None, label_smoothing=cfg.label_smoothing
        ),
        opt_func=partial(OptimWrapper, opt=_AdamW, fused=cfg.speed.fused and device.type in FUSED_ON),
        lr=cfg.lr if isinstance(cfg.lr, float) else 1e-3,
        wd=cfg.wd,  # on all parameters, biases and norms too: torch's AdamW makes no exception
        metrics=[
            MeanMetric(accuracy),
            WholeMetric(_auroc, dim_argmax=-1, flatten=False, activation="softmax", name="auroc"),
        ],
        splitter=parameter_groups,
        train_bn=False,  # a frozen BatchNorm does not change, as the features of a frozen network are computed once
        path=path,
        default_cbs=False,
        cbs=[TrainEval(), recorder(late.every), *own],
    )


class _AdamW(torch.optim.AdamW):
    """torch's AdamW without its hooks for torch.compile, which is not used here.

    The first call of a hooked method imports the compiler: 1.3 s before the first step.
    """

    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))
    zero_grad = inspect.unwrap(torch.optim.AdamW.zero_grad)
    add_param_group = inspect.unwrap(torch.optim.AdamW.add_param_group)


def _auroc(probs: torch.Tensor, targs: torch.Tensor) -> float:
    """Area under the ROC curve, 0..1; with more than two classes the mean of one against the rest.

    Args:
        probs: (n, k), rows sum to 1.
        targs: (n,), class indices; a class without images, or without images of other classes, is left out of the mean.
    """
    p, y = probs.cpu().double().numpy(), targs.cpu().numpy()
    classes = [1] if p.shape[1] == 2 else range(p.shape[1])
    scores = [roc_auc_score(y == k, p[:, k]) for k in classes if 0 < (y == k).sum() < len(y)]
    return float(np.mean(scores)) if scores else float("nan")


def _class_weights(dls: DataLoaders) -> torch.Tensor:
    """Weight of each class in the loss, (k,): inversely proportional to its number of train images, mean 1 over the
    images."""
    from plainfilm.data.loaders.block import targets_of

    targs = targets_of(dls.train_ds)
    return torch.tensor(
        compute_class_weight("balanced", classes=np.arange(len(dls.vocab)), y=targs), dtype=torch.float32
    )
