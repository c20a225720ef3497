"""phantom and split: images and who belongs where."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from plainfilm.cli import options as opt
from plainfilm.cli.talk import Talk


def phantom(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder for the images.")],
    images: Annotated[int, typer.Option("--images", help="How many.")] = 600,
    size: Annotated[int, typer.Option("--size", metavar="PX", help="Side of the square images.")] = 256,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same images.")] = 0,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
) -> None:
    """Draw a synthetic chest X-ray set: classes NORMAL and PNEUMONIA, several images per patient."""
    from plainfilm.pipeline import draw_phantom

    with Talk(quiet=quiet, json=json) as talk:
        talk.result(draw_phantom(out, images=images, size_px=size, seed=seed, listener=talk))


def split(
    data: opt.Data = None,
    out: Annotated[Path, typer.Option("--out", metavar="CSV", help="The split file to write.")] = Path("split.csv"),
    kind: opt.SplitKind = None,
    folds: opt.Folds = None,
    fold: opt.Fold = None,
    seed: opt.Seed = None,
    pattern: opt.Pattern = None,
    positive: opt.Positive = None,
    follow_links: opt.FollowLinks = None,
    allow_leak: opt.AllowLeak = None,
    config: opt.Config = None,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
) -> None:
    """Divide the images into train, valid and test, and write the split file that `train --split FILE` takes."""
    from plainfilm.pipeline import split_data

    cfg = opt.config_from(data, config, {
        "data.split": kind, "data.folds": folds, "data.fold": fold, "train.seed": seed, "data.positive": positive,
        "data.patient_pattern": pattern, "data.follow_links": follow_links, "data.allow_leak": allow_leak,
    })  # fmt: skip
    with Talk(quiet=quiet, json=json) as talk:
        talk.result(split_data(cfg, out, talk))
