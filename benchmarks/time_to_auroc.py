"""Time to a valid AUROC of 0.985: plainfilm against the paper's recipe at 512 px and 20 epochs, or an older plainfilm.

The same whole-patient split for both. The time of ours includes everything: imports, scan, cache build and training,
into an empty cache folder, up to the end of the epoch that reaches the target, validation included; a process for each
seed. The paper's recipe is the plain fastai notebook of contestants.py (512 px, 20 epochs of one-cycle, Adam), validated
twice per epoch, which is not counted. A one-cycle schedule of 20 epochs is far from its annealing when a short one ends:
`paper --epochs 2` gives it a short one too.

    python benchmarks/time_to_auroc.py --data FOLDER ours --seeds 5 --recipe fp32 bf16 growing
    python benchmarks/time_to_auroc.py --data FOLDER ours --seeds 5 --against CHECKOUT   # the older one in turn
    python benchmarks/time_to_auroc.py --data FOLDER paper
"""

from __future__ import annotations

import time

STARTED = time.perf_counter()

import argparse  # noqa: E402 - the clock starts before any import
import contextlib  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import statistics  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

TARGET, LIMIT_MINUTES, PAPER_EPOCHS, PAPER_PX, PAPER_BATCH = 0.985, 60, 20, 512, 16
REPOSITORY = Path(__file__).parents[1]
_PAPER_AT_96 = {"train.size_px": 96, "train.epochs": 8}
RECIPES: dict[str, dict[str, Any]] = {
    "fp32": _PAPER_AT_96,
    "bf16": {**_PAPER_AT_96, "train.precision": "bf16"},
    "growing": {
        "model.name": "compact",
        "train.phases": [{"epochs": 2, "size_px": 48, "lr": 3e-3}, {"epochs": 4, "size_px": 64, "lr": 3e-3}],
    },
}


class TargetError(Exception):
    """The target was reached, or the time limit."""


def ours(data: Path, recipe: str, seed: int) -> list[dict[str, float]]:
    from plainfilm.config import load_config
    from plainfilm.pipeline.train import train_run

    seen: list[dict[str, float]] = []

    def on_event(what: str, facts: dict[str, Any]) -> None:
        if what == "epoch":
            seen.append(
                {"seconds": time.perf_counter() - STARTED, "auroc": facts["auroc"], "epochs": facts["epoch"] + 1}
            )
            if facts["auroc"] >= TARGET:
                raise TargetError("reached")

    with tempfile.TemporaryDirectory() as folder:
        os.environ["PLAINFILM_CACHE"] = str(Path(folder) / "cache")
        cfg = load_config(options={"data.path": str(data), "train.seed": seed, **RECIPES[recipe]})
        with contextlib.suppress(TargetError):
            train_run(cfg, Path(folder) / "run", on_event=on_event)
    return seen


def ours_in_turn(data: Path, recipes: list[str], seeds: int, against: Path | None) -> None:
    """Each recipe once per seed in processes of their own; in turn with an older checkout's own script, which has seed 0."""
    commands = {name: [__file__, "--data", str(data), "once", "--recipe", name, "--seed"] for name in recipes}
    if against:
        commands["older"] = [str(against / "benchmarks" / "time_to_auroc.py"), "--data", str(data), "ours"]
    times: dict[str, list[float]] = {name: [] for name in commands}
    for seed in range(seeds):
        for name in list(commands)[:: 1 if seed % 2 else -1]:
            root, of_seed = (against, []) if name == "older" and against else (REPOSITORY, [str(seed)])
            done = subprocess.run(
                [sys.executable, *commands[name], *of_seed], env={**os.environ, "PYTHONPATH": str(root / "src")},
                stdout=subprocess.PIPE, text=True, check=True,
            )  # fmt: skip
            reached = json.loads(done.stdout.splitlines()[-1])["reached"]
            times[name].append(reached["seconds"] if reached else float("inf"))
            print(json.dumps({"who": name, "turn": seed, "reached": reached}), flush=True)
    for name, found in times.items():
        print(json.dumps({"who": name, "seconds": statistics.median(found), "of": len(found)}), flush=True)


