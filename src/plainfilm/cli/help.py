"""How `--help` is laid out: panels in the order of the work, flags without a type, examples at the end."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup

from plainfilm.config import OTHER_OPTIONS

_PANELS = {name: option.panel for option in OTHER_OPTIONS for name in option.each_name}

EXAMPLES = {
    "train": r"""
        Examples:
          plainfilm train                          drawn images, to try it
          plainfilm train DATA --dry-run           check the data, time a few steps
          plainfilm train DATA --patient-pattern '^(\d+)_' --out runs/first
          plainfilm train DATA --model resnet18 --weights imagenet --lr-ratio 0.1
          plainfilm train DATA --config my.yaml --seed 1
    """,
    "lr-find": """
        Examples:
          plainfilm lr-find DATA
          plainfilm lr-find DATA --model resnet18 --weights imagenet --freeze
          plainfilm lr-find DATA --weights runs/first --freeze-epochs 1 --phase 2
    """,
    "audit": r"""
        Examples:
          plainfilm audit DATA
          plainfilm audit DATA --patient-pattern '^(\d+)_' --out audit
          plainfilm audit DATA --fail-on warn --json > audit.json
    """,
    "split": """
        Examples:
          plainfilm split DATA --out split.csv     whole patients, 60/25/15 %
          plainfilm split DATA --split kfold --folds 5 --fold 0
          plainfilm split LIST.csv --split group --group-column hospital
          plainfilm train DATA --split split.csv   trains on what was written
    """,
    "init": r"""
        Examples:
          plainfilm init DATA                      writes plainfilm.yaml
          plainfilm init DATA --patient-pattern '^(\d+)_' --out my.yaml
          plainfilm train --config my.yaml         trains what it says
    """,
    "evaluate": """
        Examples:
          plainfilm evaluate RUN                   on valid
          plainfilm evaluate RUN --split test      once, at the end; recorded
          plainfilm evaluate RUN --threshold 'sensitivity>=0.95'
          plainfilm evaluate RUN --external OTHER --map healthy=NORMAL
    """,
    "recalibrate": """
        Examples:
          plainfilm recalibrate RUN --on LOCAL --map healthy=NORMAL
          plainfilm recalibrate BUNDLE.zip --on LOCAL --cross-fit
          plainfilm recalibrate RUN --on UNLABELLED --prevalence-threshold 0.3
    """,
    "tune": """
        Examples:
          plainfilm tune lr.yaml --dry-run         check the file, time a few steps
          plainfilm tune lr.yaml                   begin, or go on
          plainfilm tune lr.yaml --sampler random  a study of its own, to compare
    """,
    "card": """
        Examples:
          plainfilm card RUN                       what is open, with its question
          plainfilm card RUN --set contact='Jane Doe' --set licence=MIT
          plainfilm card RUN --set contact=        opens the field again
    """,
    "runs": """
        Examples:
          plainfilm runs
          plainfilm runs runs/experiments --sort valid
          plainfilm runs --status done --model resnet --json
    """,
    "board": """
        Examples:
          plainfilm board                          http://127.0.0.1:8001/
          plainfilm board runs/experiments --port 0 --open
    """,
    "plan": """
        Examples:
          plainfilm plan --metric sensitivity --value 0.95 --width 0.06
          plainfilm plan --value 0.97 --difference 0.02 --prevalence 0.3
          plainfilm plan --like runs/first --value 0.95 --width 0.04
          plainfilm plan --value 0.95 --patients 120
    """,
}


class HelpCommand(TyperCommand):
    """A command whose help shows flags without a type, and every option in a panel where any is."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, as typer's help shows them."""
        return _shown(super().get_params(ctx))


class HelpGroup(TyperGroup):
    """A group whose help shows flags without a type."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, as typer's help shows them."""
        return _shown(super().get_params(ctx))


def _shown(params: list[Any]) -> list[Any]:
    options = [param for param in params if param.param_type_name == "option"]
    in_panels = any(option.rich_help_panel for option in options)
    for option in options:
        if option.is_flag:
            option.metavar = ""  # typer would show <bool>
        if in_panels and not option.rich_help_panel:
            option.rich_help_panel = _PANELS.get(option.opts[0], "Output")  # --help itself is in no table
    return params
