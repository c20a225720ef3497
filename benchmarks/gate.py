"""What the out-of-distribution gate of a run marks: by kind of change, and of other folders of images; one core.

    python benchmarks/gate.py RUN                             # the saved gate, and one fitted now on the same images
    python benchmarks/gate.py RUN --other FOLDER FOLDER       # with 60 images of each folder
    python benchmarks/gate.py RUN --divisions 25              # false alarms where valid is divided anew, at random

DATA of the run has to be where it was. Test images are never read: only train and valid rows of the run's table.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from plainfilm.data.cache.rows import decode_rows
from plainfilm.data.image.decode import DecodeSpec, decode
from plainfilm.data.split.valid_roles import calibrates, untouched
from plainfilm.data.synthetic.corruptions import CORRUPTIONS, corrupted
from plainfilm.data.table.saved_table import read_table
from plainfilm.errors import PlainfilmError
from plainfilm.evaluate.ood.image_features import IMAGE_VIEWS, SHARPNESS, image_features
from plainfilm.evaluate.ood.kinds_caught import KINDS, changed
from plainfilm.evaluate.ood.ood_gate import FEATURES, OODGate, fit_gate, read_gate
from plainfilm.evaluate.ood.tolerated import spread_over, tolerated_sharpness
from plainfilm.evaluate.predictions import predict
from plainfilm.models.from_card import kept_network
from plainfilm.runs.card import read_card
from plainfilm.runs.folder import RunDir

N = 60  # images of each kind and folder


class Run:
    """A finished run with the pixels of its train and valid images."""

    def __init__(self, folder: Path) -> None:
        self.run = RunDir(folder)
        self.card = read_card(self.run)
        self.spec = DecodeSpec(**self.card.decode)
        self._network = kept_network(self.run, self.card, "cpu")
        rows = read_table(self.run.table)
        self.rows = rows[rows["split"].isin(["train", "valid"])]
        self.pixels = decode_rows(self.rows, self.spec)[:]
        self.views = self.views_of(self.pixels)

    def views_of(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        model, device = self._network
        return {**image_features(pixels), FEATURES: predict(model, pixels, device)[1]}

    def gate(self, calibrate: np.ndarray, *, sharp: bool = True) -> OODGate | None:
        """A gate fitted now, its limit from the rows in `calibrate`; with three views as before, or with sharpness."""
        train = (self.rows["split"] == "train").to_numpy()
        names = [name for name in self.views if sharp or name != SHARPNESS]
        of = [{name: self.views[name][which] for name in names} for which in (train, calibrate)]
        both = tolerated_sharpness(self.pixels[train]), tolerated_sharpness(self.pixels[calibrate])
        return fit_gate(*of, both if sharp else None)


def marked(gate: OODGate, views: dict[str, np.ndarray]) -> float:
    return float((np.max([e.ood_score(views[name]) for name, e in gate.envelopes.items()], axis=0) > gate.limit).mean())


def images_of(folder: Path, spec: DecodeSpec) -> np.ndarray:
    """Up to N images of a folder, drawn at random."""
    files, found = sorted(path for path in folder.rglob("*") if path.is_file()), []
    np.random.default_rng(0).shuffle(files)
    for path in files:
        try:
            found.append(decode(str(path), spec))
        except PlainfilmError:
            continue
        if len(found) == N:
            break
    return np.stack(found)


def sets_of(run: Run, others: list[Path]) -> dict[str, np.ndarray]:
    """Images by name: valid ones that set nothing, the kinds, the small changes, and other folders."""
    fresh = untouched(run.rows)
    pool = run.pixels[fresh if fresh.any() else calibrates(run.rows)]
    some = pool[spread_over(len(pool), N)]
    return {
        "valid, not used" if fresh.any() else "valid, used": pool,
        **{kind: changed(kind, some) for kind in KINDS if kind != "unchanged"},
        **{f"small change: {name}": corrupted(some, name, np.arange(len(some))) for name in CORRUPTIONS},
        **{f"folder {path.name}": images_of(path, run.spec) for path in others},
    }


def by_kind(run: Run, others: list[Path]) -> None:
    here = calibrates(run.rows)
    gates = {"saved": read_gate(run.run, run.card), "three views": run.gate(here, sharp=False), "four": run.gate(here)}
    gates = {name: gate for name, gate in gates.items() if gate is not None}
    print(f"| images | n | {' | '.join(gates)} |\n|---|---:|{'---:|' * len(gates)}")
    for name, pixels in sets_of(run, others).items():
        views = run.views_of(pixels)
        print(f"| {name} | {len(pixels)} | {' | '.join(f'{100 * marked(g, views):.1f} %' for g in gates.values())} |")


def divided(run: Run, times: int) -> None:
    """False alarms in one half of the valid images, by patient, with the limit from the other."""
    valid, rng = (run.rows["split"] == "valid").to_numpy(), np.random.default_rng(0)
    group = run.rows["group"].to_numpy()
    found: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(times):
        groups = rng.permutation(np.unique(group[valid]))
        here = valid & np.isin(group, groups[: len(groups) // 2])
        views = {name: view[valid & ~here] for name, view in run.views.items()}
        for sharp, shares in found.items():
            gate = run.gate(here, sharp=sharp)
            shares += [marked(gate, views)] if gate else []
    for sharp, shares in found.items():
        x = 100 * np.array(shares)
        what = "four views" if sharp else "three views"
        print(f"{what}: {x.mean():.1f} % on average, at most {x.max():.1f} %, {(x > 5).sum()} of {len(x)} above 5 %")


def cost(run: Run) -> None:
    some = run.pixels[:512]
    for name in IMAGE_VIEWS:
        began = time.process_time()
        image_features(some, [name])
        print(f"{name}: {1000 * (time.process_time() - began) / len(some):.3f} ms an image of {run.spec.size_px} px")


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("run", type=Path)
    words.add_argument("--other", type=Path, nargs="*", default=[])
    words.add_argument("--divisions", type=int, default=0)
    given = words.parse_args()
    run = Run(given.run)
    by_kind(run, given.other)
    cost(run)
    if given.divisions:
        divided(run, given.divisions)


if __name__ == "__main__":
    main()
