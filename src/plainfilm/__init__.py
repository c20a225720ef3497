"""plainfilm turns a folder of medical images into a classifier and says how far its score can be believed.

The public names are resolved when first used: importing plainfilm imports neither torch nor fastai. It asks torch, if
it is not loaded yet, to let waiting threads sleep (base.wait_policy).
"""

from __future__ import annotations

from importlib import import_module

from plainfilm.base.wait_policy import sleep_while_waiting

TYPE_CHECKING = False  # importing typing takes longer than all of this, and a signal meanwhile finds no handler of ours
if TYPE_CHECKING:
    from typing import Any

__version__ = "0.3.0"

sleep_while_waiting()  # here, since every entry passes here before it loads torch

_HOMES = {
    "load_config": "plainfilm.config",
    "build_table": "plainfilm.data.table.image_table",
    "make_split": "plainfilm.data.split.splits",
    "decode": "plainfilm.data.image.decode",
    "DecodeSpec": "plainfilm.data.image.decode",
    "decode_spec": "plainfilm.pipeline.prepare",
    "decode_rows": "plainfilm.data.cache.rows",
    "make_dls": "plainfilm.data.loaders.block",
    "build_model": "plainfilm.models.build",
    "make_learner": "plainfilm.train.learner",
    "measure": "plainfilm.evaluate.metrics.measure",
    "train_run": "plainfilm.pipeline.train",
    "resume_run": "plainfilm.pipeline.train",
    "evaluate_run": "plainfilm.pipeline.evaluate",
    "interpret_run": "plainfilm.pipeline.interpret",
    "compare_runs": "plainfilm.pipeline.compare",
    "export_run": "plainfilm.export.bundle",
    "open_bundle": "plainfilm.export.scorer",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'plainfilm' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
