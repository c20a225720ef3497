"""train, resume and lr-find."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from plainfilm.cli import options as opt
from plainfilm.cli.config_options import config_from
from plainfilm.cli.console import Terminal
from plainfilm.errors import UsageError
from plainfilm.runs.folder import CHECKPOINT_MINUTES


def train(
    data: opt.Data = None,
    model: opt.Model = None,
    weights: opt.Weights = None,
    freeze: opt.Freeze = None,
    freeze_epochs: opt.FreezeEpochs = None,
    freeze_lr: opt.FreezeLr = None,
    lr_ratio: opt.LrRatio = None,
    norm: opt.Norm = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", help="Passes over the train images. \\[default: 10]", show_default=False)
    ] = None,
    size: opt.Size = None,
    batch_size: opt.BatchSize = None,
    lr: Annotated[
        str | None,
        typer.Option(
            "--lr",
            metavar="RATE",
            help="Peak of the one-cycle schedule, or auto (runs the learning-rate finder first). \\[default: 1e-3]",
            show_default=False,
        ),
    ] = None,
    seed: opt.Seed = None,
    split: opt.SplitKind = None,
    folds: opt.Folds = None,
    fold: opt.Fold = None,
    positive: opt.Positive = None,
    balance: opt.Balance = None,
    class_weights: Annotated[
        bool | None,
        typer.Option(
            "--class-weights", help="Weight the loss by class size, instead of --balance.", show_default=False
        ),
    ] = None,
    label_smoothing: Annotated[
        float | None,
        typer.Option(
            "--label-smoothing",
            metavar="X",
            help="Share of each label spread over all classes. \\[default: 0]",
            show_default=False,
        ),
    ] = None,
    clip: Annotated[
        float | None,
        typer.Option(
            "--clip", metavar="NORM", help="Maximum gradient norm of a step. \\[default: none]", show_default=False
        ),
    ] = None,
    ema: Annotated[
        float | None,
        typer.Option(
            "--ema",
            metavar="DECAY",
            help="Decay of averaged weights to validate and keep, e.g. 0.99; 0 is off. \\[default: 0]",
            show_default=False,
        ),
    ] = None,
    augment: opt.Augment = None,
    keep: Annotated[
        str | None,
        typer.Option(
            "--keep",
            metavar="WHICH",
            help="best (epoch with the highest valid AUROC) or last. \\[default: best]",
            show_default=False,
        ),
    ] = None,
    threshold: Annotated[
        str | None,
        typer.Option(
            "--threshold",
            metavar="RULE",
            help="accuracy, youden, 'sensitivity>=0.95', 'specificity>=0.9' or a number; chosen on valid. \\[default: accuracy]",
            show_default=False,
        ),
    ] = None,
    threshold_on: Annotated[
        str | None,
        typer.Option(
            "--threshold-on",
            metavar="SPLIT",
            help="valid, or valid-shifted: valid images also under a fixed list of changes. \\[default: valid]",
            show_default=False,
        ),
    ] = None,
    pattern: opt.Pattern = None,
    follow_links: opt.FollowLinks = None,
    bits: opt.Bits = None,
    tiff: opt.Tiff = None,
    frame: opt.Frame = None,
    resize: opt.Resize = None,
    harmonise: opt.Harmonise = None,
    requantise: opt.Requantise = None,
    per_class: opt.PerClass = None,
    exclude: opt.Exclude = None,
    standardise: opt.Standardise = None,
    drop_duplicates: opt.DropDuplicates = None,
    max_bad: opt.MaxBad = None,
    cache: opt.Cache = None,
    audit: Annotated[
        bool | None,
        typer.Option(
            "--audit/--no-audit",
            help="Run shortcut probes before training. \\[default: audit]",
            show_default=False,
        ),
    ] = None,
    allow_leak: opt.AllowLeak = None,
    device: opt.Device = "auto",
    threads: opt.Threads = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            "--without",
            metavar="LEVER",
            help="Turn off a speed setting (plainfilm doctor lists them); may be repeated.",
            show_default=False,
        ),
    ] = None,
    max_minutes: opt.MaxMinutes = None,
    checkpoint_minutes: opt.CheckpointMinutes = CHECKPOINT_MINUTES,
    offline: opt.Offline = False,
    out: opt.Out = None,
    config: opt.Config = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the data and time a few steps; no training, no files.")
    ] = False,
    print_config: Annotated[
        bool,
        typer.Option(
            "--print-config", help="Print the resolved config and stop; without DATA, the defaults for your own images."
        ),
    ] = False,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
) -> None:
    """Train a network into a new run folder. No test image is read after the scan."""
    cfg = config_from(data, config, {
        "model.name": model, "model.weights": weights, "train.freeze": freeze, "train.freeze_epochs": freeze_epochs, "train.freeze_lr": _rate(freeze_lr), "train.lr_ratio": lr_ratio, "train.norm": norm, "train.epochs": epochs, "train.size_px": size, "train.batch_size": batch_size,
        "train.lr": _rate(lr), "train.seed": seed, "data.split": split, "data.folds": folds, "data.fold": fold,
        "data.positive": positive, "train.balance": balance,
        "train.class_weights": class_weights, "train.label_smoothing": label_smoothing, "train.clip": clip,
        "train.ema": ema, "train.speed.threads": _threads(threads), **{f"train.speed.{name}": False for name in without or ()},
        "train.augment": augment, "train.keep": keep,
        "evaluate.threshold": threshold, "evaluate.threshold_on": threshold_on, "data.patient_pattern": pattern, "data.follow_links": follow_links,
        "data.bits": bits, "data.allow_leak": allow_leak, "data.tiff": tiff, "data.frame": frame,
        "data.per_class": per_class, "data.exclude": exclude, "model.standardise": standardise, "data.resize": resize, "data.harmonise": harmonise, "data.requantise": requantise,
        "data.drop_duplicates": drop_duplicates, "data.max_bad": max_bad, "data.cache": cache, "data.audit": audit,
    }, template=print_config)  # fmt: skip
    if print_config:
        print(_OPEN_CONFIG * (cfg.data.path is None) + cfg.as_yaml(), end="")
        return
    from plainfilm.pipeline.train import train_run

    with Terminal(quiet=quiet, json=json) as terminal:
        terminal.result(
            train_run(
                cfg, out, device=device, dry_run=dry_run, checkpoint_minutes=checkpoint_minutes,
                max_minutes=max_minutes, offline=offline, on_event=terminal,
            )
        )  # fmt: skip


def models(json: opt.Json = False, quiet: opt.Quiet = False, verbose: opt.Verbose = False) -> None:
    """List the networks: sizes, sources, licences, and which ImageNet weights are on this machine."""
    from plainfilm.pipeline.housekeeping import list_models

    with Terminal(quiet=quiet, json=json, verbose=verbose) as terminal:
        terminal.result(list_models())


def resume(
    run: opt.Run,
    device: opt.OtherDevice = None,
    max_minutes: opt.MaxMinutes = None,
    checkpoint_minutes: opt.CheckpointMinutes = CHECKPOINT_MINUTES,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
) -> None:
    """Resume a stopped run from its last saved state; the result is as if it had never stopped."""
    from plainfilm.pipeline.train import resume_run

    with Terminal(quiet=quiet, json=json) as terminal:
        terminal.result(
            resume_run(
                run, device=device, checkpoint_minutes=checkpoint_minutes, max_minutes=max_minutes, on_event=terminal
            )
        )


def lr_find(
    data: opt.Data = None,
    model: opt.Model = None,
    weights: opt.Weights = None,
    freeze: opt.Freeze = None,
    freeze_epochs: opt.FreezeEpochs = None,
    lr_ratio: opt.LrRatio = None,
    norm: opt.Norm = None,
    phase: Annotated[
        int,
        typer.Option(
            "--phase",
            metavar="N",
            min=1,
            help="The phase to examine, e.g. 2 with --freeze-epochs; earlier phases are not trained.",
        ),
    ] = 1,
    size: opt.Size = None,
    batch_size: opt.BatchSize = None,
    seed: opt.Seed = None,
    split: opt.SplitKind = None,
    balance: opt.Balance = None,
    augment: opt.Augment = None,
    folds: opt.Folds = None,
    fold: opt.Fold = None,
    positive: opt.Positive = None,
    pattern: opt.Pattern = None,
    follow_links: opt.FollowLinks = None,
    bits: opt.Bits = None,
    tiff: opt.Tiff = None,
    frame: opt.Frame = None,
    resize: opt.Resize = None,
    harmonise: opt.Harmonise = None,
    requantise: opt.Requantise = None,
    per_class: opt.PerClass = None,
    exclude: opt.Exclude = None,
    standardise: opt.Standardise = None,
    drop_duplicates: opt.DropDuplicates = None,
    max_bad: opt.MaxBad = None,
    cache: opt.Cache = None,
    allow_leak: opt.AllowLeak = None,
    threads: opt.Threads = None,
    iterations: Annotated[int, typer.Option("--iterations", min=2, help="Steps with an increasing rate.")] = 100,
    device: opt.Device = "auto",
    offline: opt.Offline = False,
    out: opt.Out = None,
    config: opt.Config = None,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
) -> None:
    """Find a learning rate: loss against an increasing rate, saved as a figure and a table. Changes nothing."""
    cfg = config_from(data, config, {
        "model.name": model, "model.weights": weights, "train.freeze": freeze, "train.freeze_epochs": freeze_epochs, "train.lr_ratio": lr_ratio,
        "train.norm": norm, "train.size_px": size, "train.batch_size": batch_size, "train.seed": seed,
        "data.split": split, "train.balance": balance, "train.augment": augment, "data.patient_pattern": pattern,
        "data.folds": folds, "data.fold": fold, "data.positive": positive, "data.follow_links": follow_links,
        "data.bits": bits, "data.allow_leak": allow_leak, "data.tiff": tiff, "data.frame": frame,
        "data.per_class": per_class, "data.exclude": exclude, "model.standardise": standardise, "data.resize": resize, "data.harmonise": harmonise, "data.requantise": requantise,
        "data.drop_duplicates": drop_duplicates, "data.max_bad": max_bad, "data.cache": cache,
        "train.speed.threads": _threads(threads),
    })  # fmt: skip
    from plainfilm.pipeline.lr_find import find_learning_rate

    with Terminal(quiet=quiet, json=json) as terminal:
        terminal.result(
            find_learning_rate(
                cfg, out, device=device, num_it=iterations, phase=phase, offline=offline, on_event=terminal
            )
        )


_OPEN_CONFIG = """\
# For images of your own: plainfilm train DATA --config THIS_FILE. data.path is open; where it stays so, drawn phantom
# images are used. plainfilm train alone, without DATA and --config, is another experiment: experiments/phantom.yaml.
"""


def _rate(text: str | None) -> Any:
    """The number, or the text for the config to validate."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return text


def _threads(text: str | None) -> int | str | None:
    """The number of threads, or 'auto'."""
    if text is None or text == "auto":
        return text
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise UsageError(f"--threads {text!r} is not a number of threads; expected auto, or a number from 1.")
    return int(text)
