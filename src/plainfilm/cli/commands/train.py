"""train, resume and lr-find."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from plainfilm.base.terminal import tell
from plainfilm.cli import options as opt
from plainfilm.cli.config_options import ConfigKeys, config_from, takes_config_options
from plainfilm.cli.console import Terminal
from plainfilm.config import SPEED_SWITCHES, SpeedConfig
from plainfilm.errors import UsageError
from plainfilm.runs.folder import CHECKPOINT_MINUTES


@takes_config_options("train")
@opt.takes_terminal()
def train(
    data: opt.Data = None,
    *,
    keys: ConfigKeys,
    device: opt.Device = "auto",
    without: Annotated[
        list[str] | None,
        opt.unless_given(
            "--without", "LEVER", "Turn off a speed setting (plainfilm doctor lists them); may be repeated."
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
    terminal: Terminal,
) -> None:
    """Train a network into a new run folder. No test image is read after the scan."""
    keys |= _turned_off(without or ())
    cfg = config_from(data, config, keys, template=print_config)
    if print_config:
        tell((_OPEN_CONFIG * (cfg.data.path is None) + cfg.as_yaml()).rstrip("\n"), sys.stdout, data=True)
        return
    from plainfilm.pipeline.train import train_run

    with terminal:
        terminal.result(
            train_run(
                cfg, out, device=device, dry_run=dry_run, checkpoint_minutes=checkpoint_minutes,
                max_minutes=max_minutes, offline=offline, on_event=terminal,
            )
        )  # fmt: skip


@opt.takes_terminal()
def models(*, terminal: Terminal) -> None:
    """List the networks: sizes, sources, licences, and which ImageNet weights are on this machine."""
    from plainfilm.pipeline.housekeeping import list_models

    with terminal:
        terminal.result(list_models())


@opt.takes_terminal()
def resume(
    run: opt.Run,
    data: opt.MovedData = None,
    device: opt.OtherDevice = None,
    max_minutes: opt.MaxMinutes = None,
    checkpoint_minutes: opt.CheckpointMinutes = CHECKPOINT_MINUTES,
    *,
    terminal: Terminal,
) -> None:
    """Resume a stopped run from its last saved state; the result is as if it had never stopped."""
    from plainfilm.pipeline.train import resume_run

    with terminal:
        terminal.result(
            resume_run(
                run,
                data=data,
                device=device,
                checkpoint_minutes=checkpoint_minutes,
                max_minutes=max_minutes,
                on_event=terminal,
            )
        )


@takes_config_options("lr-find")
@opt.takes_terminal()
def lr_find(
    data: opt.Data = None,
    *,
    keys: ConfigKeys,
    phase: Annotated[
        int,
        typer.Option(
            "--phase",
            metavar="N",
            min=1,
            help="The phase to examine, e.g. 2 with --freeze-epochs; earlier phases are not trained.",
        ),
    ] = 1,
    iterations: Annotated[int, typer.Option("--iterations", min=2, help="Steps with an increasing rate.")] = 100,
    device: opt.Device = "auto",
    offline: opt.Offline = False,
    out: opt.Out = None,
    config: opt.Config = None,
    terminal: Terminal,
) -> None:
    """Find a learning rate: loss against an increasing rate, saved as a figure and a table. Changes nothing."""
    cfg = config_from(data, config, keys)
    from plainfilm.pipeline.lr_find import find_learning_rate

    with terminal:
        terminal.result(
            find_learning_rate(
                cfg, out, device=device, num_it=iterations, phase=phase, offline=offline, on_event=terminal
            )
        )


_OPEN_CONFIG = """\
# For images of your own: plainfilm train DATA --config THIS_FILE. data.path is open; where it stays so, drawn phantom
# images are used. plainfilm train alone, without DATA and --config, is another experiment: experiments/phantom.yaml.
"""


def _turned_off(settings: Sequence[str]) -> dict[str, bool]:
    """The config keys of --without.

    Raises:
        UsageError: a setting that is no switch; other unknown ones are refused with the config.
    """
    for name in settings:
        if name in SpeedConfig.model_fields and name not in SPEED_SWITCHES:
            raise UsageError(f"--without {name}: it is not on or off. Set train.speed.{name} in a config (--config).")
        if name == "cache":
            raise UsageError("--without cache: its own option is --no-cache.")
    return {f"train.speed.{name}": False for name in settings}
