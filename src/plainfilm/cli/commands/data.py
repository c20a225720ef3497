"""phantom, audit, split, cache and doctor: everything before training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from plainfilm.cli import options as opt
from plainfilm.cli.config_options import ConfigKeys, config_from, takes_config_options
from plainfilm.cli.console import Terminal
from plainfilm.errors import GateError, UsageError


@opt.takes_terminal()
def phantom(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder for the images.")],
    images: Annotated[int, typer.Option("--images", help="Number of images, without planted copies.")] = 600,
    size: Annotated[int, typer.Option("--size", metavar="PX", help="Side of the square images.")] = 256,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same images.")] = 0,
    shortcut: Annotated[
        str,
        typer.Option(
            "--shortcut", metavar="KIND", help="Plant a shortcut to the class: none, jpeg (quality) or marker."
        ),
    ] = "none",
    duplicates: Annotated[
        int, typer.Option("--duplicates", metavar="N", help="Plant N identical copies under other patients.")
    ] = 0,
    near_duplicates: Annotated[
        int, typer.Option("--near-duplicates", metavar="N", help="Plant N re-encoded copies under other patients.")
    ] = 0,
    label_conflicts: Annotated[
        int, typer.Option("--label-conflicts", metavar="N", help="Plant N identical copies in the other class.")
    ] = 0,
    shared_patients: Annotated[
        int,
        typer.Option(
            "--shared-patients", metavar="N", help="Plant N patients in both train and test; implies --given-folders."
        ),
    ] = 0,
    given_folders: Annotated[
        bool, typer.Option("--given-folders", help="Put about 80 % of the images in OUT/train, 20 % in OUT/test.")
    ] = False,
    *,
    terminal: Terminal,
) -> None:
    """Draw a synthetic chest X-ray set: classes NORMAL and PNEUMONIA, several images per patient.

    Planted faults are the ground truth for testing an audit; only --json lists the files.
    """
    from plainfilm.data.synthetic.planted_faults import Faults
    from plainfilm.pipeline.phantom import draw_phantom

    faults = Faults(shortcut, duplicates, near_duplicates, label_conflicts, shared_patients, given_folders)
    with terminal:
        terminal.result(draw_phantom(out, images=images, size_px=size, seed=seed, faults=faults, on_event=terminal))


@takes_config_options("audit")
@opt.takes_terminal()
def audit(
    data: opt.Data = None,
    *,
    keys: ConfigKeys,
    fail_on: Annotated[
        str,
        typer.Option(
            "--fail-on",
            metavar="VERDICT",
            help="Exit 1 at this verdict or worse: warn (also at unknown), fail or never.",
        ),
    ] = "fail",
    out: opt.Out = None,
    config: opt.Config = None,
    terminal: Terminal,
) -> None:
    """Find faults in the images: damage, copies, leaks, label conflicts, shortcuts. Exit 1 on verdict fail."""
    if fail_on not in ("warn", "fail", "never"):
        raise UsageError(f"--fail-on {fail_on!r} is not a verdict; expected warn, fail or never.")
    cfg = config_from(data, config, keys)
    from plainfilm.pipeline.audit import audit_data

    with terminal:
        document = audit_data(cfg, out, terminal)
        terminal.result(document)
    grave = {"ok": 0, "unknown": 1, "warn": 1, "fail": 2}  # for a script, what could not be judged is not fine
    if fail_on != "never" and grave[document.verdict] >= grave[fail_on]:
        raise GateError(f"The audit's verdict is {document.verdict}. Findings: {document.page}")


@opt.takes_terminal()
def doctor(*, terminal: Terminal) -> None:
    """Show versions, devices, threads and speed settings, and what is slow and why."""
    from plainfilm.pipeline.doctor import examine

    with terminal:
        terminal.result(examine())


def cache(ctx: typer.Context) -> None:
    """The cache folder (decoded images, features): ls, clear."""
    if ctx.invoked_subcommand is None:
        raise UsageError("cache needs a subcommand: plainfilm cache ls, or plainfilm cache clear.")


@opt.takes_terminal()
def cache_ls(*, terminal: Terminal) -> None:
    """List the contents of the cache folder, and its size."""
    from plainfilm.pipeline.housekeeping import list_cache

    with terminal:
        terminal.result(list_cache())


@opt.takes_terminal()
def cache_clear(*, terminal: Terminal) -> None:
    """Remove everything that can be recreated: decoded images, features, scan results, unpacked archives, phantom sets."""
    from plainfilm.pipeline.housekeeping import clear_cache

    with terminal:
        terminal.result(clear_cache())


@takes_config_options("init")
@opt.takes_terminal()
def init(
    data: opt.GivenData,
    *,
    keys: ConfigKeys,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The YAML file to write.")] = Path(
        "plainfilm.yaml"
    ),
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    terminal: Terminal,
) -> None:
    """Write a commented config for DATA: what was found, and what may suit it. `train --config` runs on it."""
    from plainfilm.pipeline.init import init_config

    cfg = config_from(data, None, keys)
    with terminal:
        terminal.result(init_config(cfg, out, force=force, on_event=terminal))


@takes_config_options("split")
@opt.takes_terminal()
def split(
    data: opt.Data = None,
    *,
    keys: ConfigKeys,
    out: Annotated[Path, typer.Option("--out", metavar="CSV", help="The split file to write.")] = Path("split.csv"),
    config: opt.Config = None,
    terminal: Terminal,
) -> None:
    """Split the images into train, valid and test, and write the split file for `train --split FILE`."""
    from plainfilm.pipeline.split import split_data

    cfg = config_from(data, config, keys)
    with terminal:
        terminal.result(split_data(cfg, out, terminal))
