"""Options shared by several commands, and how they become a config."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from plainfilm.errors import UsageError

Data = Annotated[
    Path | None,
    typer.Argument(
        metavar="DATA",
        help="Folder of class folders (with or without train/val/test above them), or a CSV path,label[,patient][,split]. Default: the drawn phantom set.",
    ),
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="The run folder that train printed.")]
Out = Annotated[
    Path | None, typer.Option("--out", help="Where to write; must not exist or be empty.", show_default=False)
]
Config = Annotated[
    Path | None, typer.Option("--config", help="A YAML experiment; single options override it.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Print only the result and errors.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Also print warnings, and tracebacks with errors.")]
Seed = Annotated[
    int | None, typer.Option("--seed", help="Sets split, initial weights and order. \\[default: 0]", show_default=False)
]
SplitKind = Annotated[
    str | None,
    typer.Option(
        "--split",
        metavar="KIND",
        help="patient (whole patients 60/25/15), official (the given folders), image (leaky, for comparison), kfold, or a split file. \\[default: patient]",
        show_default=False,
    ),
]
Folds = Annotated[
    int | None, typer.Option("--folds", help="Number of folds for kfold. \\[default: 5]", show_default=False)
]
Fold = Annotated[
    int | None,
    typer.Option(
        "--fold",
        help="Which fold is test, 0 to folds - 1; the next one is valid. \\[default: 0]",
        show_default=False,
    ),
]
Pattern = Annotated[
    str | None,
    typer.Option(
        "--patient-pattern",
        metavar="REGEX",
        help="Finds the patient in the file name; its first group is the key.",
        show_default=False,
    ),
]
Positive = Annotated[
    str | None, typer.Option("--positive", metavar="NAME", help="The positive class, by name.", show_default=False)
]
FollowLinks = Annotated[
    bool | None, typer.Option("--follow-links", help="Also enter links, each folder once.", show_default=False)
]
Bits = Annotated[
    int | None,
    typer.Option(
        "--bits", help="Stored bit depth of integer images above 8 bits. \\[default: measured]", show_default=False
    ),
]
Tiff = Annotated[
    bool | None,
    typer.Option("--tiff", help="Also read TIFF files (their library is often attacked).", show_default=False),
]
Frame = Annotated[
    int | None,
    typer.Option(
        "--frame",
        metavar="N",
        help="Which frame of files with several, counted from 0. \\[default: such files are quarantined]",
        show_default=False,
    ),
]
Resize = Annotated[
    str | None,
    typer.Option(
        "--resize",
        metavar="MODE",
        help="squish (aspect ratio changes), pad (with black) or crop (central square). \\[default: squish]",
        show_default=False,
    ),
]
Harmonise = Annotated[
    bool | None,
    typer.Option(
        "--harmonise",
        help="Decode every file through one common grey path with a low-pass filter: fewer compression artefacts (docs/explanation/shortcuts.md).",
        show_default=False,
    ),
]
Requantise = Annotated[
    int | None,
    typer.Option(
        "--requantise", metavar="LEVELS", help="With --harmonise: reduce to this many grey levels.", show_default=False
    ),
]
PerClass = Annotated[
    int | None,
    typer.Option(
        "--per-class",
        metavar="N",
        help="Train on N images of each class, by whole patients; valid and test stay. \\[default: all]",
        show_default=False,
    ),
]
Exclude = Annotated[
    Path | None,
    typer.Option(
        "--exclude",
        metavar="CSV",
        help="Exclude the images in this file (such as suspects.csv of interpret) from train and valid; test stays.",
        show_default=False,
    ),
]
Standardise = Annotated[
    bool | None,
    typer.Option(
        "--standardise",
        help="Normalise each image with its own mean and standard deviation, which hides exposure.",
        show_default=False,
    ),
]
DropDuplicates = Annotated[
    bool | None,
    typer.Option(
        "--drop-duplicates",
        help="Use identical files once; never applied to a given test folder.",
        show_default=False,
    ),
]
MaxBad = Annotated[
    str | None,
    typer.Option(
        "--max-bad",
        metavar="N or P%",
        help="How many damaged files are accepted. \\[default: 5 files or 1 %, whichever is larger]",
        show_default=False,
    ),
]
Cache = Annotated[
    bool | None,
    typer.Option(
        "--cache/--no-cache",
        help="Keep decoded images on disk (in PLAINFILM_CACHE, else the user's cache folder); the pixels are the same without. \\[default: cache]",
        show_default=False,
    ),
]
AllowLeak = Annotated[
    bool | None,
    typer.Option(
        "--allow-leak",
        help="Continue although given folders share patients, or --weights RUN has seen valid or test; every output says so.",
        show_default=False,
    ),
]
Size = Annotated[
    int | None,
    typer.Option("--size", metavar="PX", help="Side of the square network input. \\[default: 224]", show_default=False),
]
BatchSize = Annotated[
    int | None, typer.Option("--batch-size", help="Images per step. \\[default: 64]", show_default=False)
]
Model = Annotated[
    str | None,
    typer.Option("--model", help="Which network; plainfilm models lists them. \\[default: paper]", show_default=False),
]
Freeze = Annotated[
    bool | None,
    typer.Option(
        "--freeze",
        help="Train the head alone, on features computed once (seconds); needs --weights.",
        show_default=False,
    ),
]
FreezeEpochs = Annotated[
    int | None,
    typer.Option(
        "--freeze-epochs",
        metavar="N",
        help="Train the head alone for N epochs, then the whole network. \\[default: 0]",
        show_default=False,
    ),
]
FreezeLr = Annotated[
    str | None,
    typer.Option(
        "--freeze-lr",
        metavar="RATE",
        help="Peak rate of the head while it trains alone, or auto. \\[default: 1e-2]",
        show_default=False,
    ),
]
LrRatio = Annotated[
    float | None,
    typer.Option(
        "--lr-ratio",
        metavar="X",
        help="Rate of the first layers as a share of the head's, e.g. 0.1. \\[default: 1]",
        show_default=False,
    ),
]
Norm = Annotated[
    str | None,
    typer.Option(
        "--norm",
        metavar="HOW",
        help="BatchNorm statistics in training: batch, or hold (those of the initial weights; for few images). \\[default: batch]",
        show_default=False,
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="WHAT",
        help="Initial weights: none, imagenet, a weights file, or a run folder. \\[default: none]",
        show_default=False,
    ),
]
Offline = Annotated[
    bool, typer.Option("--offline", help="Download nothing; weights that are not on this machine are an error.")
]
MaxMinutes = Annotated[
    float | None,
    typer.Option(
        "--max-minutes",
        metavar="N",
        min=0,
        help="Stop after N minutes of training, exit 130; plainfilm resume continues.",
        show_default=False,
    ),
]
CheckpointMinutes = Annotated[
    float,
    typer.Option(
        "--checkpoint-minutes",
        metavar="N",
        min=0,
        help="Save the state every N minutes, besides at the end of each epoch; changes no result.",
    ),
]
Threads = Annotated[
    str | None,
    typer.Option(
        "--threads",
        metavar="auto|N",
        help="CPU threads; auto is one for each core. Another number gives a result that is not bit-identical. \\[default: auto]",
        show_default=False,
    ),
]


def _known_device(name: str | None) -> str | None:
    """The value of --device, refused before any image is read; torch is loaded only where a GPU was asked for."""
    if name in ("cuda", "mps"):
        from plainfilm.models.build import pick_device

        return pick_device(name)
    if name not in (None, "auto", "cpu"):
        raise UsageError(f"--device {name!r} is not known; expected auto, cpu, cuda or mps.")
    return name


Device = Annotated[
    str, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda or mps.", callback=_known_device)
]
OtherDevice = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="NAME",
        help="auto, cpu, cuda or mps; another device gives a result that is not bit-identical. \\[default: the run's own]",
        show_default=False,
        callback=_known_device,
    ),
]
Balance = Annotated[
    str | None,
    typer.Option(
        "--balance",
        metavar="HOW",
        help="auto (sample classes evenly when one is > 1.5 times another) or none. \\[default: none]",
        show_default=False,
    ),
]
Augment = Annotated[
    str | None,
    typer.Option(
        "--augment",
        metavar="PROFILE",
        help="radiograph, robust (also sharpness, noise, grey curve), strong (also aspect ratio and holes), natural or none. \\[default: radiograph]",
        show_default=False,
    ),
]