def paper(data: Path, epochs: int = PAPER_EPOCHS) -> list[dict[str, float]]:
    import fastai.callback.schedule  # noqa: F401
    import torch
    from contestants import paper_net_as_published
    from fastai.callback.core import Callback
    from fastai.vision.all import CategoryBlock, DataBlock, ImageBlock, Learner, Resize, aug_transforms
    from sklearn.metrics import roc_auc_score

    from plainfilm.config import load_config
    from plainfilm.data.split.splits import make_split
    from plainfilm.data.table.image_table import build_table

    cfg = load_config(options={"data.path": str(data)})
    rows = make_split(build_table(data, cfg.data), cfg.data, 0).seen
    started = time.perf_counter()  # the split is made only to be the same; its time does not count for the recipe
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock), get_x=lambda i: rows["path"][i], get_y=lambda i: rows["label"][i],
        splitter=lambda _: [rows.index[rows["split"] == part].tolist() for part in ("train", "valid")],
        item_tfms=Resize(PAPER_PX, method="squish"), batch_tfms=aug_transforms(),
    )  # fmt: skip
    dls = block.dataloaders(list(rows.index), bs=PAPER_BATCH)
    learn = Learner(dls, paper_net_as_published(PAPER_PX), path=Path(tempfile.mkdtemp()))
    seen: list[dict[str, float]] = []

    class Judge(Callback):
        validation_seconds = 0.0
        order = 60

        def after_batch(self) -> None:
            half = max(1, len(self.dls.train) // 2)
            if not self.training or (self.iter + 1) % half:
                return
            before = time.perf_counter()
            self.model.eval()
            probs, truth = [], []
            with torch.no_grad():
                for x, y in self.dls.valid:
                    probs.append(self.model(x).softmax(1)[:, 1].as_subclass(torch.Tensor))
                    truth.append(y.as_subclass(torch.Tensor))
            self.model.train()
            self.validation_seconds += time.perf_counter() - before
            seconds = time.perf_counter() - started - self.validation_seconds
            auroc = float(roc_auc_score(torch.cat(truth), torch.cat(probs)))
            seen.append(
                {"seconds": seconds, "auroc": auroc, "epochs": self.epoch + (self.iter + 1) / len(self.dls.train)}
            )
            print(json.dumps(seen[-1]), flush=True)
            if auroc >= TARGET or seconds > 60 * LIMIT_MINUTES:
                raise TargetError("reached")

        def before_validate(self) -> None:
            from fastai.callback.core import CancelValidException

            raise CancelValidException  # validated above

    try:
        with learn.no_bar():
            learn.fit_one_cycle(epochs, 1e-3, cbs=Judge())
    except TargetError:
        pass
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("who", choices=["ours", "once", "paper"], help="once: a single seed of ours, in this process")
    parser.add_argument("--data", type=Path, default=os.environ.get("PLAINFILM_DATA"))
    parser.add_argument("--recipe", nargs="+", choices=list(RECIPES), default=["fp32"], help="of ours")
    parser.add_argument("--seeds", type=int, default=1, help="of ours: 0 to N - 1")
    parser.add_argument("--seed", type=int, default=0, help="of once")
    parser.add_argument("--against", type=Path, help="checkout of an older plainfilm")
    parser.add_argument("--epochs", type=int, default=PAPER_EPOCHS, help="of the paper's one-cycle")
    args = parser.parse_args()
    if args.data is None:
        raise SystemExit("Give --data or PLAINFILM_DATA: the folder with chest_xray_224.")
    if args.who == "ours":
        ours_in_turn(args.data, args.recipe, args.seeds, args.against)
        return
    data = Path(args.data) / "chest_xray_224"
    seen = ours(data, args.recipe[0], args.seed) if args.who == "once" else paper(data, args.epochs)
    first = next((at for at in seen if at["auroc"] >= TARGET and at["seconds"] <= 60 * LIMIT_MINUTES), None)
    print(json.dumps({"who": args.who, "target": TARGET, "reached": first, "seen": seen}))


if __name__ == "__main__":
    main()
