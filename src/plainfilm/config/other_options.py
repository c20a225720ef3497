"""Options that set no key, of the commands that take a config and of those that a run records.

The panels of `--help` and what a report hides are made from this table; typer's own declarations are in `cli`.
"""

from __future__ import annotations

from plainfilm.config.keys import READS, TRAIN, Option
from plainfilm.config.train import SPEED_SWITCHES

DEVICES = ("auto", "cpu", "cuda", "mps")
NUMBER = r"[0-9.eE+%-]{1,24}"
_GRID = ("experiments run",)
_STOPS = ("train", "resume")
_ALL = (*READS, "resume", *_GRID)
_CONFIGURED = tuple(command for command in READS if command != "init")  # init writes what the others read

OTHER_OPTIONS = (
    Option("--phase", "Training", ("lr-find",), "N", harmless=NUMBER),
    Option("--iterations", "Training", ("lr-find",), "N", harmless=NUMBER),
    Option("--max-minutes", "Training", _STOPS, "N", harmless=NUMBER),
    Option("--checkpoint-minutes", "Training", _STOPS, "N", harmless=NUMBER),
    Option("--without", "Speed", TRAIN, "LEVER", words=SPEED_SWITCHES),
    Option("--device", "Speed", (*_STOPS, "lr-find", *_GRID), "NAME", words=DEVICES),
    Option("--jobs", "Speed", _GRID, "N", harmless=NUMBER),
    Option("--offline", "Weights", ("train", "lr-find", *_GRID)),
    Option("--data", "Data", ("resume", *_GRID), "DATA", hides="DATA"),
    Option("--only", "Training", _GRID, "NAME", hides="NAME"),
    Option("--open-test", "Training", _GRID),
    Option("--fail-on", "Output", ("audit",), "VERDICT"),
    Option("--out", "Output", (*READS, *_GRID), "PATH", hides="OUT"),
    Option("--config", "Output", _CONFIGURED, "FILE", hides="CONFIG.yaml"),
    Option("--force", "Output", ("init",)),
    Option("--dry-run", "Output", ("train", *_GRID)),
    Option("--print-config", "Output", TRAIN),
    Option("--json", "Output", _ALL),
    Option("-q/--quiet", "Output", _ALL),
    Option("-v/--verbose", "Output", _ALL),
)
