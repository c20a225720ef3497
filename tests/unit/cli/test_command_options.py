"""Names of options are a contract: those of every command, as they were before they were made from the config."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from plainfilm.cli import app
from plainfilm.config import OPTIONS, OTHER_OPTIONS

NAMES = {
    "phantom": "--duplicates --given-folders --images --json --label-conflicts --near-duplicates --seed --shared-patients --shortcut --size -q,--quiet -v,--verbose OUT",
    "audit": "--bits --cache/--no-cache --config --drop-duplicates --fail-on --follow-links --frame --harmonise --json --keep-label --label-column --label-pattern --labels-as-text --max-megapixels --missing-label --one-label --out --path-column --patient-column --patient-pattern --positive --requantise --resize --sandbox --seed --size --split-column --suffix --tiff --under -q,--quiet -v,--verbose DATA?",
    "split": "--allow-leak --bits --cache/--no-cache --config --date-column --drop-duplicates --fold --folds --follow-links --frame --group-column --group-pattern --json --keep-label --label-column --label-pattern --labels-as-text --max-bad --max-megapixels --missing-label --one-label --out --path-column --patient-column --patient-pattern --positive --sandbox --seed --split --split-column --suffix --test-series --tiff --under -q,--quiet -v,--verbose DATA?",
    "init": "--allow-leak --bits --cache/--no-cache --date-column --drop-duplicates --fold --folds --follow-links --force --frame --group-column --group-pattern --json --keep-label --label-column --label-pattern --labels-as-text --max-bad --max-megapixels --missing-label --one-label --out --path-column --patient-column --patient-pattern --positive --sandbox --seed --split --split-column --suffix --test-series --tiff --under -q,--quiet -v,--verbose DATA",
    "models": "--json -q,--quiet -v,--verbose",
    "lr-find": "--allow-leak --augment --balance --batch-size --bits --cache/--no-cache --config --date-column --device --drop-duplicates --exclude --fold --folds --follow-links --frame --freeze --freeze-epochs --group-column --group-pattern --harmonise --iterations --json --keep-label --label-column --label-pattern --labels-as-text --lr-ratio --max-bad --max-megapixels --missing-label --model --norm --offline --one-label --out --path-column --patient-column --patient-pattern --per-class --phase --positive --precision --range --recipe --requantise --resize --sandbox --seed --size --split --split-column --standardise --suffix --test-series --threads --tiff --under --weights -q,--quiet -v,--verbose DATA?",
    "train": "--allow-leak --audit/--no-audit --augment --balance --batch-size --bits --cache/--no-cache --checkpoint-minutes --class-weights --clip --config --date-column --device --drop-duplicates --dry-run --ema --epochs --exclude --fold --folds --follow-links --frame --freeze --freeze-epochs --freeze-lr --group-column --group-pattern --harmonise --json --keep --keep-label --label-column --label-pattern --label-smoothing --labels-as-text --lr --lr-ratio --max-bad --max-megapixels --max-minutes --missing-label --model --norm --offline --one-label --out --path-column --patient-column --patient-pattern --per-class --positive --precision --print-config --range --recipe --requantise --resize --sandbox --seed --size --split --split-column --standardise --suffix --test-series --threads --threshold --threshold-on --tiff --under --weights --without -q,--quiet -v,--verbose DATA?",
    "resume": "--checkpoint-minutes --data --device --json --max-minutes -q,--quiet -v,--verbose RUN",
    "evaluate": "--again --by --data --device --drop-known --external --fail-under --follow-links --json --keep-label --label-column --label-pattern --labels-as-text --leave-out --map --missing-label --one-label --path-column --patient-column --patient-pattern --prevalence --split --split-column --suffix --threshold --under -q,--quiet -v,--verbose RUN",
    "show": "--adopt --json --split -q,--quiet -v,--verbose RUN",
    "interpret": "--data --device --heat --heat-maps --json --split -q,--quiet -v,--verbose RUN",
    "report": "--data --json --names --out -q,--quiet -v,--verbose RUN",
    "export": "--data --json --out -q,--quiet -v,--verbose RUN",
    "recalibrate": "--cross-fit --data --device --drop-known --follow-links --json --keep-label --label-column --label-pattern --labels-as-text --leave-out --map --method --missing-label --on --one-label --out --path-column --patient-column --patient-pattern --prevalence-threshold --refit-gate --seed --split-column --suffix --under -q,--quiet -v,--verbose RUN|BUNDLE",
    "predict": "--bits --follow-links --format --heatmaps --json --out --sandbox --threads --threshold --yes -q,--quiet -v,--verbose BUNDLE PATH...",
    "serve": "--host --max-mb --open --port --queue --token --token-file -q,--quiet -v,--verbose BUNDLE",
    "compare": "--json --margin --metric --split -q,--quiet -v,--verbose RUN RUN...",
    "runs": "--data --json --model --reverse --sort --status -q,--quiet -v,--verbose FOLDER?",
    "board": "--host --open --port --token --token-file -q,--quiet -v,--verbose FOLDER?",
    "plan": "--correlation --difference --icc --images-per-patient --json --like --metric --patients --power --prevalence --seed --value --width -q,--quiet -v,--verbose",
    "tune": "--data --device --dry-run --json --offline --out --sampler --seed -q,--quiet -v,--verbose FILE.yaml",
    "card": "--json --set -q,--quiet -v,--verbose RUN",
    "doctor": "--json -q,--quiet -v,--verbose",
    "experiments": "",
    "experiments run": "--data --device --dry-run --jobs --json --offline --only --open-test --out -q,--quiet -v,--verbose FILE.yaml",
    "experiments table": "--json --margin --out -q,--quiet -v,--verbose DIR...?",
    "cache": "",
    "cache ls": "--json -q,--quiet -v,--verbose",
    "cache clear": "--json -q,--quiet -v,--verbose",
}  # fmt: skip


def commands(group: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        yield f"{path}{name}", command
        if hasattr(command, "commands"):
            yield from commands(command, f"{path}{name} ")


def names_of(param: Any) -> str:
    if param.param_type_name == "argument":
        return f"{param.metavar}{'' if param.required else '?'}"
    return "/".join([",".join(param.opts), *([",".join(param.secondary_opts)] if param.secondary_opts else [])])


def test_every_command_has_the_options_it_had():
    found = {path: " ".join(sorted(map(names_of, command.params))) for path, command in commands(get_command(app))}
    assert found == NAMES


@pytest.mark.parametrize("command", ["train", "resume", "lr-find", "audit", "split", "init", "experiments run"])
def test_every_option_is_in_the_table_of_those_that_set_a_key_or_of_the_others(command):
    """From these come the panels of --help and what a report shows of a command."""
    typed = {word.replace(",", "/") for word in NAMES[command].split() if word.startswith("-")}
    keys = {found.option.names for found in OPTIONS.values() if command in found.option.on} - {"DATA"}
    others = [option for option in OTHER_OPTIONS if command in option.on]
    assert typed == keys | {option.names for option in others} and len(typed) == len(keys) + len(others)
    flags = {param.opts[0] for param in dict(commands(get_command(app)))[command].params if param.param_type_name == "option" and param.is_flag}  # fmt: skip
    assert {o.each_name[0] for o in others if not o.metavar} == flags & {o.each_name[0] for o in others}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--threads", "many"], "plainfilm: --threads 'many' is not a number of threads; expected auto, or a number from 1."),
        (["--threads", "0"], "plainfilm: --threads '0' is not a number of threads; expected auto, or a number from 1."),
        (["--lr", "fast"], "train.lr.constrained-float: Input should be a valid number"),
        (["--epochs", "x"], "Invalid value for '--epochs'"),
        (["--norm", "x"], "train.norm: Input should be 'batch' or 'hold' (found 'x')"),
        (["--without", "brakes"], "train.speed.brakes: unknown key"),
        (["--without", "backbone_masks"], "Set train.speed.backbone_masks in a config"),
        (["--without", "cache"], "its own option is --no-cache"),
        (["--size", "3"], "train.size_px: Input should be greater than or equal to 16 (found 3)"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_in_one_line(words, said):
    told = CliRunner().invoke(app, ["train", "DATA", *words, "--print-config"])
    assert told.exit_code == 2
    assert said in told.stderr and told.stderr.count("\n") == 1


def test_paths_of_options_are_kept_from_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "split.csv").write_text("path,split\n")
    told = CliRunner().invoke(
        app, ["train", "DATA", "--split", "split.csv", "--weights", "runs/a", "--exclude", "x.csv", "--print-config"]
    )
    assert told.exit_code == 0, told.stderr
    for line in (f"split: {tmp_path}/split.csv", f"weights: {tmp_path}/runs/a", f"exclude: {tmp_path}/x.csv"):
        assert line in told.stdout
    told = CliRunner().invoke(app, ["train", "DATA", "--split", "kfold", "--weights", "imagenet", "--print-config"])
    assert "split: kfold" in told.stdout and "weights: imagenet" in told.stdout
    told = CliRunner().invoke(app, ["train", "DATA", "--split", "none.csv", "--print-config"])
    assert "split: none.csv" in told.stdout  # what is no file is refused where the split is made, as it was typed
